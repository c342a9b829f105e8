"""Losses whose positives are computed here, in float64, beside log-sum-exps of the core: MoCo's, and SupCon's
of a mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays.namespaces import Arrays, Wanted
from .._backends.values import SAVED_ROWS, ContrastTask
from .._losses import EPSILON
from .._progress import Report
from .problem import Forward, Loss, Shape


class UnitRows:
    """The rows u of an array divided by max(|u|, 1e-12), or as they are: float64, where the backend is."""

    def __init__(self, backend: Any, x: Any, normalize: bool) -> None:
        self.z = backend.wide(x)  # (n, d)
        self._where, self._lengths = backend.xp.where, None
        if normalize:
            self._lengths = ((self.z * self.z).sum(1) ** 0.5).clip(EPSILON)[:, None]
            self.z = self.z / self._lengths

    def backward(self, by_z: Any) -> Any:
        """The derivative by u from that by `z`."""
        if self._lengths is None:
            return by_z
        along = (by_z * self.z).sum(1)[:, None] * self.z
        return (by_z - self._where(self._lengths == EPSILON, 0.0, along)) / self._lengths


@dataclass(frozen=True)
class _Positives(Loss):
    """What both have in common: a log-sum-exp of each row, which the core computes."""

    function: str
    normalize: bool
    reduction: str

    def _task(self, backend: Any, anchors: Arrays, keys: Arrays, temperature: Any) -> ContrastTask:
        t = backend.temperature(self.function, temperature)
        return ContrastTask(anchors, keys, backend.no_groups, t, self.normalize, "log_sum_exp")

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n, keys = shapes[0][0], shapes[2][0] if self.arrays == 3 else 0
        rows = SAVED_ROWS["cuda" if on_device else "cpu"]
        return self.value_shape(n), [(rows, n + keys), (n,)]

    def constants(self) -> Sequence[int]:
        """A queue, to which autograd gives no gradient, or a mask."""
        return (2,)


@dataclass(frozen=True)
class Moco(_Positives):
    """The inputs are queries, their keys, a queue and the temperature.

    loss_i = log(1 + exp(odds_i)), the odds of the queue, a log-sum-exp, against the positive.
    """

    arrays = 3

    def _parts(self, backend: Any, inputs: Arrays) -> tuple[ContrastTask, UnitRows, UnitRows, Any]:
        """Queries against the queue, queries and keys, and their logits (n,)."""
        task = self._task(backend, inputs[:1], inputs[2:3], inputs[3])
        q, k = (UnitRows(backend, x, self.normalize) for x in inputs[:2])
        return task, q, k, (q.z * k.z).sum(1) / task.temperature

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        with np.errstate(invalid="ignore", over="ignore"):
            parts = self._parts(backend, inputs)
            found = backend.contrast_forward(parts[0], keep == "tiles")
            # Beside an infinite logit there is no softmax, as in plain torch; the odds alone would have one.
            infinite = (parts[3] == math.inf) | (found.of_anchors == math.inf)
            odds = backend.xp.where(infinite, math.nan, found.of_anchors - parts[3])
            value = self.reduced(backend, backend.xp.softplus(odds), len(odds))
        return value, (found.saved, odds), (*parts, found.kept) if keep == "tiles" else None

    def backward(
        self, backend: Any, inputs: Arrays, saved: Any, kept: Any, grad: Any, wanted: Wanted
    ) -> list[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            task, q, k, logits, tiles = kept or (*self._parts(backend, inputs), None)
            (sums, odds), arrays = saved, inputs[: self.arrays]
            # The negatives' part of the softmax, which is 1 less the positive's without the cancellation.
            share = self.by_each_loss(grad, len(odds)) * backend.xp.sigmoid(odds)
            of_queue = [wanted[0], wanted[2]]
            (by_q, by_queue), by_t = backend.contrast_backward(task, sums, tiles, share, None, of_queue)
            pull = -share[:, None] / task.temperature
            found = [None, None, by_queue, None]
            if wanted[0]:
                found[0] = backend.as_gradient(backend.wide(by_q) + q.backward(pull * k.z), arrays)
            if wanted[1]:
                found[1] = backend.as_gradient(k.backward(pull * q.z), arrays)
            if wanted[3]:
                found[3] = by_t + backend.total(share * logits) / task.temperature
        return found


class _Shares:
    """Of a mask: the share of each positive (n, n), which rows have one, and how many have."""

    def __init__(self, backend: Any, mask: Any) -> None:
        where, place = backend.xp.where, backend.xp.arange(mask.shape[0], backend.device)
        weights = where(place[:, None] == place[None, :], 0.0, backend.wide(mask))
        of_rows = weights.sum(1)
        self.counted = ~(of_rows <= 0)  # NaN, which propagates, too
        self.each = weights / where(self.counted, of_rows, 1.0)[:, None]
        self.count = backend.count(self.counted)


@dataclass(frozen=True)
class Masked(_Positives):
    """The inputs are rows, the temperature and a mask (n, n), whose row i weighs the positives of row i.

    loss_i = log sum_{j != i} exp(s_ij) - mean over positives p of s_ip; 0 without a positive.
    """

    arrays = 1

    def _parts(self, backend: Any, inputs: Arrays) -> tuple[ContrastTask, UnitRows, _Shares]:
        z, temperature, mask = inputs
        rows = UnitRows(backend, z, self.normalize)
        return self._task(backend, [z], [], temperature), rows, _Shares(backend, mask)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        with np.errstate(invalid="ignore", over="ignore"):
            task, rows, shares = parts = self._parts(backend, inputs)
            found = backend.contrast_forward(task, keep == "tiles")
            means = (rows.z * (shares.each @ rows.z)).sum(1) / task.temperature
            logs = backend.xp.where(found.of_anchors == math.inf, math.nan, found.of_anchors)  # no softmax
            losses = backend.xp.where(shares.counted, logs - means, 0.0)
            value = self.reduced(backend, losses, shares.count)
        return value, (found.saved, means), (*parts, found.kept) if keep == "tiles" else None

    def backward(
        self, backend: Any, inputs: Arrays, saved: Any, kept: Any, grad: Any, wanted: Wanted
    ) -> list[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            task, rows, shares, tiles = kept or (*self._parts(backend, inputs), None)
            (sums, means), t = saved, task.temperature
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
