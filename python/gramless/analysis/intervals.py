"""How sure a CKA value is: the jackknife over examples or groups of them, without n x n memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from .._alignment import aligned
from .._arrays import checks
from .._kernel_rows import BLOCK_BYTES, kernel_rows
from ..hsic import median_distance
from ..kernels import Estimator, Kernel, KernelLike, Linear, as_estimator, as_kernel
from ._checks import Floats, as_matrix, as_read, is_finite, on_cpu
from ._groups import group_error, student_quantile, without_groups
from ._without import hsic_without

# Of a side, 0 or 1, and a block of rows: their kernel values (block, n).
Values = Callable[[int, slice], Floats]


@dataclass(frozen=True)
class Interval:
    """A value with its standard error, and low and high, which hold the truth with probability `level`."""

    value: float
    low: float
    high: float
    standard_error: float
    level: float


def cka_interval(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
    level: float = 0.95,
    groups: int | None = None,
) -> Interval:
    """CKA of rows x (n, p) with rows y (n, q), and how far other examples might move it.

    se^2 = (n - 1) / n sum_i (c_(i) - mean c_(i))^2,   low, high = c -+ z se

    groups=None: c_(i) is the CKA without example i, all n of them from two walks over blocks of rows, in
        n^2 (p + q) operations of float64 and O(n) memory per row of a block. One walk cannot do: deleting
        row i changes the sums of HSIC by sum_j K_ij r_j, r the row sums of the other kernel, and r is known
        at the walk's end only, so a K without structure would have to be kept, n^2 / 2 numbers.
    groups=32: the CKA without each of so many random groups, z then Student's with groups - 1 degrees, from
        the walk over tiles of `cka` itself, which keeps each row's sums over each group: on all threads, in
        n^2 (p + q) / 2 multiply-adds, in float64 where `cka` takes it and else in float32, and 16 n groups
        bytes. A linear kernel is summed over pairs of rows, also where `cka` alone would sum over features.
        Tiles end where groups do, so groups of less than some hundred rows take longer than the CKA itself.
        Groups of unequal size count as in Busing, Meijer and van der Leeden 1999, Delete-m jackknife for
        unequal m.

    The jackknife rather than the bootstrap, because examples drawn twice are pairs of equal rows, which bias
    HSIC. A bandwidth left to the median is that of all examples: as in `cka` with groups, else exact.

    Raises
    ------
    ValueError
        For fewer than 5 rows, fewer than 5 or more than n groups, and other shapes; a constant x or y gives
        NaN and a RuntimeWarning.

    References
    ----------
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.

    Examples
    --------
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> interval = cka_interval(x, rng.randn(100, 10) + x)
    >>> [round(v, 3) for v in (interval.low, interval.value, interval.high)]
    [0.464, 0.513, 0.563]
    >>> round(cka_interval(x, x, groups=20).value, 6)
    1.0
    """
    function = "cka_interval"
    x, y = on_cpu(function, "x", x), on_cpu(function, "y", y)
    if groups is None:
        rows_x, rows_y = as_matrix(function, "x", x), as_matrix(function, "y", y)
    else:
        backend, rows_x, rows_y = as_read(function, x, y)
    kernel_of_x = as_kernel(kernel, function)
    kernel_of_y = kernel_of_x if kernel_y is None else as_kernel(kernel_y, function, "kernel_y")
    estimator = as_estimator(estimator, function)
    n = int(rows_x.shape[0])
    checks.same_examples(function, "x", rows_x, "y", rows_y)
    if n < 5:
        raise ValueError(f"{function}: at least 5 rows are needed but x has {n}")
    if not 0 < level < 1:
        raise ValueError(f"{function}: level must lie between 0 and 1 but is {level}")
    kernels = kernel_of_x, kernel_of_y
    reach = NormalDist().inv_cdf((1 + level) / 2)
    if groups is None:
        value, without = _without_examples((rows_x, rows_y), kernels, n, estimator)
        error = math.sqrt((n - 1) / n * float(np.sum((without - without.mean()) ** 2)))
    else:
        _check_groups(groups, n)
        value, without, sizes = without_groups(backend, rows_x, rows_y, kernels, groups, estimator)
        error, reach = group_error(value, without, sizes), student_quantile(reach, len(sizes) - 1)
    if not np.isfinite(without).all() and is_finite(x) and is_finite(y):
        warnings.warn(
            f"{function}: not defined, because x or y is constant, perhaps but for one example",
            RuntimeWarning,
            stacklevel=2,
        )
    return Interval(value, value - reach * error, value + reach * error, error, level)


def _check_groups(groups: Any, n: int) -> None:
    if not isinstance(groups, (int, np.integer)) or not 5 <= groups <= n:
        raise ValueError(
            f"cka_interval: groups must be a number from 5 to {n}, the number of rows, but is {groups!r}"
        )


def _without_examples(
    sides: tuple[Floats, Floats], kernels: tuple[Kernel, Kernel], n: int, estimator: Estimator
) -> tuple[float, Floats]:
    of_side = [
        kernel_rows(rows, kernel.formula, _sigma(rows, kernel))
        for rows, kernel in zip(sides, kernels, strict=True)
    ]
    diagonals = np.zeros((2, n))

    def values(side: int, block: slice) -> Floats:
        k = of_side[side](block)
        own = np.arange(len(k)), np.arange(block.start, block.stop)
        if estimator == "unbiased":
            k[own] = 0
        diagonals[side, block] = k[own]
        return k

    size = max(1, BLOCK_BYTES // (8 * n))
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    return _deleted(values, blocks, diagonals, estimator)


def _sigma(rows: Floats, kernel: Kernel) -> float | None:
    """The kernel's bandwidth for these rows; None where it has none."""
    if isinstance(kernel, Linear) or kernel.sigma is not None:
        return None if isinstance(kernel, Linear) else kernel.sigma
    median = median_distance(np.ascontiguousarray(rows), include_diagonal=kernel.include_diagonal)
    return kernel.scale * float(median)


def _deleted(
    values: Values, blocks: Sequence[slice], diagonals: Floats, estimator: Estimator
) -> tuple[float, Floats]:
    """The CKA, and that without each example in turn (n,)."""
    n = diagonals.shape[1]
    row_sums = np.zeros((2, n))
    for block in blocks:
        for side in (0, 1):
            row_sums[side, block] = values(side, block).sum(axis=1)
    products = np.zeros((2, 2, n))  # sum_j K_ij L_ij
    crossed = np.zeros((2, 2, n))  # sum_j K_ij r_j^L
    for block in blocks:
        k = [values(side, block) for side in (0, 1)]
        for a, b in ((0, 0), (0, 1), (1, 1)):
            products[a, b, block] = np.einsum("ij,ij->i", k[a], k[b])
            crossed[a, b, block] = k[a] @ row_sums[b]
            crossed[b, a, block] = k[b] @ row_sums[a]
    found = {}
    for a, b in ((0, 0), (0, 1), (1, 1)):
        crossing = crossed[a, b] + crossed[b, a]
        found[a, b] = hsic_without(
            products[a, b], crossing, row_sums[[a, b]], diagonals[[a, b]], n, estimator
        )
    ratio = [aligned(found[0, 1][i], found[0, 0][i], found[1, 1][i]) for i in (0, 1)]
    return float(ratio[0]), np.asarray(ratio[1])
