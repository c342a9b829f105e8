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
from .problem import Forward, Problem, Shape
from .reductions import by_each_loss, by_losses, reduced


class UnitRows:
    """The rows u of an array divided by max(|u|, 1e-12), or as they are: float64, where the backend is."""

    def __init__(self, backend: Any, x: Any, normalize: bool) -> None:
        self.z = backend.wide(x)  # (n, d)
        self._backend, self._lengths = backend, None
        if normalize:
            self._lengths = backend.at_least((self.z * self.z).sum(1) ** 0.5, EPSILON)[:, None]
            self.z = self.z / self._lengths

    def backward(self, by_z: Any) -> Any:
        """The derivative by u from that by `z`."""
        if self._lengths is None:
            return by_z
        along = (by_z * self.z).sum(1)[:, None] * self.z
        return (by_z - self._backend.where(self._lengths == EPSILON, 0.0, along)) / self._lengths


def _sums_shape(on_device: bool, rows: int) -> tuple[int, int]:
    return SAVED_ROWS["cuda" if on_device else "cpu"], rows


@dataclass(frozen=True)
class Moco(Problem):
    """The inputs are queries, their keys, a queue and the temperature.

    loss_i = log(1 + exp(odds_i)), the odds of the queue, a log-sum-exp, against the positive.
    """

    function: str
    normalize: bool
    reduction: str

    arrays = 3

    def constants(self) -> Sequence[int]:
        """Autograd gives a queue no gradient."""
        return (2,)

    def _parts(self, backend: Any, inputs: Arrays) -> tuple[ContrastTask, UnitRows, UnitRows, Any]:
        """Queries against the queue, queries and keys, and their logits (n,)."""
        t = backend.temperature(self.function, inputs[3])
        task = ContrastTask(inputs[:1], inputs[2:3], backend.no_groups, t, self.normalize, "log_sum_exp")
        q, k = (UnitRows(backend, x, self.normalize) for x in inputs[:2])
        return task, q, k, (q.z * k.z).sum(1) / t

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        with np.errstate(invalid="ignore", over="ignore"):
            parts = self._parts(backend, inputs)
            found = backend.contrast_forward(parts[0], keep == "tiles")
            # An infinite logit has no softmax, as in plain torch; its odds alone would say that all is well.
            odds = backend.where(parts[3] == math.inf, math.nan, found.of_anchors - parts[3])
            value = reduced(backend, backend.softplus(odds), self.reduction, len(odds))
        return value, (found.saved, odds), (*parts, found.kept) if keep == "tiles" else None

    def backward(
        self, backend: Any, inputs: Arrays, saved: Any, kept: Any, grad: Any, wanted: Wanted
    ) -> list[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            task, q, k, logits, tiles = kept or (*self._parts(backend, inputs), None)
            sums, odds = saved
            # The negatives' part of the softmax, which is 1 less the positive's without the cancellation.
            share = by_each_loss(grad, self.reduction, len(odds)) * backend.sigmoid(odds)
            (by_q, by_queue), by_t = backend.contrast_backward(
                task, sums, tiles, share, None, [wanted[0], wanted[2]]
            )
            pull, arrays = -share[:, None] / task.temperature, inputs[: self.arrays]
            found = [None, None, by_queue, None]
            if wanted[0]:
                of_q = backend.wide(by_q) + q.backward(pull * k.z)
                found[0] = backend.as_gradient(of_q, arrays[0], arrays)
            if wanted[1]:
                found[1] = backend.as_gradient(k.backward(pull * q.z), arrays[1], arrays)
            if wanted[3]:
                found[3] = by_t + backend.total(share * logits) / task.temperature
        return found

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n, m = shapes[0][0], shapes[2][0]
        return (n,) if self.reduction == "none" else (), [_sums_shape(on_device, n + m), (n,)]


class _Positives:
    """Of a mask: the share of each positive (n, n), which rows have one, and how many have."""

    def __init__(self, backend: Any, mask: Any) -> None:
        place = backend.arange(mask.shape[0])
        weights = backend.where(place[:, None] == place[None, :], 0.0, backend.wide(mask))
        of_rows = weights.sum(1)
        self.counted = of_rows > 0
        self.share = weights / backend.where(self.counted, of_rows, 1.0)[:, None]
        self.count = backend.count(self.counted)


@dataclass(frozen=True)
class Masked(Problem):
    """The inputs are rows, the temperature and a mask (n, n), whose row i weighs the positives of row i.

    loss_i = log sum_{j != i} exp(s_ij) - mean over positives p of s_ip; 0 without a positive.
    """

    function: str
    normalize: bool
    reduction: str

    arrays = 1

    def constants(self) -> Sequence[int]:
        return (2,)

    def _parts(self, backend: Any, inputs: Arrays) -> tuple[ContrastTask, UnitRows, _Positives]:
        z, temperature, mask = inputs
        t = backend.temperature(self.function, temperature)
        task = ContrastTask([z], [], backend.no_groups, t, self.normalize, "log_sum_exp")
        return task, UnitRows(backend, z, self.normalize), _Positives(backend, mask)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        with np.errstate(invalid="ignore", over="ignore"):
            task, rows, positives = parts = self._parts(backend, inputs)
            found = backend.contrast_forward(task, keep == "tiles")
            means = (rows.z * (positives.share @ rows.z)).sum(1) / task.temperature
            losses = backend.where(positives.counted, found.of_anchors - means, 0.0)
            value = reduced(backend, losses, self.reduction, positives.count)
        return value, (found.saved, means), (*parts, found.kept) if keep == "tiles" else None

    def backward(
        self, backend: Any, inputs: Arrays, saved: Any, kept: Any, grad: Any, wanted: Wanted
    ) -> list[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            task, rows, positives, tiles = kept or (*self._parts(backend, inputs), None)
            (sums, means), t = saved, task.temperature
            weights = by_losses(backend, grad, self.reduction, positives.count, task.rows)
            weights = backend.where(positives.counted, weights, backend.full(task.rows, 0.0))
            (by_z,), by_t = backend.contrast_backward(task, sums, tiles, weights, None, [wanted[0]])
            found = [None, None, None]
            if wanted[0]:
                pull = weights[:, None] * positives.share
                by_rows = -(pull @ rows.z + pull.T @ rows.z) / t
                of_z = backend.wide(by_z) + rows.backward(by_rows)
                found[0] = backend.as_gradient(of_z, inputs[0], inputs[:1])
            if wanted[1]:
                of_means = backend.where(positives.counted, weights * means, weights)
                found[1] = by_t + backend.total(of_means) / t
        return found

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n = shapes[0][0]
        return (n,) if self.reduction == "none" else (), [_sums_shape(on_device, n), (n,)]
