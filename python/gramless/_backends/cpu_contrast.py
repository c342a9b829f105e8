"""Contrastive losses of the CPU core, behind the interface of backends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arrays.namespaces import Arrays, Wanted
from .._losses import TIE, numbered
from .cpu_arrays import CpuArrays
from .values import SAVED_ROWS, ContrastLosses, ContrastTask, SigmoidTask

Groups: TypeAlias = npt.NDArray[np.int64]

_NONE: Groups = np.empty(0, np.int64)
_PADDED = 1.1  # the size of tiles with their padding, relative to the values in them


@lru_cache(maxsize=64)
def _instance_groups(n: int, views: int, key_rows: tuple[int, ...]) -> tuple[Groups, Groups]:
    examples = np.arange(n, dtype=np.int64)
    of_keys = np.full(sum(key_rows), -1, np.int64)
    of_keys[:n] = examples[: len(of_keys)]
    return np.tile(examples, views), of_keys


def _fractions(task: ContrastTask) -> list[tuple[float, bool]]:
    """The fractions of negatives left out by rank, and whether these are the easiest."""
    _, hardest, easiest = task.excluded
    found = [] if hardest is None else [(hardest, False)]
    return found if easiest is None else [*found, (easiest, True)]


def _limits(task: ContrastTask, ranked: Any) -> Any:
    """The limits that leave negatives out, for the core; ranked: (n + m,) for each fraction."""
    above = task.excluded[0]
    if task.guide is not None:
        return task.limits, np.full(task.columns, np.inf)
    if len(ranked) == 0:
        return above
    n = task.rows
    sides = {easiest: (row[:n], row[n:]) for row, (_, easiest) in zip(ranked, _fractions(task), strict=True)}
    if above is not None:
        sides[False] = np.full(n, above), np.full(task.columns, above)
    return (*sides.get(False, (None, None)), *sides.get(True, (None, None)))


class CpuContrast(CpuArrays):
    """Contrastive losses of arrays in the CPU's memory."""

    no_groups = _NONE, _NONE

    def labelled_groups(self, labels: Any) -> tuple[Any, int]:
        """Groups of rows with one label, which are positives of each other; how many have one, at least 1."""
        found = numbered(self.placed(labels))
        return (found, _NONE), self.count(np.bincount(found)[found] > 1)

    def instance_groups(self, anchors: Arrays, keys: Arrays) -> Any:
        """Groups in which row i of all anchors and of the first keys is one example; other keys have none."""
        return _instance_groups(anchors[0].shape[0], len(anchors), tuple([x.shape[0] for x in keys]))

    def groups_of_ids(self, ids: Any, n: int) -> tuple[Any, Any]:
        """Groups of n anchors and of keys by their ids; the first n keys have the ids of the anchors."""
        found = numbered(self.placed(ids))
        return found[:n], found

    def given_groups(self, of_anchors: Any, of_keys: Any) -> Any:
        """Integers of the library as groups."""
        return self._integers(of_anchors), _NONE if of_keys is None else self._integers(of_keys)

    def _integers(self, x: Any) -> Groups:
        return np.ascontiguousarray(self.placed(x), np.int64)

    def _contrast(self, task: ContrastTask, limits: Any, *more: Any) -> tuple[Any, ...]:
        """The arguments of a call of the core."""
        sides = self.views(task.anchors), self.views(task.keys)
        guide = None if task.guide is None else tuple(map(self.views, task.guide))
        chosen = task.temperature, task.normalize, task.kind, limits
        return (*sides, *task.groups, *chosen, guide, *more)

    def paired_cosines(self, x: Any, y: Any, dtype: str) -> Any:
        """The cosines (n,) of row i of x and row i of y, rounded as a guide's in tiles of this dtype."""
        of_x, of_y = self.views([x, y])
        return _core.paired_cosines(of_x, of_y, dtype == "float64")

    def kept_together(self, tasks: Sequence[ContrastTask]) -> list[bool]:
        """For each task, whether its forward keeps tiles: all kept tiles must fit into the workspace."""
        left, found = float(_core.workspace_limit()), list[bool]()
        for task in tasks:
            values = (task.rows * task.columns or task.rows**2 / 2) * (2 if task.guide else 1)
            size = _PADDED * values * np.dtype(self.dtype([*task.anchors, *task.keys])).itemsize
            found.append(size <= left)
            left -= size if found[-1] else 0
        return found

    def contrast_forward(self, task: ContrastTask, keep: bool) -> ContrastLosses:
        """keep: also keeps tiles for a backward, up to the limit of the workspace."""
        ranked = [self._ranked(task, *one) for one in _fractions(task)]
        limits = _limits(task, ranked)
        found = ContrastLosses(*_core.contrast_forward(*self._contrast(task, limits, keep)))
        if ranked:
            found = found._replace(saved=np.vstack([found.saved, *ranked]))
        return found

    def _ranked(self, task: ContrastTask, fraction: float, easiest: bool) -> Any:
        """For anchors and keys, (n + m,): the largest dot product of kept negatives; easiest: the least."""
        anchors, keys, *groups = self._contrast(task, None)[:4]
        chosen = task.normalize, fraction, TIE, task.symmetric, easiest
        return np.concatenate(_core.contrast_limits(anchors, keys, groups[0], groups[1], *chosen))

    def contrast_backward(
        self, task: ContrastTask, saved: Any, kept: Any, weights: Any, scale: None, wanted: Wanted
    ) -> tuple[list[Any], float]:
        """weights: (n,) of the anchors' losses, or (2, n) if the losses of the first keys have their own."""
        of_keys, sums = None, SAVED_ROWS["cpu"]
        saved, limits = np.ascontiguousarray(saved[:sums]), _limits(task, saved[sums:])
        of_anchors, of_first_keys = weights if weights.ndim == 2 else (weights, weights)
        if task.symmetric:
            of_keys = self.full(task.columns, 0.0)
            of_keys[: task.rows] = of_first_keys
        grads = self.gradients([*task.anchors, *task.keys], wanted)
        own = saved, of_anchors, of_keys, self.views(grads)
        if kept is not None:
            return grads, kept.backward(*own)
        return grads, _core.contrast_backward(*self._contrast(task, limits, *own, None))

    def shifts(self, task: ContrastTask, saved: Any, denominators: Any) -> Any:
        """The shifts of anchors and keys; saved sums are in units of exp(shift)."""
        return saved[0]

    def partial_backward(
        self, task: ContrastTask, saved: Any, positives: Any, weight: Any, wanted: Wanted
    ) -> tuple[list[Any], float]:
        """Gradients of a part of a larger problem with given sums and counts of positives; one weight for
        all.
        """
        n, counts, number = task.rows, self._integers(positives), float(weight)
        weights = self.full(n, number), self.full(task.columns, number) if task.keys else None
        grads = self.gradients([*task.anchors, *task.keys], wanted)
        own = self.placed(saved), *weights, self.views(grads), (counts[:n], counts[n:])
        return grads, _core.contrast_backward(*self._contrast(task, None, *own))

    def sigmoid_pairs(self, task: SigmoidTask, weights: Any, wanted: Wanted) -> tuple[Any, list[Any]]:
        a, b, scale, bias, normalize, first_positive = task
        grads = self.gradients([a, b], wanted)
        if weights is None:
            weights = self.full(a.shape[0], 0.0)
        sides, numbers, targets = self.views([a, b]), (scale, bias), self.views(grads)
        chosen = normalize, first_positive, weights
        return _core.sigmoid_pairs((sides[0], sides[1]), numbers, *chosen, (targets[0], targets[1])), grads
