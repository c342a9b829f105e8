"""HSIC values from the compiled core. The one place that knows how kernels and layers are handed to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _arrays, _core
from .kernels import Encoded, Estimator, Kernel, encode

Floats: TypeAlias = npt.NDArray[np.float64]
Progress: TypeAlias = "bool | Callable[[int, int], object] | None"


@dataclass(frozen=True)
class HsicValues:
    """HSIC of every pair of layers, and the kernel's mean over i != j and over i = j for each layer."""

    xy: Floats  # (Lx, Ly)
    xx: Floats  # (Lx,)
    yy: Floats  # (Ly,), the same as xx where xs met themselves
    mean_x: Floats
    mean_y: Floats
    diagonal_x: Floats
    diagonal_y: Floats
    n: int


@dataclass(frozen=True)
class PairSums:
    """HSIC of two representations with each other and with themselves.

    spread: mean k_ii - mean k_ij over i != j.
    """

    xy: float
    xx: float
    yy: float
    spread_x: float
    spread_y: float
    n: int


def _encoded(kernels: Kernel | Sequence[Kernel], layers: int) -> list[Encoded]:
    if isinstance(kernels, Sequence):
        return [encode(kernel) for kernel in kernels]
    return [encode(kernels)] * layers


def core_progress(
    function: str, progress: Progress, description: str = ""
) -> Callable[[int, int], object] | None:
    """The callable of (done, total) that `progress` means; True borrows a progress bar."""
    if progress is None or callable(progress):
        return progress
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(
            f"{function}: progress must be True, False or a callable of (done, total) but is {progress!r}"
        )
    if not progress:
        return None
    from .cli.progress import ProgressBar

    return ProgressBar(description)


def hsic_values(
    function: str,
    xs: Sequence[Any],
    ys: Sequence[Any] | None,
    kernels_x: Kernel | Sequence[Kernel],
    kernels_y: Kernel | Sequence[Kernel],
    estimator: Estimator,
    progress: Progress = None,
    space: str = "auto",
) -> HsicValues:
    """HSIC of each of xs with each of ys (None: xs with itself), in one walk; errors name `function`."""
    x = _arrays.describe_layers(function, "xs", xs)
    y = [] if ys is None else _arrays.describe_layers(function, "ys", ys)
    _arrays.check_enough_rows(function, "xs[0]", x[0], estimator)
    if y:
        _arrays.check_rows(function, "xs[0]", x[0], "ys[0]", y[0])
    xy, xx, yy, mean_x, mean_y, diagonal_x, diagonal_y = _core.hsic_matrix(
        x,
        y,
        _encoded(kernels_x, len(x)),
        _encoded(kernels_y, len(y)),
        estimator,
        space,
        core_progress(function, progress),
    )
    if ys is None:
        yy, mean_y, diagonal_y = xx, mean_x, diagonal_x
    return HsicValues(xy, xx, yy, mean_x, mean_y, diagonal_x, diagonal_y, _arrays.rows_of(x[0]))


def permuted_hsic(
    function: str,
    x: Any,
    y: Any,
    kernel_x: Kernel,
    kernel_y: Kernel,
    permutations: npt.NDArray[np.int64],
    estimator: Estimator,
    progress: Progress = None,
) -> Floats:
    """HSIC of x with y[permutation], for each row of permutations (B, n)."""
    described_x, described_y = _arrays.describe(function, "x", x), _arrays.describe(function, "y", y)
    _arrays.check_rows(function, "x", described_x, "y", described_y)
    _arrays.check_enough_rows(function, "x", described_x, estimator)
    return _core.permuted_hsic(
        described_x,
        described_y,
        encode(kernel_x),
        encode(kernel_y),
        permutations,
        estimator,
        core_progress(function, progress),
    )
