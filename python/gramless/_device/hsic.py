"""HSIC and CKA of cupy arrays and of what is read like them; tensors go through torch's operators.

Everything is enqueued, the algebra that follows as well: a degenerate representation gives NaN here without a
warning, for which the device would have to be waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _arrays
from .._alignment import aligned
from ..kernels import Encoded, Estimator, Kernel, encode
from .frameworks import Array, compute_dtype
from .launch import HsicLaunch, Place, median_squared_distance, place_of

Report = Callable[[int, int], object] | None


def layer_values(
    launch: HsicLaunch,
    xs: Sequence[Array],
    ys: Sequence[Array],
    kernels: tuple[Encoded, Encoded],
    row_sums: Array | None = None,
    bandwidths: Array | None = None,
) -> tuple[Array, Array, Array]:
    """(xs, ys), (xs,), (ys,): HSIC of every x with every y, of x with x, of y with y; no ys: xs with itself.

    row_sums (layers, n) and bandwidths (layers,), where given, are filled with what a backward needs.
    """
    if len(xs) == len(ys) == 1:
        values = launch.place.empty(3)
        launch.pair(xs[0], ys[0], *kernels, values, row_sums, bandwidths)
        return values[:1].reshape(1, 1), values[1:2], values[2:]
    values, own = launch.matrix(xs, ys, *kernels, row_sums, bandwidths)
    return values, own[: len(xs)], own[len(xs) :] if ys else own


def _values(
    function: str,
    xs: dict[str, Any],
    ys: dict[str, Any],
    kernels: tuple[Kernel, Kernel],
    estimator: Estimator,
    report: Report = None,
) -> tuple[Place, tuple[Array, Array, Array], str]:
    place, arrays = place_of(function, [*xs.items(), *ys.items()])
    names = [*xs, *ys]
    for name, x in zip(names, arrays, strict=True):
        _arrays.check_rows(function, names[0], arrays[0], name, x)
    _arrays.check_enough_rows(function, names[0], arrays[0], estimator)
    launch = HsicLaunch(place, estimator == "unbiased", allow_tf32=False)
    x, y = arrays[: len(xs)], arrays[len(xs) :]
    codes = encode(kernels[0]), encode(kernels[1])
    found = layer_values(launch, x, y, codes)
    if report is not None:
        report(1, 1)
    return place, found, compute_dtype(place.framework.dtype(arrays[0]))


def layer_sums(
    function: str,
    xs: Sequence[Any],
    ys: Sequence[Any] | None,
    kernel: Kernel,
    estimator: Estimator,
    report: Report = None,
) -> tuple[tuple[Array, Array, Array], int]:
    """`gramless._sums.hsic_values` of device arrays: (xs, ys), (xs,), (ys,), float64, and the rows."""
    named = _named(xs, ys)
    _, sums, _ = _values(function, *named, (kernel, kernel), estimator, report)
    return sums, len(xs[0])


def _named(xs: Sequence[Any], ys: Sequence[Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    return {f"xs[{i}]": x for i, x in enumerate(xs)}, {f"ys[{i}]": y for i, y in enumerate(ys or ())}


def hsic(function: str, x: Any, y: Any, kernels: tuple[Kernel, Kernel], estimator: Estimator) -> Array:
    """`gramless.hsic`, 0-d."""
    place, (xy, _, _), dtype = _values(function, {"x": x}, {"y": y}, kernels, estimator)
    return place.framework.cast(xy[0, 0], dtype)


def cka(function: str, x: Any, y: Any, kernels: tuple[Kernel, Kernel], estimator: Estimator) -> Array:
    """`gramless.cka`, 0-d."""
    place, values, dtype = _values(function, {"x": x}, {"y": y}, kernels, estimator)
    return place.framework.cast(aligned(*values, where=place.framework.where)[0, 0], dtype)


def matrix(
    function: str,
    xs: Sequence[Any],
    ys: Sequence[Any] | None,
    kernel: Kernel,
    estimator: Estimator,
    report: Report,
    *,
    as_cka: bool,
) -> Array:
    """`gramless.hsic_matrix` or, as_cka, `gramless.cka_matrix`: (len(xs), len(ys))."""
    place, values, dtype = _values(function, *_named(xs, ys), (kernel, kernel), estimator, report)
    return place.framework.cast(aligned(*values, where=place.framework.where) if as_cka else values[0], dtype)


def median_distance(function: str, x: Any, include_diagonal: bool) -> Array:
    """`gramless.median_distance`, 0-d."""
    place, (array,) = place_of(function, [("x", x)])
    if len(array) < 2:
        raise ValueError(f"{function}: at least 2 rows are needed but x has {len(array)}")
    median = median_squared_distance(place, array, include_diagonal)[0] ** 0.5
    return place.framework.cast(median, compute_dtype(place.framework.dtype(array)))
