"""The CPU core behind the interface of backends. Results are there when a call returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arrays import Floats
from .._arrays.namespaces import Array
from .._progress import Report
from ..kernels import Encoded, wants_median, with_sigma
from .cpu_contrast import CpuContrast
from .values import HEAD, DistillTask, HsicValues, Kernels, PairSums

Sweep = _core.Sweep


class Cpu(CpuContrast):
    """The arrays of one library, computed with by the core."""

    def layer_values(
        self,
        xs: Sequence[Array],
        ys: Sequence[Array],
        kernels_x: Sequence[Encoded],
        kernels_y: Sequence[Encoded],
        estimator: str,
        space: str = "auto",
        report: Report = None,
    ) -> HsicValues:
        """All sums, in one walk; the space that costs less, or "gram" or "features"."""
        x, y = [*map(self.library.view, xs)], [*map(self.library.view, ys)]
        found = _core.hsic_matrix(x, y, kernels_x, kernels_y, estimator, space, report)
        return HsicValues.of_core(found, len(x), not y)

    def hsic_pair(
        self, x: Array, y: Array, kernels: Kernels, estimator: str
    ) -> tuple[float, float, float, int, int, float, float]:
        return _core.hsic_pair(self.library.view(x), self.library.view(y), *kernels, estimator, "auto")

    def hsic_forward(
        self,
        xs: Sequence[Array],
        ys: Sequence[Array],
        kernels: Kernels,
        estimator: str,
        keep: bool,
        report: Report = None,
    ) -> HsicValues:
        if not keep:
            of_x, of_y = [kernels[0]] * len(xs), [kernels[1]] * len(ys)
            return self.layer_values(xs, ys, of_x, of_y, estimator, report=report)
        x, y = [*map(self.library.view, xs)], [*map(self.library.view, ys)]
        one, in_float64 = len(x) == len(y) == 1, self.dtype([*xs, *ys]) == "float64"
        sigmas = [
            _core.bandwidth(view, kernel, in_float64, None, name if one else f"{name}s[{i}]")
            if wants_median(kernel)
            else kernel[1] or 0.0
            for name, side, kernel in (("x", x, kernels[0]), ("y", y, kernels[1]))
            for i, view in enumerate(side)
        ]
        values, rows = _core.hsic_forward(x, y, *_resolved(kernels, sigmas, len(x)), estimator)
        saved = np.zeros((len(sigmas), HEAD + xs[0].shape[0]))
        saved[:, 0], saved[:, 2] = sigmas, values[-1]
        if rows.size:
            saved[:, 1], saved[:, HEAD:] = 1, rows.reshape(len(sigmas), -1)
        return HsicValues.of_core(values, len(x), not y, saved)

    def hsic_backward(
        self,
        xs: Sequence[Array],
        ys: Sequence[Array],
        kernels: Kernels,
        estimator: str,
        saved: Floats,
        weights: Sequence[Any],
        wanted: Sequence[bool],
    ) -> list[Array | None]:
        x, y = [*map(self.library.view, xs)], [*map(self.library.view, ys)]
        grads, targets = self._targets([*xs, *ys], wanted)
        rows = np.ascontiguousarray(saved[:, HEAD:]).reshape(-1) if saved[0, 1] else np.empty(0)
        resolved = _resolved(kernels, saved[:, 0].tolist(), len(x))
        by = [np.ascontiguousarray(w, np.float64).reshape(-1) for w in weights]
        _core.hsic_backward(x, y, *resolved, estimator, rows, by[0], by[1], by[2], targets)
        return grads

    def pair_sums(self, x: Array, y: Array, kernels: Kernels, estimator: str) -> PairSums:
        found = self.layer_values([x], [y], [kernels[0]], [kernels[1]], estimator)
        xy, xx, yy = float(found.xy[0, 0]), float(found.xx[0]), float(found.yy[0])
        spread_x, spread_y = found.diagonal_x[0] - found.mean_x[0], found.diagonal_y[0] - found.mean_y[0]
        exponent = int(found.exponent_x[0] + found.exponent_y[0])
        return PairSums(xy, xx, yy, float(spread_x), float(spread_y), int(x.shape[0]), exponent)

    def resolved(self, x: Array, y: Array, kernels: Kernels) -> Kernels:
        return kernels  # the core keeps no medians

    def permuted_hsic(
        self, x: Array, y: Array, kernels: Kernels, orders: npt.NDArray[np.int64], report: Report
    ) -> Floats:
        view = self.library.view
        return _core.permuted_hsic(view(x), view(y), *kernels, orders, "unbiased", report)

    def jackknife_hsic(
        self,
        x: Array,
        y: Array,
        kernels: Kernels,
        order: npt.NDArray[np.int64],
        sizes: npt.NDArray[np.int64],
        estimator: str,
    ) -> tuple[Floats, Floats, Floats]:
        """xy, xx, yy of all rows, then without each group: (1 + groups,). order: the rows by groups."""
        view = self.library.view
        return _core.jackknife_hsic(view(x), view(y), *kernels, order, sizes, estimator)

    def bandwidth(self, x: Array, kernel: Encoded, in_float64: bool, report: Report, name: str) -> float:
        """The kernel's sigma for x; warnings call x `name`."""
        return _core.bandwidth(self.library.view(x), kernel, in_float64, report, name)

    def sweep(
        self,
        xs: Sequence[Array],
        ys: Sequence[Array],
        kernels_x: Sequence[Encoded],
        kernels_y: Sequence[Encoded],
        estimator: str,
    ) -> Sweep:
        """What `layer_values` does, in parts; the caller holds xs and ys meanwhile."""
        x, y = [*map(self.library.view, xs)], [*map(self.library.view, ys)]
        return Sweep(x, y, kernels_x, kernels_y, estimator, "auto")

    def median_distance(self, x: Array, include_diagonal: bool, report: Report) -> float:
        return _core.median_distance(self.library.view(x), include_diagonal, report)

    def distill_forward(self, task: DistillTask) -> tuple[Floats, float, Floats]:
        losses, saved = _core.distill_forward(*self._distill_arguments(task))
        return losses, float(np.add.reduce(losses)) / len(losses), saved

    def distill_backward(
        self, task: DistillTask, saved: Floats, weights: Floats | None, scale: float | None
    ) -> tuple[Array, float]:
        n = task.arrays[0].shape[0]
        if weights is None:
            weights = self.full(n, cast(float, scale) / n)
        only_student = [True, *([False] * (len(task.arrays) - 1))]
        grads, targets = self._targets(task.arrays, only_student)
        arguments = (*self._distill_arguments(task), saved, weights, targets[0])
        return grads[0], _core.distill_backward(*arguments)

    def _distill_arguments(self, task: DistillTask) -> tuple[Any, ...]:
        arrays = (*map(self.library.view, task.arrays), None)[:4]  # None: one queue for both
        return arrays, (task.temperature, task.teacher_temperature), task.normalize


def _resolved(kernels: Kernels, sigmas: Sequence[float], split: int) -> tuple[list[Encoded], list[Encoded]]:
    """The kernel of every layer, with its bandwidth."""
    of_x, of_y = (
        [with_sigma(kernel, sigma) for sigma in some]
        for kernel, some in zip(kernels, (sigmas[:split], sigmas[split:]), strict=True)
    )
    return of_x, of_y
