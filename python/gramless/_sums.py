"""HSIC values from the compiled core. The one place that knows how kernels and layers are handed to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _arrays, _core
from ._alignment import in_units, times_power
from .kernels import Encoded, Estimator, Kernel, encode

Floats: TypeAlias = npt.NDArray[np.float64]
Progress: TypeAlias = "bool | Callable[[int, int], object] | None"


@dataclass(frozen=True)
class HsicValues:
    """HSIC of every pair of layers, and the kernel's mean over i != j and over i = j for each layer.

    In the layers' own units, which cancel in a CKA: HSIC of the data is 2^(exponents of both) times as large.
    """

    xy: Floats  # (Lx, Ly)
    xx: Floats  # (Lx,)
    yy: Floats  # (Ly,), the same as xx where xs met themselves
    mean_x: Floats
    mean_y: Floats
    diagonal_x: Floats
    diagonal_y: Floats
    exponent_x: npt.NDArray[np.int32]
    exponent_y: npt.NDArray[np.int32]
    n: int

    @classmethod
    def of_core(cls, values: Sequence[Any], layers_x: int, with_itself: bool, n: int) -> HsicValues:
        """What the core returns."""
        xy, xx, yy, mean_x, mean_y, diagonal_x, diagonal_y, exponents = values
        x, y = exponents[:layers_x], exponents[layers_x:]
        if with_itself:
            yy, mean_y, diagonal_y, y = xx, mean_x, diagonal_x, x
        return cls(xy, xx, yy, mean_x, mean_y, diagonal_x, diagonal_y, x, y, n)

    def of_data(self) -> tuple[Floats, Floats, Floats]:
        """xy, xx, yy of the data itself."""
        own = times_power(self.xx, 2 * self.exponent_x), times_power(self.yy, 2 * self.exponent_y)
        return in_units(self.xy, self.exponent_x, self.exponent_y), *own


@dataclass(frozen=True)
class PairSums:
    """HSIC of two representations with each other and with themselves, in units of their own.

    spread: mean k_ii - mean k_ij over i != j.
    exponent: HSIC of x with y of the data itself is 2^exponent times as large.
    """

    xy: float
    xx: float
    yy: float
    spread_x: float
    spread_y: float
    n: int
    exponent: int = 0


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
    values = _core.hsic_matrix(
        x,
        y,
        _encoded(kernels_x, len(x)),
        _encoded(kernels_y, len(y)),
        estimator,
        space,
        core_progress(function, progress),
    )
    return HsicValues.of_core(values, len(x), ys is None, _arrays.rows_of(x[0]))


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
    """HSIC of x with y[permutation], in their own units, for each row of permutations (B, n)."""
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
