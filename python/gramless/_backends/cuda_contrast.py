"""Contrastive losses of the CUDA module, behind the interface of backends.

Everything is enqueued; only labels of the host wait for the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays.frameworks import dense_groups
from .._arrays.namespaces import Array, Wanted
from .._losses import TIE, numbered
from .cuda_arrays import CudaArrays
from .values import SAVED_ROWS, ContrastLosses, ContrastTask

FARTHEST = {"float32": 87.0, "float64": 700.0}  # exp of it is still a number


@dataclass(frozen=True)
class CudaContrast(CudaArrays):
    """Contrastive losses of arrays on one device. Groups are int32 arrays or None: see ops/api.hpp."""

    no_groups = None, None

    def labelled_groups(self, labels: Any) -> tuple[Any, Array]:
        """Rows of one label are positive to each other; also how many have a positive, at least 1."""
        framework = self.framework
        if framework.owns(labels):
            groups, counted = dense_groups(framework, labels, self.device)
        else:
            numbers = numbered(self.library.host(labels))
            several = np.bincount(numbers)[numbers] > 1
            groups, counted = (framework.upload(x, self.device) for x in (numbers.astype(np.int32), several))
        return (groups, None), self.count(counted)

    def instance_groups(self, rows: tuple[int, ...], key_rows: tuple[int, ...]) -> Any:
        """Row i of all anchors and of the first keys is one example; other keys belong to none."""
        if len(key_rows) < 2:
            return self.no_groups
        groups = self.zeros(sum(key_rows), dtype="int32") - 1
        groups[: key_rows[0]] = self.arange(key_rows[0])
        return None, groups

    def given_groups(self, of_anchors: Any, of_keys: Any) -> Any:
        """Integers of the library as groups."""
        cast = self.framework.cast
        return cast(of_anchors, "int32"), None if of_keys is None else cast(of_keys, "int32")

    def _contrast(self, task: ContrastTask, keys_too: bool) -> tuple[Any, ...]:
        temperature = task.temperature
        sides = [[self.described(x) for x in side] for side in (task.anchors, task.keys)]
        known = isinstance(temperature, float)
        temperatures = (temperature, 0) if known else (math.nan, self.address(temperature))
        limit = math.inf if task.exclude_above is None else task.exclude_above
        hardest = (0.0, 0.0) if task.exclude_hardest is None else (task.exclude_hardest, TIE)
        options = task.normalize, limit, *hardest, task.kind, keys_too
        return (*sides, *map(self.address, task.groups), *temperatures, *options)

    def contrast_forward(self, task: ContrastTask, keep: bool) -> ContrastLosses:
        n, m = task.rows, task.columns
        losses, mean = self.empty(n + m if task.symmetric else n), self.empty(1)
        saved = self.empty(self.module.contrast_saved_arrays, n + m)
        results = map(self.address, (losses, saved, mean))
        self.run("contrast_forward", *self._contrast(task, task.symmetric), *results)
        return ContrastLosses(losses[:n], losses[n:] if task.symmetric else None, saved, None, mean[0])

    def contrast_backward(
        self, task: ContrastTask, saved: Array, kept: None, weights: Any, scale: Any, wanted: Wanted
    ) -> tuple[list[Any], Array]:
        if weights is None:
            return self._backward(task, task.symmetric, saved, None, self.full(1, scale), wanted)
        n = task.rows
        every = self.full(n + task.columns if task.symmetric else n, 0.0)
        every[:n] = weights
        if task.symmetric:
            every[n : 2 * n] = weights
        return self._backward(task, task.symmetric, saved, every, None, wanted)

    def _backward(
        self,
        task: ContrastTask,
        keys_too: bool,
        saved: Array,
        weights: Any,
        scale: Any,
        wanted: Wanted,
    ) -> tuple[list[Any], Array]:
        grads = self.gradients((*task.anchors, *task.keys), wanted)
        by_temperature = self.empty(1)
        sources = map(self.address, (saved, weights, scale))
        targets = [self.address(grad) for grad in grads], self.address(by_temperature)
        self.run("contrast_backward", *self._contrast(task, keys_too), *sources, *targets)
        return grads, by_temperature

    def shifts(self, task: ContrastTask, saved: Array, denominators: Array) -> Array:
        """Of anchors and keys, in whose units sums are saved. Keys that a forward did not sum have the shift
        of all anchors or, where each has its own, the logarithms of their denominators.
        """
        n, shift = task.rows, saved[0]
        if not task.keys or task.symmetric:
            return shift
        wide = self.framework.dtype(task.anchors[0]) == "float64"
        distance = abs(denominators[n:] - shift[0])
        near = (shift[:n] == shift[0]).all() & (distance < FARTHEST["float64" if wide else "float32"])
        found = self.full(n + task.columns, 0.0)
        found[:n], found[n:] = shift[:n], self.where(near, shift[0], denominators[n:])
        return found

    def partial_backward(
        self, task: ContrastTask, saved: Array, positives: Array, weight: Any, wanted: Wanted
    ) -> tuple[list[Any], Array]:
        """Of a part of a larger problem, whose sums and counts of positives are given; anchors and keys have
        one weight.
        """
        count = task.rows + task.columns
        sums = self.zeros(SAVED_ROWS["cuda"], count)
        sums[:4], sums[4] = saved, positives
        return self._backward(task, bool(task.keys), sums, self.full(count, weight), None, wanted)
