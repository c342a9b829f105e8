"""HSIC and CKA of cupy arrays and of what is read like them; tensors go through torch's operators.

All pairs are enqueued one after the other, and the algebra that follows as well: a degenerate representation
gives NaN here without a warning, for which the device would have to be waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _arrays
from ..kernels import Estimator, Kernel
from .frameworks import Array, Framework, compute_dtype
from .launch import CudaKernel, HsicLaunch, Place, cuda_kernel, median_squared_distance, place_of

Report = Callable[[int, int], object] | None


def pair_values(
    launch: HsicLaunch,
    xs: Sequence[Array],
    ys: Sequence[Array],
    kernels: tuple[CudaKernel, CudaKernel],
    saved: Array | None = None,
    report: Report = None,
) -> Array:
    """(xs, ys, 3): HSIC of every x with every y, of x with x, of y with y; ys empty: xs with itself.

    saved: None, or (layers, 1 + n) to be filled with what a backward needs, sigma^2 and row sums.
    """
    others, alone = ys or xs, not ys
    values = launch.place.empty(len(xs), len(others), 3)
    pairs = [(i, j) for i in range(len(xs)) for j in range(i if alone else 0, len(others))]
    for done, (i, j) in enumerate(pairs, 1):
        layers = [(0, i)] if j == 0 and not alone else []
        layers += [(1, j if alone else len(xs) + j)] if i == 0 else []
        if saved is None or not layers:
            launch.pair(xs[i], others[j], *kernels, values[i, j])
        else:
            sums, bandwidths = launch.place.empty(2, len(xs[i])), launch.place.empty(2)
            launch.pair(xs[i], others[j], *kernels, values[i, j], sums, bandwidths)
            for side, layer in layers:
                saved[layer, 0], saved[layer, 1:] = bandwidths[side], sums[side]
        if alone and i != j:
            values[j, i, 0] = values[i, j, 0]
        if report is not None:
            report(done, len(pairs))
    return values


def own_values(values: Array, alone: bool) -> tuple[Array, Array, Array]:
    """(xs, ys), (xs,), (ys,) of what `pair_values` returned."""
    if alone:
        own = values[:, :, 0].diagonal()
        return values[:, :, 0], own, own
    return values[:, :, 0], values[:, 0, 1], values[0, :, 2]


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
    codes = cuda_kernel(kernels[0]), cuda_kernel(kernels[1])
    found = own_values(pair_values(launch, x, y, codes, report=report), not y)
    return place, found, compute_dtype(place.framework.dtype(arrays[0]))


def _aligned(framework: Framework, values: tuple[Array, Array, Array]) -> Array:
    """xy / sqrt(xx yy), NaN where either is not positive."""
    xy, xx, yy = values
    with np.errstate(all="ignore"):
        undefined = (xx <= 0)[:, None] | (yy <= 0)[None, :]
        product = xx[:, None] * yy[None, :]
        safe = (product > 0) & (product < np.inf)
        root = framework.where(safe, product**0.5, (xx**0.5)[:, None] * (yy**0.5)[None, :])
        return framework.where(undefined, np.nan, xy / root)


def hsic(function: str, x: Any, y: Any, kernels: tuple[Kernel, Kernel], estimator: Estimator) -> Array:
    """`gramless.hsic`, 0-d."""
    place, (xy, _, _), dtype = _values(function, {"x": x}, {"y": y}, kernels, estimator)
    return place.framework.cast(xy[0, 0], dtype)


def cka(function: str, x: Any, y: Any, kernels: tuple[Kernel, Kernel], estimator: Estimator) -> Array:
    """`gramless.cka`, 0-d."""
    place, values, dtype = _values(function, {"x": x}, {"y": y}, kernels, estimator)
    return place.framework.cast(_aligned(place.framework, values)[0, 0], dtype)


def matrix(
    function: str,
    xs: Sequence[Any],
    ys: Sequence[Any] | None,
    kernel: Kernel,
    estimator: Estimator,
    report: Report,
    *,
    aligned: bool,
) -> Array:
    """`gramless.hsic_matrix` or, aligned, `gramless.cka_matrix`: (len(xs), len(ys))."""
    for name, layers in [("xs", xs), *([] if ys is None else [("ys", ys)])]:
        _arrays.check_layers(function, name, layers)
    named = [{f"xs[{i}]": x for i, x in enumerate(xs)}, {f"ys[{i}]": y for i, y in enumerate(ys or ())}]
    place, values, dtype = _values(function, named[0], named[1], (kernel, kernel), estimator, report)
    return place.framework.cast(_aligned(place.framework, values) if aligned else values[0], dtype)


def median_distance(function: str, x: Any, include_diagonal: bool) -> Array:
    """`gramless.median_distance`, 0-d."""
    place, (array,) = place_of(function, [("x", x)])
    if len(array) < 2:
        raise ValueError(f"{function}: at least 2 rows are needed but x has {len(array)}")
    median = median_squared_distance(place, array, include_diagonal)[0] ** 0.5
    return place.framework.cast(median, compute_dtype(place.framework.dtype(array)))
