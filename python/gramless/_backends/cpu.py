"""The CPU core behind the interface of backends. Results are computed when a call returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arrays import Floats
from .._arrays.namespaces import Array, Arrays, Wanted
from .._progress import Report
from ..kernels import Encoded, wants_median, with_sigma
from .cpu_contrast import CpuContrast
from .stacked import Stacked
from .values import HEAD, DistillTask, HsicTask, HsicValues, Kernels, Orders, PairSums

Rows: TypeAlias = npt.NDArray[np.int32]  # (n, k)
OfLayers: TypeAlias = tuple[Sequence[Encoded], Sequence[Encoded]]  # a kernel for every x and every y
Sweep = _core.Sweep


class Cpu(CpuContrast):
    """Computes with the arrays of one library by the core."""

    def hsic_pair(self, x: Array, y: Array, kernels: Kernels, estimator: str) -> Sequence[Any]:
        view = self.library.view
        own = x.view if type(x) is Stacked else view(x)
        return _core.hsic_pair(own, view(y), *kernels, estimator, "auto")

    def stacked(self, x: Array, y: Array) -> tuple[Stacked, Array]:
        """The rows of x above those of y, read in place, and which of them are of x: (n + m, 1)."""
        return Stacked(self.library, x, y), self.indicator(x.shape[0], y.shape[0], self.dtype([x, y]))

    def hsic_forward(self, task: HsicTask, keep: bool, report: Report = None) -> HsicValues:
        xs, ys, kernels, estimator = task
        x, y = self.views(xs), self.views(ys)
        if not keep:
            of_layers = [kernels[0]] * len(xs), [kernels[1]] * len(ys)
            found = _core.hsic_matrix(x, y, *of_layers, estimator, "auto", report)
            return HsicValues.of_core(found, len(x), not y)
        sigmas = self._sigmas(xs, ys, kernels)
        values, rows = _core.hsic_forward(x, y, *_resolved(kernels, sigmas, len(x)), estimator)
        saved = np.zeros((len(sigmas), HEAD + xs[0].shape[0]))
        saved[:, 0], saved[:, 2] = sigmas, values[-1]
        if rows.size:
            saved[:, 1], saved[:, HEAD:] = 1, rows.reshape(len(sigmas), -1)
        return HsicValues.of_core(values, len(x), not y, saved)

    def hsic_backward(self, task: HsicTask, saved: Floats, weights: Arrays, wanted: Wanted) -> list[Any]:
        x, y = self.views(task.xs), self.views(task.ys)
        grads = self.gradients([*task.xs, *task.ys], wanted)
        rows = np.ascontiguousarray(saved[:, HEAD:]).reshape(-1) if saved[0, 1] else np.empty(0)
        resolved = _resolved(task.kernels, saved[:, 0].tolist(), len(x))
        by = [np.ascontiguousarray(w, np.float64).reshape(-1) for w in weights]
        _core.hsic_backward(x, y, *resolved, task.estimator, rows, by[0], by[1], by[2], self.views(grads))
        return grads

    def pair_sums(self, x: Array, y: Array, kernels: Kernels, estimator: str) -> PairSums:
        found = self.hsic_forward(HsicTask([x], [y], kernels, estimator), False)
        xy, xx, yy = float(found.xy[0, 0]), float(found.xx[0]), float(found.yy[0])
        spread_x, spread_y = found.diagonal_x[0] - found.mean_x[0], found.diagonal_y[0] - found.mean_y[0]
        exponent = int(found.exponent_x[0] + found.exponent_y[0])
        return PairSums(xy, xx, yy, float(spread_x), float(spread_y), int(x.shape[0]), exponent)

    def resolved(self, x: Array, y: Array, kernels: Kernels) -> Kernels:
        (of_x,), (of_y,) = _resolved(kernels, self._sigmas([x], [y], kernels), 1)
        return of_x, of_y

    def _sigmas(self, xs: Arrays, ys: Arrays, kernels: Kernels) -> list[float]:
        """The bandwidth of every layer, 0 where its kernel has none."""
        one, in_float64 = len(xs) == len(ys) == 1, self.dtype([*xs, *ys]) == "float64"
        return [
            self.bandwidth(layer, kernel, in_float64, None, name if one else f"{name}s[{i}]")
            if wants_median(kernel)
            else kernel[1] or 0.0
            for name, side, kernel in (("x", xs, kernels[0]), ("y", ys, kernels[1]))
            for i, layer in enumerate(side)
        ]

    def permuted_hsic(self, x: Array, y: Array, kernels: Kernels, orders: Orders, report: Report) -> Floats:
        x, y = self.views([x, y])
        return _core.permuted_hsic(x, y, *kernels, orders, "unbiased", report)

    def permuted_values(
        self, xs: Arrays, ys: Arrays, kernels: Kernels, estimator: str, orders: Iterable[Orders]
    ) -> Iterator[HsicValues]:
        """For batches of orders of the rows (B, n), HSIC of xs with all ys in each order: (Lx, B Ly)."""
        of_x, of_y = _resolved(kernels, self._sigmas(xs, ys, kernels), len(xs))
        for batch in orders:
            copies = [self.library.at(y, order) for order in batch for y in ys]
            kernels_of_copies = [*of_y] * len(batch)
            x, y = self.views(xs), self.views(copies)
            found = _core.hsic_matrix(x, y, of_x, kernels_of_copies, estimator, "auto", None)
            yield HsicValues.of_core(found, len(x), False)

    def jackknife_hsic(
        self, x: Array, y: Array, kernels: Kernels, order: Orders, sizes: Orders, estimator: str
    ) -> tuple[Floats, Floats, Floats]:
        """xy, xx, yy of all rows, then without each group: (1 + groups,). order: rows, group after group."""
        x, y = self.views([x, y])
        return _core.jackknife_hsic(x, y, *kernels, order, sizes, estimator)

    def bandwidth(self, x: Array, kernel: Encoded, in_float64: bool, report: Report, name: str) -> float:
        """The kernel's sigma for x; warnings call x `name`."""
        (x,) = self.views([x])
        return _core.bandwidth(x, kernel, in_float64, report, name)

    def sweep(self, xs: Arrays, ys: Arrays, kernels: OfLayers, estimator: str) -> Sweep:
        """`hsic_forward` in parts; the caller keeps xs and ys alive meanwhile."""
        return Sweep(self.views(xs), self.views(ys), *kernels, estimator, "auto")

    def median_distance(self, x: Array, include_diagonal: bool, report: Report) -> float:
        return _core.median_distance(self.library.view(x), include_diagonal, report)

    def median_apart(self, x: Array, lower: bool) -> float:
        """The median of distances that exceed rounding; lower: the smaller middle one of an even count."""
        return _core.median_apart(self.library.view(x), lower)

    def nearest_neighbors(
        self, xs: Arrays, k: int, with_cosines: bool, report: Report
    ) -> list[tuple[Rows | None, Floats | None]]:
        return _core.nearest_neighbors(self.views(xs), k, with_cosines, report)

    def shared_neighbors(self, xs: Sequence[Rows], ys: Sequence[Rows]) -> npt.NDArray[np.int64]:
        return _core.shared_neighbors(xs, ys)

    def distill_forward(self, task: DistillTask) -> tuple[Floats, float, Floats]:
        losses, saved = _core.distill_forward(*self._distill_arguments(task))
        return losses, self.total(losses) / len(losses), saved

    def distill_backward(
        self, task: DistillTask, saved: Floats, weights: Floats, scale: None
    ) -> tuple[Array, float]:
        grad = self.library.empty(task.arrays[0].shape, self.dtype(task.arrays))
        arguments = (*self._distill_arguments(task), saved, weights, self.library.view(grad))
        return grad, _core.distill_backward(*arguments)

    def _distill_arguments(self, task: DistillTask) -> tuple[Any, ...]:
        arrays = (*self.views(task.arrays), None)[:4]  # None: one queue for both
        return arrays, (task.temperature, task.teacher_temperature), task.normalize


def _resolved(kernels: Kernels, sigmas: Sequence[float], split: int) -> OfLayers:
    """The kernel of every layer, with its bandwidth."""
    of_x, of_y = kernels
    return [with_sigma(of_x, s) for s in sigmas[:split]], [with_sigma(of_y, s) for s in sigmas[split:]]
