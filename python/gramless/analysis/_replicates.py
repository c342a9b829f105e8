"""CKA of one or two pairs of representations, without each example or without each group of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._alignment import warn_caller
from .._arrays import checks
from .._arrays.frames import check_row_labels
from .._deletion import KernelBlocks, deleted_cka, pair_variance_of_difference
from .._intervals import Bounds, Scale, check_level, jackknife_bounds, warn_of_few
from .._kernel_rows import kernel_rows, rounding_of
from ..hsic import median_distance
from ..kernels import (
    Encoded,
    Estimator,
    Kernel,
    KernelLike,
    as_estimator,
    as_kernel,
    encode,
    wants_median,
    with_sigma,
)
from ._checks import Floats, Named, as_matrix, as_read, is_finite, on_cpu
from ._groups import Sizes, group_bounds, without_groups

LEAST_ROWS = 5
Shares = list[tuple[str, float]]  # names, and the share of an HSIC that few examples carry


class Request(NamedTuple):
    """The checked options of an interval."""

    function: str
    kernels: tuple[Kernel, Kernel]
    estimator: Estimator
    level: float
    groups: Any

    @classmethod
    def of(
        cls,
        function: str,
        kernel: KernelLike,
        kernel_y: KernelLike | None,
        estimator: Estimator,
        level: Any,
        groups: Any,
    ) -> Request:
        of_x = as_kernel(kernel, function)
        of_y = of_x if kernel_y is None else as_kernel(kernel_y, function, "kernel_y")
        return cls(
            function, (of_x, of_y), as_estimator(estimator, function), check_level(function, level), groups
        )


class Replicates(NamedTuple):
    """CKA of pairs of representations (pairs,), the CKA without each example or group (pairs, n or groups),
    and the number of examples in each group.

    pair_variance: that of `Deleted`, (pairs,); for two pairs followed by that of their difference.
    """

    values: Floats
    without: Floats
    pair_variance: Floats
    sizes: Sizes | None

    def bounds(self, scale: Scale, level: float) -> Bounds:
        """Bounds of the CKA of a pair, or of the difference of the CKA of two pairs."""
        value, without, variance = self.values[0], self.without[0], self.pair_variance[:1]
        difference = len(self.values) == 2
        if difference:
            value, without = value - self.values[1], without - self.without[1]
            variance = self.pair_variance[2:]
        if self.sizes is not None:
            return group_bounds(scale, float(value), without, self.sizes, level)
        cells = np.array([value]), without[None]
        return jackknife_bounds(scale, *cells, variance, level, rare=not difference)


def replicates(request: Request, pairs: Sequence[tuple[Named, Named]]) -> Replicates:
    """Replicates of one or two pairs of arrays (n, features) of any libraries, computed on the CPU.

    Raises ValueError if numbers of rows differ or are too small. Warns of pairs whose CKA is not defined, and
    of examples that carry most of an HSIC.
    """
    function = request.function
    given = [one for pair in pairs for one in pair]
    check_row_labels(function, given)
    here = {id(x): on_cpu(function, name, x) for name, x in reversed(given)}
    named = [(name, here[id(x)]) for name, x in given]
    if request.groups is None:
        matrices = {id(x): as_matrix(function, name, x) for name, x in reversed(named)}
        rows = [(name, matrices[id(x)]) for name, x in named]
    else:
        read = [as_read(function, *pair) for pair in zip(named[::2], named[1::2], strict=True)]
        rows = [(name, x) for (name, _), x in zip(named, (x for one in read for x in one[1:]), strict=True)]
    for name, x in rows[1:]:
        checks.same_examples(function, *rows[0], name, x)
    n = int(rows[0][1].shape[0])
    if n < LEAST_ROWS:
        raise ValueError(f"{function}: at least {LEAST_ROWS} rows are needed but {rows[0][0]} has {n}")
    if request.groups is None:
        roundings = [rounding_of(x) for _, x in named]
        found, shares = _of_examples(request, rows, roundings, n)
    else:
        found, shares = _of_groups(request, [one[0] for one in read], rows, n)
    if not np.isfinite(found.without).all() and all(is_finite(x) for _, x in named):
        names = " or ".join(dict.fromkeys(name for name, _ in named))
        warn_caller(f"{function}: not defined, because {names} is constant, or constant but for one example")
    else:
        warn_of_few(function, shares, n, request.groups)
    return found


def _of_examples(
    request: Request, rows: Sequence[Named], roundings: Sequence[float], n: int
) -> tuple[Replicates, Shares]:
    """Replicates from deleted examples; an array that is given twice with one kernel is one layer."""
    names: dict[tuple[int, Kernel], str] = {}
    layers, own = [], []
    for place, (name, x) in enumerate(rows):
        key = id(x), request.kernels[place % 2]
        if key not in names:
            names[key] = name
            layers.append(kernel_rows(x, _known(x, key[1]), roundings[place]))
        own.append(list(names).index(key))
    pairs = list(zip(own[::2], own[1::2], strict=True))
    kernels = KernelBlocks(layers, n, request.estimator)
    found = deleted_cka(kernels, pairs)
    variance = found.pair_variance
    if len(pairs) == 2:
        variance = np.append(variance, pair_variance_of_difference(kernels, pairs, found))
    shares = list(zip(names.values(), found.share.tolist(), strict=True))
    return Replicates(found.values, found.without, variance, None), shares


def _of_groups(
    request: Request, backends: Sequence[Any], rows: Sequence[Named], n: int
) -> tuple[Replicates, Shares]:
    groups = request.groups
    if not isinstance(groups, (int, np.integer)) or not LEAST_ROWS <= groups <= n:
        raise ValueError(
            f"{request.function}: groups must be a number from {LEAST_ROWS} to {n}, the number of rows, but "
            f"is {groups!r}"
        )
    options = request.kernels, int(groups), request.estimator
    pairs = zip(backends, rows[::2], rows[1::2], strict=True)
    found = [without_groups(backend, x, y, *options) for backend, (_, x), (_, y) in pairs]
    values, without, sizes, shares = zip(*found, strict=True)
    of_names = dict(zip((name for name, _ in rows), (s for pair in shares for s in pair), strict=True))
    return Replicates(np.array(values), np.array(without), np.zeros(3), sizes[0]), list(of_names.items())


def _known(rows: Floats, kernel: Kernel) -> Encoded:
    """The kernel with the bandwidth of these rows."""
    code = encode(kernel)
    if not wants_median(code):
        return code
    median = median_distance(np.ascontiguousarray(rows), include_diagonal=code[3])
    return with_sigma(code, code[2] * float(median))
