"""Contrastive losses of a batch that is spread over processes.

Every process has the rows of all, as keys, and only its own as anchors. Its loss is that of its own anchors,
scaled so that the average over processes is the loss of the whole batch. The gradient it computes is that of
all processes' losses by its own rows, which it can tell alone once it knows the other rows' sums: the rows,
their labels and three numbers for each are gathered in the forward pass, and nothing in the backward pass.
DistributedDataParallel's average over processes then is the gradient of the whole batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._contrast import NO_GROUPS, Groups, Kind
from .._losses import as_temperature
from ._derivatives import Final
from ._gather import all_gather, check_shards, rank
from ._meeting import AnchorSums, Meeting, Settings


def _instances(n: int, world: int) -> list[Groups]:
    """Of both views of n examples in each process: rows i of a process's views are one example."""
    return [np.tile(np.arange(n, dtype=np.int64) + n * process, 2) for process in range(world)]


def _gathered_groups(labels: Tensor) -> list[Groups]:
    """One number for each label, in every process."""
    every = all_gather(labels.to(torch.int64))
    numbers = np.unique(torch.cat(every).numpy(), return_inverse=True)[1]
    return np.split(numbers.astype(np.int64), len(every))


class _Shard:
    """One process's anchors: what they make of each other, and of the rows of other processes."""

    def __init__(
        self, settings: Settings, parts: list[Tensor], groups: list[Groups], meet_self: bool
    ) -> None:
        """parts and groups: for every process its rows, both sides where they do not meet themselves."""
        n, own = len(parts[0]) // (1 if meet_self else 2), rank()
        self.others = [process for process in range(len(parts)) if process != own]
        first, second = slice(0, n), slice(n, 2 * n)
        self.anchors = [first] if meet_self else [first, second]
        self.keys = [first] if meet_self else [second, first]
        counts = np.bincount(np.concatenate(groups)) - 1
        self.counts = [counts[group] for group in groups]
        self.own, self.meet_self = own, meet_self
        rows, group = parts[own], groups[own]
        if meet_self:
            self.near = Meeting(settings, [rows], [], (group, NO_GROUPS))
        else:
            self.near = Meeting(settings, [rows[first]], [rows[second]], (group[first], group[second]))
        self.far = [
            Meeting(
                settings,
                [rows[anchors]],
                [parts[process][keys] for process in self.others],
                (group[anchors], np.concatenate([groups[process][keys] for process in self.others])),
            )
            for anchors, keys in zip(self.anchors, self.keys, strict=True)
        ]
        far_sums = [far.sums.part(slice(0, n)) for far in self.far]
        self.sums = self.near.sums.merge(AnchorSums.joined(far_sums))
        told = all_gather(torch.from_numpy(self.sums.packed()))
        self.told = [AnchorSums(*sums.numpy()) for sums in told]
        self.weight = len(parts) / max(int(np.sum(np.concatenate(self.counts) > 0)), 1)

    def loss(self, kind: Kind) -> float:
        return self.weight * float(np.sum(self.sums.losses(self.counts[self.own], kind)))

    def backward(self, factor: float) -> tuple[Tensor, float]:
        """Gradients of own rows and of the temperature, times `factor`."""
        weight, counts = factor * self.weight, self.counts
        grads, by_temperature = self.near.backward(self.sums, counts[self.own], weight, True)
        for i, (anchors, keys) in enumerate(zip(self.anchors, self.keys, strict=True)):
            sums = [self.sums.part(anchors), *(self.told[process].part(keys) for process in self.others)]
            of_both = [counts[self.own][anchors], *(counts[process][keys] for process in self.others)]
            (found,), value = self.far[i].backward(
                AnchorSums.joined(sums), np.concatenate(of_both), weight, False
            )
            grads[i].add_(found)
            by_temperature += 0.5 * value  # of every pair, both directions are seen here and there
        return torch.cat(grads), by_temperature


class GatheredContrast(torch.autograd.Function):
    """(function, kind, meet_self, temperature, learned one or None, labels or None, *sides) -> loss.

    sides: z_a and z_b, whose rows i are one example, or with labels z alone, whose rows of one label are
    positive. All rows of sides that `meet_self` are anchors and keys; else each side has the other as keys.
    """

    @staticmethod
    def forward(
        ctx: Any,
        function: str,
        kind: Kind,
        meet_self: bool,
        temperature: float,
        learned: Tensor | None,
        labels: Tensor | None,
        *sides: Tensor,
    ) -> Tensor:
        if learned is not None:
            temperature = as_temperature(function, learned.item())
        check_shards(function, sides[0])
        parts = all_gather(torch.cat(sides))
        groups = _instances(len(sides[0]), len(parts)) if labels is None else _gathered_groups(labels)
        ctx.shard = _Shard(Settings(temperature, True, kind), parts, groups, meet_self)
        ctx.save_for_backward(learned, *sides)
        ctx.function = function
        dtype = torch.float64 if parts[0].dtype is torch.float64 else torch.float32
        return torch.tensor(ctx.shard.loss(kind), dtype=dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        found, value = ctx.shard.backward(grad.item())
        learned, *sides = ctx.saved_tensors
        split = found.split([len(z) for z in sides])
        grads = [g.to(z.dtype) for g, z in zip(split, sides, strict=True)]
        if learned is not None:
            grads.append(torch.full_like(learned, value))
        if torch.is_grad_enabled():
            inputs = [x for x in (*sides, learned) if x is not None]
            grads = Final.apply(ctx.function, len(grads), *grads, grad, *inputs)
        by_temperature = None if learned is None else grads[-1]
        return (None, None, None, None, by_temperature, None, *grads[: len(sides)])
