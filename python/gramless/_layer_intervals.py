"""Confidence intervals for every cell of a CKA matrix, from the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _arrays
from ._deletion import Floats, KernelBlocks, deleted_cka
from ._intervals import OF_CKA, check_level, jackknife_bounds, warn_of_few
from ._kernel_rows import kernel_rows, rounding_of
from ._progress import ProgressLike, reporter
from .kernels import Encoded, Estimator, with_sigma

LEAST_ROWS = 5


class CellIntervals(NamedTuple):
    """Confidence intervals for every cell, (La, Lb); None if they were not requested."""

    low: Floats | None = None
    high: Floats | None = None
    standard_error: Floats | None = None


class IntervalRequest(NamedTuple):
    """Checked options for intervals. level: None if no intervals are requested."""

    function: str
    level: float | None

    @classmethod
    def of(cls, function: str, level: Any) -> IntervalRequest:
        return cls(function, None if level is None else check_level(function, level))

    @property
    def settings(self) -> dict[str, Any]:
        """The entries about intervals in the settings of a result."""
        return {} if self.level is None else {"level": self.level, "interval": "jackknife"}

    def check_rows(self, n: int) -> None:
        """Raise ValueError if there are too few rows for intervals."""
        if self.level is not None and n < LEAST_ROWS:
            raise ValueError(f"{self.function}: level needs at least {LEAST_ROWS} rows but there are {n}")

    def of_layers(
        self,
        xs: Sequence[Any],
        ys: Sequence[Any] | None,
        code: Encoded,
        estimator: Estimator,
        sigmas: Sequence[float] | None,
        labels: Sequence[str],
        progress: ProgressLike = False,
    ) -> CellIntervals:
        """Intervals for xs with ys, or for xs with themselves. sigmas: `bandwidths`; labels: for warnings."""
        if self.level is None:
            return CellIntervals()
        n = int(xs[0].shape[0])
        layers = [*xs, *(ys or [])]
        codes = [code] * len(layers) if sigmas is None else [with_sigma(code, sigma) for sigma in sigmas]
        rows = [
            kernel_rows(_arrays.wide_on_host(layer), own, rounding_of(layer))
            for layer, own in zip(layers, codes, strict=True)
        ]
        kernels = KernelBlocks(rows, n, estimator)
        cells = _cells(len(xs), None if ys is None else len(ys))
        found = deleted_cka(kernels, cells, reporter(self.function, progress, "intervals"))
        warn_of_few(self.function, zip(labels, found.share.tolist(), strict=True), n)
        bounds = jackknife_bounds(
            OF_CKA, found.values, found.without, found.pair_variance, self.level, rare=True
        )
        return CellIntervals(*(_matrix(values, cells, len(xs), ys) for values in bounds[:3]))


def _cells(layers_x: int, layers_y: int | None) -> list[tuple[int, int]]:
    """The index pairs of the cells; without those below the diagonal if xs are compared with themselves."""
    if layers_y is None:
        return [(i, j) for i in range(layers_x) for j in range(i, layers_x)]
    return [(i, layers_x + j) for i in range(layers_x) for j in range(layers_y)]


def _matrix(values: Floats, cells: list[tuple[int, int]], layers_x: int, ys: Sequence[Any] | None) -> Floats:
    if ys is not None:
        return values.reshape(layers_x, len(ys))
    found = np.empty((layers_x, layers_x))
    rows, columns = np.array(cells).T
    found[rows, columns] = found[columns, rows] = values
    return found
