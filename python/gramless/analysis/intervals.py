"""How sure a CKA value is: the jackknife over examples, from row sums, without n x n memory."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from ..hsic import median_distance
from ..kernels import RBF, Estimator, Kernel, KernelLike, as_estimator, as_kernel
from ._checks import Floats, as_matrix

BLOCK_BYTES = 2**24  # of one block of kernel values


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
) -> Interval:
    """CKA of rows x (n, p) with rows y (n, q), and how far other examples might move it.

    se^2 = (n - 1) / n sum_i (c_(i) - mean c_(i))^2,   low, high = c -+ z se

    c_(i) the CKA without example i, all n of them from two walks over blocks of rows: deleting a row changes
    the sums of HSIC by terms of that row, one of which, sum_j K_ij r_j with r the other kernel's row sums,
    cannot be had in the walk that finds r. Jackknife rather than bootstrap, because examples drawn twice are
    pairs of equal rows, which bias HSIC. A bandwidth left to the median is that of all examples, exact.

    Takes n^2 (p + q) operations in float64 and O(n) memory per row of a block. Raises ValueError for fewer
    than 5 rows or other shapes; a constant x or y gives NaN and a RuntimeWarning. Efron and
    Tibshirani 1993, An Introduction to the Bootstrap, chapter 11.

    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> interval = cka_interval(x, rng.randn(100, 10) + x)
    >>> [round(v, 3) for v in (interval.low, interval.value, interval.high)]
    [0.464, 0.513, 0.563]
    """
    function = "cka_interval"
    rows_x, rows_y = as_matrix(function, "x", x), as_matrix(function, "y", y)
    kernel_of_x = as_kernel(kernel, function)
    kernel_of_y = kernel_of_x if kernel_y is None else as_kernel(kernel_y, function, "kernel_y")
    estimator = as_estimator(estimator, function)
    n = len(rows_x)
    if len(rows_y) != n:
        raise ValueError(f"{function}: x has {n} rows but y has {len(rows_y)}")
    if n < 5:
        raise ValueError(f"{function}: at least 5 rows are needed but x has {n}")
    if not 0 < level < 1:
        raise ValueError(f"{function}: level must lie between 0 and 1 but is {level}")
    blocks = [_kernel_rows(rows, k) for rows, k in ((rows_x, kernel_of_x), (rows_y, kernel_of_y))]
    value, without = _deleted(blocks, n, estimator)
    if np.isfinite(rows_x).all() and np.isfinite(rows_y).all() and not np.isfinite(without).all():
        warnings.warn(
            f"{function}: not defined, because x or y is constant, perhaps but for one example",
            RuntimeWarning,
            stacklevel=2,
        )
    error = math.sqrt((n - 1) / n * float(np.sum((without - without.mean()) ** 2)))
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(value, value - reach, value + reach, error, level)


def _kernel_rows(rows: Floats, kernel: Kernel) -> Callable[[slice], Floats]:
    """A function from a block of rows to their kernel values with all rows, (block, n)."""
    centred = rows - rows.mean(axis=0)
    if not isinstance(kernel, RBF):
        return lambda block: np.asarray(centred[block] @ centred.T)
    sigma = kernel.sigma
    if sigma is None:
        median = median_distance(np.ascontiguousarray(rows), include_diagonal=kernel.include_diagonal)
        sigma = kernel.scale * median
    gamma = 1 / (2 * sigma**2)
    norms = np.einsum("ij,ij->i", centred, centred)

    def gaussian(block: slice) -> Floats:
        distance2 = norms[block, None] + norms - 2 * (centred[block] @ centred.T)
        return np.asarray(np.exp(-gamma * np.maximum(distance2, 0)))

    return gaussian


def _deleted(kernels: list[Callable[[slice], Floats]], n: int, estimator: Estimator) -> tuple[float, Floats]:
    """The CKA, and that without each example in turn (n,)."""
    size = max(1, BLOCK_BYTES // (8 * n))
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    row_sums, diagonals = np.zeros((2, n)), np.zeros((2, n))

    def values(side: int, block: slice) -> Floats:
        k = kernels[side](block)
        own = np.arange(len(k)), np.arange(block.start, block.stop)
        if estimator == "unbiased":
            k[own] = 0
        diagonals[side, block] = k[own]
        return k

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
        found[a, b] = _hsic_without(
            products[a, b], crossing, row_sums[[a, b]], diagonals[[a, b]], n, estimator
        )
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN says it
        ratio = [found[0, 1][i] / np.sqrt(found[0, 0][i] * found[1, 1][i]) for i in (0, 1)]
    return float(ratio[0]), np.asarray(ratio[1])


def _hsic_without(
    products: Floats, crossing: Floats, sums: Floats, diagonals: Floats, n: int, estimator: Estimator
) -> tuple[Floats, Floats]:
    """HSIC of all examples, and without each: A = sum K L, C = sum_i r_i^K r_i^L, s the totals."""
    own = diagonals[0] * diagonals[1]
    inner, rows, totals = products.sum(), float(sums[0] @ sums[1]), sums.sum(axis=1)
    inner_without = inner - 2 * products + own
    of_row = sums[0] * sums[1] - diagonals[1] * sums[0] - diagonals[0] * sums[1]
    rows_without = rows - of_row - crossing + products - own
    totals_without = totals[:, None] - 2 * sums + diagonals
    all_of_them = _hsic(np.asarray(inner), np.asarray(rows), totals, n, estimator)
    return all_of_them, _hsic(inner_without, rows_without, totals_without, n - 1, estimator)


def _hsic(inner: Floats, rows: Floats, totals: Floats, n: int, estimator: Estimator) -> Floats:
    product = totals[0] * totals[1]
    if estimator == "unbiased":
        return np.asarray((inner + product / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows) / (n * (n - 3)))
    return np.asarray((inner - 2 / n * rows + product / n**2) / (n - 1) ** 2)
