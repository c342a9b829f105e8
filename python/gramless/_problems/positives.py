"""Losses whose positives are computed here in float64 and whose log-sum-exps the core computes: MoCo,
InfoNCE with ids, and SupCon with a mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays.namespaces import Arrays, Wanted
from .._backends.values import ContrastTask
from .._losses import NOTHING, Exclusions
from .._progress import Report
from .blocks import Pairs, UnitRows
from .contrast import Contrast
from .problem import Forward, Loss, Saved, Shape


def log_odds(backend: Any, logs: Any, logits: Any) -> Any:
    """The log odds of the terms of a log-sum-exp against the positive: logs - logits."""
    # The softmax of an infinite logit is NaN, as in plain torch; the difference alone could be finite.
    infinite = (logits == math.inf) | (logs == math.inf)
    return backend.xp.where(infinite, math.nan, logs - logits)


@dataclass(frozen=True)
class OwnKeys(Loss):
    """The inputs are queries, their keys, others, the temperature and, if identified, ids of all but queries.

    loss_i = log(1 + exp(odds_i)), odds_i the log odds of the negatives against the positive. Negatives are
    the others, such as MoCo's queue; if identified, they are all keys and others whose id is not that of the
    query's own key, so that the key and its duplicates are left out.
    """

    arrays: int
    queues: int
    identified: bool = False
    symmetric: bool = False  # averages with the losses of keys, whose negatives are queries
    excluded: Exclusions = NOTHING

    @property
    def _places(self) -> Sequence[int]:
        """The positions of the inputs whose log-sum-exps are computed."""
        return range(self.arrays) if self.identified else (0, *range(2, self.arrays))

    @property
    def _negatives(self) -> Contrast:
        """The problem whose values are these log-sum-exps."""
        chosen = "log_sum_exp", 1, len(self._places), self.identified, self.symmetric, self.excluded
        return Contrast(self.function, self.normalize, "none", *chosen)

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n = shapes[0][0]
        _, saved = self._negatives.shapes(on_device, [shapes[i] for i in self._places])
        return self.value_shape(n), [*saved, (1 + self.symmetric, n)]

    def _parts(self, backend: Any, inputs: Arrays) -> tuple[Any, ...]:
        """The task of the log-sum-exps, queries with their keys, and the logits (n,) of these pairs."""
        task, _ = self._negatives.task(backend, [*[inputs[i] for i in self._places], *inputs[self.arrays :]])
        pairs = Pairs(backend, inputs[:2], self.normalize)
        return task, pairs, pairs.products() / task.temperature

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        with np.errstate(invalid="ignore", over="ignore"):
            parts = self._parts(backend, inputs)
            found, logits, n = backend.contrast_forward(parts[0], keep == "tiles"), parts[-1], len(parts[-1])
            odds = backend.empty(1 + self.symmetric, n)
            odds[0] = log_odds(backend, found.of_anchors, logits)
            if self.symmetric:
                odds[1] = log_odds(backend, found.of_keys[:n], logits)
            value = self.reduced(backend, backend.xp.softplus(odds).sum(0) / len(odds), n)
        return value, Saved((found.saved, odds), (*parts, found.kept) if keep == "tiles" else None)

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            task, pairs, logits, tiles = saved.kept or (*self._parts(backend, inputs), None)
            (sums, odds), arrays = saved.arrays, inputs[: self.arrays]
            # The negatives' part of the softmax: 1 minus the positive's part, without cancellation.
            shares = self.by_each_loss(grad, odds.shape[1]) * backend.xp.sigmoid(odds) / len(odds)
            share = shares.sum(0)
            own = [wanted[i] for i in self._places]
            weights = shares if self.symmetric else share
            by_rows, by_t = backend.contrast_backward(task, sums, tiles, weights, None, own)
            found: list[Any] = [None] * len(inputs)
            for i, by_row in zip(self._places, by_rows, strict=True):
                found[i] = by_row
            pull = -share[:, None] / task.temperature
            pairs.add_gradients(found, arrays, wanted, lambda i, block, rows, others: pull[block] * others.z)
            if wanted[self.arrays]:
                found[self.arrays] = by_t + backend.total(share * logits) / task.temperature
        return found


class _Shares:
    """The share of each positive in a row of a mask (n, n), which rows have a positive, and how many do."""

    def __init__(self, backend: Any, mask: Any) -> None:
        where, place = backend.xp.where, backend.xp.arange(mask.shape[0], backend.device)
        weights = where(place[:, None] == place[None, :], 0.0, backend.wide(mask))
        of_rows = weights.sum(1)
        self.counted = ~(of_rows <= 0)  # also rows with NaN, which propagates
        self.each = weights / where(self.counted, of_rows, 1.0)[:, None]
        self.count = backend.count(self.counted)


@dataclass(frozen=True)
class Masked(Loss):
    """The inputs are rows, the temperature and a mask (n, n), whose row i weighs the positives of row i.

    loss_i = log sum_{j != i} exp(s_ij) - mean over positives p of s_ip; 0 without a positive.
    """

    arrays = 1

    def constants(self) -> Sequence[int]:
        return (2,)

    @property
    def _logs(self) -> Contrast:
        """The problem whose values are the log-sum-exps."""
        return Contrast(self.function, self.normalize, "none", "log_sum_exp", 1, 1)

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        of_losses, saved = self._logs.shapes(on_device, shapes)
        return self.value_shape(*of_losses), [*saved, of_losses]

    def _parts(self, backend: Any, inputs: Arrays) -> tuple[ContrastTask, UnitRows, _Shares]:
        z, temperature, mask = inputs
        rows = UnitRows(backend, z, self.normalize)
        return self._logs.task(backend, [z, temperature])[0], rows, _Shares(backend, mask)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        with np.errstate(invalid="ignore", over="ignore"):
            task, rows, shares = parts = self._parts(backend, inputs)
            found = backend.contrast_forward(task, keep == "tiles")
            means = (rows.z * (shares.each @ rows.z)).sum(1) / task.temperature
            logs = backend.xp.where(found.of_anchors == math.inf, math.nan, found.of_anchors)  # not defined
            losses = backend.xp.where(shares.counted, logs - means, 0.0)
            value = self.reduced(backend, losses, shares.count)
        return value, Saved((found.saved, means), (*parts, found.kept) if keep == "tiles" else None)

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            task, rows, shares, tiles = saved.kept or (*self._parts(backend, inputs), None)
            (sums, means), t = saved.arrays, task.temperature
            weights = self.by_losses(backend, grad, shares.count, task.rows)
            weights = backend.xp.where(shares.counted, weights, backend.full(task.rows, 0.0))
            (by_z,), by_t = backend.contrast_backward(task, sums, tiles, weights, None, [wanted[0]])
            found = [None, None, None]
            if wanted[0]:
                pull = weights[:, None] * shares.each
                by_rows = rows.backward(-(pull @ rows.z + pull.T @ rows.z) / t)
                found[0] = backend.as_gradient(backend.wide(by_z) + by_rows, inputs[:1])
            if wanted[1]:
                of_means = backend.xp.where(shares.counted, weights * means, weights)
                found[1] = by_t + backend.total(of_means) / t
        return found
