"""Two-sided contrastive losses of a batch that is spread over processes.

Every process has the rows of all, as keys, and only its own as anchors. Its loss is the mean over its own
anchors, so that the average over processes is the loss of the whole batch. The gradient it computes is that
of all processes' losses by its own rows, which it can tell alone once it knows the other rows' denominators:
the rows and one number for each are gathered in the forward pass, and nothing in the backward pass.
DistributedDataParallel's average over processes then is the gradient of the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import _core
from .._contrast import NO_GROUPS
from .._losses import as_temperature
from .._sums import Floats
from ._gather import all_gather, check_shards, rank
from ._operators import described

_FAR = 700.0  # exp of it is still a number


def _rescaled(log_sums: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """(shift, sum) with log_sums = shift + log(sum), shift as the core chose it unless its exp overflows."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        far = ~(np.abs(log_sums - shift) < _FAR) & np.isfinite(log_sums)
        shift = np.where(far, log_sums, shift)
        return shift, np.where(np.isneginf(log_sums), 0.0, np.exp(log_sums - shift))


@dataclass
class _Sums:
    """What is known of some anchors over all keys: (n,) each."""

    negatives: Floats  # log of their sum
    positive: Floats  # its logit

    def losses(self, kind: str) -> Floats:
        with np.errstate(invalid="ignore"):
            odds = self.negatives - self.positive
            return odds if kind == "decoupled" else np.logaddexp(0.0, odds)

    def denominators(self, kind: str) -> Floats:
        return self.negatives if kind == "decoupled" else np.logaddexp(self.negatives, self.positive)


class _Shard:
    """One process's rows in the problem of all: what they make of each other, and of other rows."""

    def __init__(self, function: str, kind: str, normalize: bool, temperature: float) -> None:
        self.function, self.kind, self.normalize = function, kind, normalize
        self.temperature = temperature

    def forward(self, sides: list[Tensor], others: list[list[Tensor]], meet_self: bool) -> None:
        """sides: own rows, z_a and z_b; others: for each anchor side, the keys of other processes."""
        self.meet_self, n = meet_self, len(sides[0])
        self.anchors = [sides] if meet_self else [[sides[0]], [sides[1]]]
        numbers = np.arange(n, dtype=np.int64)
        groups = (np.tile(numbers, 2), NO_GROUPS) if meet_self else (numbers, numbers)
        self.sides, self.others, self.groups = sides, others, groups
        _, _, self.own = _core.contrast_forward(*self._own_arguments())
        self.far = [
            _core.contrast_forward(*self._far_arguments(a, k))
            for a, k in zip(self.anchors, others, strict=True)
        ]
        shift, negative, _, positive = self.own
        with np.errstate(divide="ignore"):
            near = np.log(negative) + shift
        far_rows = np.concatenate([rows for rows, _, _ in self.far])
        self.sums = _Sums(np.logaddexp(near, far_rows), positive)

    def backward(self, weight: float, denominators: list[Floats]) -> tuple[list[Tensor], float]:
        """Gradients of own rows and of the temperature; `denominators` of others[i], for each anchor side."""
        own = self.own.copy()
        own[0], own[1] = _rescaled(self.sums.negatives, self.own[0])
        rows = np.full(len(self.sums.positive), weight)
        halves = (rows, None) if self.meet_self else (rows[: len(rows) // 2], rows[len(rows) // 2 :])
        grads = self._grads(self.sides)
        arguments: tuple[Any, ...] = (*self._own_arguments(), own, *halves, [described(g) for g in grads])
        by_temperature = _core.contrast_backward(*arguments)
        mine = self.sums.denominators(self.kind)
        parts = [mine] if self.meet_self else [mine[: len(mine) // 2], mine[len(mine) // 2 :]]
        added: list[Tensor] = []
        for i, (anchors, keys) in enumerate(zip(self.anchors, self.others, strict=True)):
            saved = np.zeros_like(self.far[i][2])
            saved[0], saved[1] = _rescaled(np.concatenate([parts[i], denominators[i]]), self.far[i][2][0])
            found = self._grads(anchors)
            targets = [*map(described, found), *(None for _ in keys)]
            weights = np.full(len(parts[i]), weight), np.full(len(denominators[i]), weight)
            # Of every pair, both directions are seen here and both in the other process.
            arguments = (*self._far_arguments(anchors, keys), saved, *weights, targets)
            by_temperature += 0.5 * _core.contrast_backward(*arguments)
            added += found
        return [g.add_(more) for g, more in zip(grads, added, strict=True)], by_temperature

    def _grads(self, rows: list[Tensor]) -> list[Tensor]:
        wide = any(x.dtype is torch.float64 for x in self.sides)
        return [torch.empty(x.shape, dtype=torch.float64 if wide else torch.float32) for x in rows]

    def _own_arguments(self) -> tuple[Any, ...]:
        every = [described(x) for x in self.sides]
        sides = (every, []) if self.meet_self else (every[:1], every[1:])
        return (*sides, *self.groups, self.temperature, self.normalize, self.kind, None)

    def _far_arguments(self, anchors: list[Tensor], keys: list[Tensor]) -> tuple[Any, ...]:
        sides = [described(x) for x in anchors], [described(x) for x in keys]
        return (
            *sides,
            NO_GROUPS,
            NO_GROUPS,
            self.temperature,
            self.normalize,
            "log_sum_exp",
            None,
        )


class GatheredContrast(torch.autograd.Function):
    """(function, kind, meet_self, temperature, learned one or None, z_a, z_b) -> loss of own anchors."""

    @staticmethod
    def forward(
        ctx: Any,
        function: str,
        kind: str,
        meet_self: bool,
        temperature: float,
        learned: Tensor | None,
        z_a: Tensor,
        z_b: Tensor,
    ) -> Tensor:
        if learned is not None:
            temperature = as_temperature(function, learned.item())
        n, own = len(z_a), rank()
        check_shards(function, z_a)
        parts = all_gather(torch.cat([z_a, z_b]))
        others = [part for other, part in enumerate(parts) if other != own]
        shard = _Shard(function, kind, True, temperature)
        far = [others] if meet_self else [[part[n:] for part in others], [part[:n] for part in others]]
        shard.forward([parts[own][:n], parts[own][n:]], far, meet_self)
        told = all_gather(torch.from_numpy(shard.sums.denominators(kind)))
        denominators = [d.numpy() for other, d in enumerate(told) if other != own]
        ctx.denominators = (
            [np.concatenate(denominators)]
            if meet_self
            else [
                np.concatenate([d[n:] for d in denominators]),
                np.concatenate([d[:n] for d in denominators]),
            ]
        )
        ctx.shard, ctx.dtypes = shard, (z_a.dtype, z_b.dtype)
        ctx.temperature_dtype = None if learned is None else learned.dtype
        loss = float(np.mean(shard.sums.losses(kind)))
        return torch.tensor(loss, dtype=torch.float64 if parts[own].dtype is torch.float64 else torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        weight = grad.item() / len(ctx.shard.sums.positive)
        grads, value = ctx.shard.backward(weight, ctx.denominators)
        dtype = ctx.temperature_dtype
        by_temperature = None if dtype is None else torch.tensor(value, dtype=dtype)
        of_rows = (g.to(dtype) for g, dtype in zip(grads, ctx.dtypes, strict=True))
        return (None, None, None, None, by_temperature, *of_rows)
