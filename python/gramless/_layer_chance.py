"""z and p-values for compared layers, from the layers and the HSIC of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import _arrays
from ._alignment import aligned
from ._backends import backend_of
from ._backends.values import HsicValues
from ._chance import (
    LEAST_CHI2_ROWS,
    ChanceRequest,
    Floats,
    Moments,
    Shape,
    biased_moments,
    hypotheses,
    unbiased_moments,
)
from ._dominant_rows import largest_share
from ._kernel_rows import centred_diagonal
from ._permutations import Chance, Layers, chance_of
from ._progress import ProgressLike
from .kernels import Encoded, has_bandwidth, with_sigma

# For 100 cells of independent Cauchy rows, chi2 with Holm's correction rejects at least one cell in 12 % of
# matrices of 40 rows, in 6 % with 300 rows and in fewer with more: the dominant rows of two layers coincide
# with probability 1 / n.
MOST_OF_ONE_ROW = 1 / 3
ROWS_PER_CELL, MOST_ROWS_PERMUTED = 10, 1_000


def chance_of_layers(
    request: ChanceRequest,
    library: Any,
    xs: Sequence[Any],
    ys: Sequence[Any] | None,
    code: Encoded,
    estimator: str,
    values: HsicValues,
    seconds: float,
    progress: ProgressLike,
    sigmas: Sequence[float] | None,
    alone: bool = True,
) -> Chance:
    """z and p-values for the layers xs with ys, or xs with themselves, from their HSIC values.

    xs, ys: arrays without gradients. seconds: the time that the values took. sigmas: `bandwidths` of xs, then
    ys. alone: False if several processes share the call.
    """
    backend, n = backend_of(library, xs[0], request.function), int(xs[0].shape[0])
    xy, xx, yy = map(_arrays.to_host, values[:3])
    cka = np.asarray(aligned(xy, xx, yy))
    bounded = has_bandwidth(code)  # no single row dominates the values of a bounded kernel
    if request.method == "auto" and not bounded and backend.here:
        cells = int(np.count_nonzero(hypotheses(cka.shape, ys is None)))
        if _single_rows_decide(n, cells, (xs, xs if ys is None else ys), code):
            request = replace(request, method="permutation" if alone else None)
    request = request if alone else request.shared(n, estimator)
    moments = unbiased_moments(n)
    if estimator == "biased":
        of_sides = (xs, xs if ys is None else ys), _of_sides(sigmas, len(xs), ys is None)
        moments = _moments(of_sides, code, values, (xx, yy), n)
    layers = Layers(backend, xs, ys, (code, code), estimator)
    return chance_of(request, layers, cka, moments, seconds, progress)


def _single_rows_decide(n: int, cells: int, sides: Sequence[Sequence[Any]], code: Encoded) -> bool:
    """Whether p-values of chi2 are too small because, on both sides, a layer has more than a third of its
    squared length in a single row; False if permutations would cost too much.
    """
    few = LEAST_CHI2_ROWS <= n <= min(ROWS_PER_CELL * cells, MOST_ROWS_PERMUTED)
    return few and all(
        any(largest_share(_on_host(x), code) > MOST_OF_ONE_ROW for x in side) for side in sides
    )


def _on_host(layer: Any) -> Floats:
    """The layer as a numpy array, in its own dtype for float32 and float64, else in float64."""
    plain = str(layer.dtype).removeprefix("torch.") in ("float32", "float64")
    return _arrays.to_host(layer) if plain else _arrays.wide_on_host(layer)


def _of_sides(sigmas: Sequence[float] | None, count: int, with_itself: bool) -> tuple[Any, Any]:
    """The bandwidths of xs, and those of ys."""
    return (None, None) if sigmas is None else (sigmas[:count], sigmas if with_itself else sigmas[count:])


def _moments(
    sides: tuple[tuple[Sequence[Any], Sequence[Any]], tuple[Any, Any]],
    code: Encoded,
    values: HsicValues,
    own: tuple[Floats, Floats],
    n: int,
) -> Moments:
    means = (values.mean_x, values.diagonal_x), (values.mean_y, values.diagonal_y)
    shapes = [
        _shape(layers, code, sigmas, hsic, *of_side, n)
        for layers, sigmas, hsic, of_side in zip(*sides, own, means, strict=True)
    ]
    return biased_moments(n, *shapes)


def _shape(
    layers: Sequence[Any],
    code: Encoded,
    sigmas: Sequence[float] | None,
    own: Floats,
    mean: Any,
    diagonal: Any,
    n: int,
) -> Shape:
    """The `Shape` of layers, from their HSIC with themselves (`own`); mean and diagonal have its unit."""
    effective, uneven = np.empty(len(layers)), np.empty(len(layers))
    for i, layer in enumerate(layers):
        own_code = code if sigmas is None else with_sigma(code, sigmas[i])
        w = centred_diagonal(_arrays.wide_on_host(layer), own_code)
        trace = np.sum(w) if mean is None else (n - 1) * (diagonal[i] - mean[i])
        with np.errstate(divide="ignore", invalid="ignore"):
            effective[i] = (trace / (n - 1) / np.sqrt(own[i] if own[i] > 0 else np.nan)) ** 2
            uneven[i] = effective[i] * np.sum((w / np.sum(w)) ** 2)
    return Shape(effective, uneven)
