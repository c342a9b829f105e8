"""Contrastive losses of the CUDA module, behind the interface of backends.

Everything is enqueued; only labels in the CPU's memory make a call wait for the device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays
from .._arrays.namespaces import Array, Arrays, Wanted
from .._losses import TIE, numbered
from .cuda_arrays import CudaArrays
from .values import SAVED_ROWS, ContrastLosses, ContrastTask, SigmoidTask

FARTHEST = {"float32": 87.0, "float64": 700.0}  # the exponential of it is finite
MOST_PARTS = 2  # arrays on one side that a launch can read


@dataclass(frozen=True)
class CudaContrast(CudaArrays):
    """Contrastive losses of arrays on one device. Groups are int32 arrays or None: see ops/api.hpp."""

    no_groups = None, None

    def labelled_groups(self, labels: Any) -> tuple[Any, Array]:
        """Groups of rows with one label, which are positives of each other; how many have one, at least 1."""
        if self.library.owns(labels):
            groups, counted = self._dense_groups(labels)
        else:
            numbers = numbered(_arrays.to_host(labels))
            several = np.bincount(numbers)[numbers] > 1
            groups, counted = map(self.placed, (numbers.astype(np.int32), several))
        return (groups, None), self.count(counted)

    def _dense_groups(self, labels: Array) -> tuple[Array, Array]:
        """Labels (n,) on the device as int32 from 0, and whether another row has the same label. Computes
        nothing on the host, and so does not wait for the device.
        """
        n, cast, order = len(labels), self.xp.cast, labels.argsort()
        ordered = labels[order]
        differs = ordered[1:] != ordered[:-1]
        ranks, groups = self.zeros(n, dtype="int32"), self.zeros(n, dtype="int32")
        partner, counted = self.zeros(n, dtype="bool"), self.zeros(n, dtype="bool")
        ranks[1:] = cast(differs, "int32").cumsum(0)
        partner[1:] |= ~differs
        partner[:-1] |= ~differs
        groups[order], counted[order] = cast(ranks, "int32"), partner
        return groups, counted

    def instance_groups(self, anchors: Arrays, keys: Arrays) -> Any:
        """Groups in which row i of all anchors and of the first keys is one example; other keys have none."""
        if len(keys) < 2:
            return self.no_groups
        n = anchors[0].shape[0]
        groups = self.zeros(sum([x.shape[0] for x in keys]), dtype="int32") - 1
        groups[:n] = self.xp.arange(n, self.device)
        return None, groups

    def groups_of_ids(self, ids: Any, n: int) -> Any:
        self.cpu_only("ids are compared", "the embeddings")

    def paired_cosines(self, x: Array, y: Array, dtype: str) -> Any:
        self.cpu_only("a guide's rows are compared", "embeddings and guide")

    def given_groups(self, of_anchors: Any, of_keys: Any) -> Any:
        """Integers of the library as groups."""
        cast = self.xp.cast
        return cast(of_anchors, "int32"), None if of_keys is None else cast(of_keys, "int32")

    def _contrast(self, task: ContrastTask) -> tuple[Any, ...]:
        above, share, easiest = task.excluded
        if easiest is not None:
            self.cpu_only("exclude_easiest is computed", "the embeddings")
        if max(len(task.anchors), len(task.keys)) > MOST_PARTS:
            self.cpu_only(f"more than {MOST_PARTS} arrays of keys are compared", "the embeddings")
        sides = [[self.view(x) for x in side] for side in (task.anchors, task.keys)]
        limit = math.inf if above is None else above
        hardest = (0.0, 0.0) if share is None else (share, TIE)
        options = task.normalize, limit, *hardest, task.kind, task.symmetric
        return (*sides, *map(self.address, task.groups), *self.given(task.temperature), *options)

    def contrast_forward(self, task: ContrastTask, keep: bool) -> ContrastLosses:
        n, m = task.rows, task.columns
        losses, mean = self.empty(n + m if task.symmetric else n), self.empty(1)
        saved = self.empty(self.module.contrast_saved_arrays, n + m)
        results = map(self.address, (losses, saved, mean))
        self.run("contrast_forward", *self._contrast(task), *results)
        return ContrastLosses(losses[:n], losses[n:] if task.symmetric else None, saved, None, mean[0])

    def contrast_backward(
        self, task: ContrastTask, saved: Array, kept: None, weights: Any, scale: Any, wanted: Wanted
    ) -> tuple[list[Any], Array]:
        if weights is None:
            return self._backward(task, saved, None, self.full(1, scale), wanted)
        n = task.rows
        every = self.full(n + task.columns if task.symmetric else n, 0.0)
        every[:n] = weights
        if task.symmetric:
            every[n : 2 * n] = weights
        return self._backward(task, saved, every, None, wanted)

    def _backward(
        self, task: ContrastTask, saved: Array, weights: Any, scale: Any, wanted: Wanted
    ) -> tuple[list[Any], Array]:
        grads = self.gradients((*task.anchors, *task.keys), wanted)
        by_temperature = self.empty(1)
        sources = map(self.address, (saved, weights, scale))
        targets = [self.address(grad) for grad in grads], self.address(by_temperature)
        self.run("contrast_backward", *self._contrast(task), *sources, *targets)
        return grads, by_temperature

    def shifts(self, task: ContrastTask, saved: Array, denominators: Array) -> Array:
        """The shifts of anchors and keys; saved sums are in units of exp(shift).

        A key for which the forward computed no sums gets the shift that all anchors share. If anchors differ
        in it, or exp(logarithm of the key's denominator - shift) overflows, it gets that logarithm.
        """
        n, shift = task.rows, saved[0]
        if not task.keys or task.symmetric:
            return shift
        farthest = FARTHEST["float64" if self.dtype(task.anchors) == "float64" else "float32"]
        distance = abs(denominators[n:] - shift[0])
        near = (shift[:n] == shift[0]).all() & (distance < farthest)
        found = self.full(n + task.columns, 0.0)
        found[:n], found[n:] = shift[:n], self.xp.where(near, shift[0], denominators[n:])
        return found

    def partial_backward(
        self, task: ContrastTask, saved: Array, positives: Array, weight: Any, wanted: Wanted
    ) -> tuple[list[Any], Array]:
        """Gradients of a part of a larger problem with given sums and counts of positives; one weight for
        all.
        """
        count = task.rows + task.columns
        sums = self.zeros(SAVED_ROWS["cuda"], count)
        sums[:4], sums[4] = saved, positives
        task = task._replace(symmetric=bool(task.keys))
        return self._backward(task, sums, self.full(count, weight), None, wanted)

    def sigmoid_pairs(self, task: SigmoidTask, weights: Any, wanted: Wanted) -> tuple[Any, list[Any]]:
        self.cpu_only("the sigmoid loss of pairs is computed", "a and b")
