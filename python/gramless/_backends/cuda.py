"""The CUDA module behind the interface of backends, on one device of one library.

Everything is enqueued: results are arrays that are filled later, and only functions that return numbers wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays import Floats
from .._arrays.namespaces import Array, Arrays, Wanted
from .._progress import Report
from ..kernels import Encoded, is_on_gpu, wants_median, with_sigma
from .cuda_contrast import CudaContrast
from .values import HEAD, DistillTask, HsicTask, HsicValues, Kernels, Orders, PairSums

COPIED_BYTES = 2**30  # bytes of permuted copies of y at a time


class Cuda(CudaContrast):
    """One device of one library; errors of a launch name `function`."""

    def _hsic(self, operation: str, x: Any, y: Any, kernels: Kernels, estimator: str, *results: Any) -> None:
        if estimator not in ("biased", "unbiased"):
            self.cpu_only("squared distances are compared", "the layers")
        for formula, *_ in kernels:
            if not is_on_gpu(formula):
                self.cpu_only(f'the kernel "{formula}" is computed', "the arrays")
        options = estimator, self.library.allow_tf32
        self.run(operation, x, y, *kernels, *options, *map(self.address, results))

    def _pair(self, x: Array, y: Array, kernels: Kernels, estimator: str, *results: Any) -> Array:  # (3,)
        """HSIC of x with y, x with x, y with y. Also fills each of `results` that is not None: row sums
        (2, n) and bandwidths (2,) for `hsic_grad`, spreads (2,), mean k_ii - mean k_ij over i != j.
        """
        values, (rows, squares, spreads) = self.empty(3), results
        sides = self.view(x), self.view(y)
        self._hsic("hsic", *sides, kernels, estimator, rows, squares, values, spreads)
        return values

    def _matrix(
        self, task: HsicTask, rows: Array | None = None, squares: Array | None = None
    ) -> tuple[Array, Array]:
        """HSIC (xs, ys) of every x with every y, and (xs + ys,) of each with itself; no ys: (xs, xs)."""
        xs, ys, kernels, estimator = task
        values, own = self.empty(len(xs), len(ys) or len(xs)), self.empty(len(xs) + len(ys))
        x, y = [*map(self.view, xs)], [*map(self.view, ys)]
        self._hsic("hsic_matrix", x, y, kernels, estimator, rows, squares, values, own)
        return values, own

    def hsic_forward(self, task: HsicTask, keep: bool, report: Report = None) -> HsicValues:
        xs, ys, kernels, estimator = task
        layers, n, saved = len(xs) + len(ys), xs[0].shape[0], None
        rows, squares = (self.empty(layers, n), self.empty(layers)) if keep else (None, None)
        if len(xs) == len(ys) == 1:
            pair = self._pair(xs[0], ys[0], kernels, estimator, rows, squares, None)
            values = pair[:1].reshape(1, 1), pair[1:2], pair[2:]
        else:
            xy, own = self._matrix(task, rows, squares)
            values = xy, own[: len(xs)], own[len(xs) :] if ys else own
        if keep:
            saved = self.zeros(layers, HEAD + n)
            saved[:, 0], saved[:, 1], saved[:, HEAD:] = squares, 1, rows
        if report is not None:
            report(1, 1)
        return HsicValues(*values, rows=saved)

    def hsic_backward(self, task: HsicTask, saved: Array, weights: Arrays, wanted: Wanted) -> list[Any]:
        """Pair by pair; the gradients of 16-bit layers are added in float32."""
        xs, ys, kernels, estimator = task
        layers, alone = [*xs, *ys], not ys
        totals: list[Any] = [None] * len(layers)
        for i in range(len(xs)):
            for j in range(i, len(xs)) if alone else range(len(ys)):
                sides = i, j if alone else len(xs) + j
                asked = [wanted[sides[0]], wanted[sides[1]] and not (alone and i == j)]
                if not any(asked):
                    continue
                rows, squares = self._copied(saved, sides, slice(HEAD, None)), self._copied(saved, sides, 0)
                of_pair = self._weights_of_pair(alone, i, j, *weights)
                pair = [layers[side] for side in sides]
                found = self.gradients(pair, asked)
                x, y = map(self.view, pair)
                self._hsic("hsic_grad", x, y, kernels, estimator, rows, squares, of_pair, *found)
                for side, grad in zip(sides, found, strict=True):
                    totals[side] = self._added(totals[side], grad)
        return totals

    def _copied(self, saved: Array, sides: tuple[int, int], columns: Any) -> Array:
        """A contiguous copy of two rows of the saved array."""
        parts = [saved[side, columns] for side in sides]
        found = self.empty(2, *parts[0].shape)
        found[0], found[1] = parts
        return found

    def _weights_of_pair(
        self, alone: bool, i: int, j: int, by_xy: Array, by_xx: Array, by_yy: Array
    ) -> Array:  # (3,)
        """The derivative with respect to one pair's values; a layer's HSIC with itself counts in one pair."""
        found = self.full(3, 0.0)
        if not alone:
            found[0] = by_xy[i, j]
            if j == 0:
                found[1] = by_xx[i]
            if i == 0:
                found[2] = by_yy[j]
        elif i == j:
            found[1] = by_xy[i, i] + by_xx[i]
        else:
            found[0] = by_xy[i, j] + by_xy[j, i]
        return found

    def _added(self, total: Array | None, grad: Array | None) -> Array | None:
        """The sum of gradients, in float32 at least."""
        if total is None or grad is None:
            return grad if total is None else total
        wide = "float64" if self.xp.dtype(total) == "float64" else "float32"
        return self.xp.cast(total, wide) + self.xp.cast(grad, wide)

    def pair_sums(self, x: Array, y: Array, kernels: Kernels, estimator: str) -> PairSums:
        spreads = self.empty(2)
        xy, xx, yy = _arrays.to_host(self._pair(x, y, kernels, estimator, None, None, spreads)).tolist()
        spread_x, spread_y = _arrays.to_host(spreads).tolist()
        return PairSums(xy, xx, yy, spread_x, spread_y, int(x.shape[0]))

    def permuted_hsic(self, x: Array, y: Array, kernels: Kernels, orders: Orders, report: Report) -> Floats:
        """One sweep of x over permuted copies of y for each batch of orders."""
        at_once = max(1, COPIED_BYTES // (math.prod(y.shape) * self.library.itemsize(y)))
        batches = [orders[start : start + at_once] for start in range(0, len(orders), at_once)]
        found: list[float] = []
        for values in self.permuted_values([x], [y], kernels, "unbiased", batches):
            found.extend(values.xy[0])
            if report is not None:
                report(len(found), len(orders))
        return np.array(found)

    def permuted_values(
        self, xs: Arrays, ys: Arrays, kernels: Kernels, estimator: str, orders: Iterable[Orders]
    ) -> Iterator[HsicValues]:
        """For batches of orders of the rows (B, n), HSIC of xs with all ys in each order, (Lx, B Ly), and
        of each layer with itself, in the CPU's memory.
        """
        for batch in orders:
            copies = [self.library.at(y, order) for order in batch for y in ys]
            xy, own = map(_arrays.to_host, self._matrix(HsicTask(xs, copies, kernels, estimator)))
            yield HsicValues(xy, own[: len(xs)], own[len(xs) :])

    def resolved(self, x: Array, y: Array, kernels: Kernels) -> Kernels:
        return self._resolved(x, kernels[0]), self._resolved(y, kernels[1])

    def _resolved(self, x: Array, kernel: Encoded) -> Encoded:
        if not wants_median(kernel):
            return kernel
        _, _, scale, include_diagonal, *_ = kernel
        median = self._median_squared_distance(x, include_diagonal)
        sigma = scale * math.sqrt(float(_arrays.to_host(median)[0]))
        return with_sigma(kernel, sigma) if 0 < sigma < math.inf else kernel

    def _median_squared_distance(self, x: Array, include_diagonal: bool) -> Array:  # (1,)
        median = self.empty(1)
        arguments = self.view(x), include_diagonal, False, self.address(median)
        self.run("median_squared_distance", *arguments)
        return median

    def median_distance(self, x: Array, include_diagonal: bool, report: Report) -> Array:
        found = self._median_squared_distance(x, include_diagonal)[0] ** 0.5
        if report is not None:
            report(1, 1)
        return found

    def nearest_neighbors(self, xs: Arrays, k: int, with_cosines: bool, report: Report) -> Any:
        self.cpu_only("nearest rows are computed", "the layers")

    def distill_forward(self, task: DistillTask) -> tuple[Array, Array, Array]:
        n = task.arrays[0].shape[0]
        losses, mean = self.empty(n), self.empty(1)
        saved = self.empty(self.module.distill_saved_arrays, n)
        results = map(self.address, (losses, saved, mean))
        self.run("distill_forward", *self._distill_arguments(task), *results)
        return losses, mean[0], saved

    def distill_backward(
        self, task: DistillTask, saved: Array, weights: Array | None, scale: Any
    ) -> tuple[Array, Array]:
        student, by_temperature = task.arrays[0], self.empty(1)
        (grad,) = self.gradients([student], [True])
        scale = None if scale is None else self.full(1, scale)
        weights = None if weights is None else self.full(student.shape[0], weights)  # contiguous
        results = map(self.address, (saved, weights, scale, grad, by_temperature))
        self.run("distill_backward", *self._distill_arguments(task), *results)
        return grad, by_temperature

    def _distill_arguments(self, task: DistillTask) -> tuple[Any, ...]:
        arrays = (*map(self.view, task.arrays), None)[:4]  # None: one queue for both
        return arrays, *self.given(task.temperature), task.teacher_temperature, task.normalize
