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

from .._contrast import Kind
from .._losses import as_temperature
from ._check import check_array, check_labels, check_pairs, check_temperature
from ._derivatives import Final, refuse_forward_mode
from ._device import unread
from ._framework import on_device
from ._gather import all_gather, check_shards, rank
from ._meeting import AnchorSums, Part, Settings, meet
from ._operators import temperature_gradient
from ._options import compute_dtype


def _instances(n: int, world: int, place: torch.device) -> list[Tensor]:
    """Of both views of n examples in each process: rows i of a process's views are one example."""
    return [(torch.arange(n, device=place) + n * process).repeat(2) for process in range(world)]


def _gathered_groups(labels: Tensor) -> list[Tensor]:
    """One number from 0 for each label, in every process."""
    every = all_gather(labels.to(torch.int64))
    numbers = torch.unique(torch.cat(every), return_inverse=True)[1]
    return list(numbers.split([len(part) for part in every]))


def _partners(groups: list[Tensor]) -> list[Tensor]:
    """How many others there are in each row's group, in every process."""
    every = torch.cat(groups)
    sizes = torch.zeros_like(every).index_add_(0, every, torch.ones_like(every))  # of integers: in any order
    return list((sizes[every] - 1).split([len(group) for group in groups]))


class _Shard:
    """One process's anchors: what they make of each other, and of the rows of other processes."""

    def __init__(
        self, settings: Settings, parts: list[Tensor], groups: list[Tensor], meet_self: bool
    ) -> None:
        """parts and groups: for every process its rows, both sides where they do not meet themselves."""
        n, own = len(parts[0]) // (1 if meet_self else 2), rank()
        self.others = [process for process in range(len(parts)) if process != own]
        first, second = slice(0, n), slice(n, 2 * n)
        self.anchors = [first] if meet_self else [first, second]
        self.keys = [first] if meet_self else [second, first]
        self.counts = _partners(groups)
        self.own = own
        rows, group = parts[own], groups[own]
        if meet_self:
            near = Part(settings, rows, [], (group, None))
        else:
            of_both = group[first], group[second]
            near = Part(settings, rows[first], [rows[second]], of_both, keys_too=True)
        far = []
        for anchors, keys in zip(self.anchors, self.keys, strict=True):
            others = [parts[process][keys] for process in self.others]
            of_others = torch.cat([groups[process][keys] for process in self.others])
            far.append(Part(settings, rows[anchors], others, (group[anchors], of_others)))
        self.near, self.far = meet(near), [meet(part) for part in far]
        far_sums = [far.sums.part(slice(0, n)) for far in self.far]
        self.sums = self.near.sums.merge(AnchorSums.joined(far_sums))
        self.told = [AnchorSums(*sums) for sums in all_gather(self.sums.packed())]
        counted = (torch.cat(self.counts) > 0).sum().clamp(min=1)
        self.weight = len(parts) / counted.double()

    def loss(self, kind: Kind) -> Tensor:
        return self.weight * _total(self.sums.losses(self.counts[self.own], kind))

    def backward(self, factor: Tensor) -> tuple[Tensor, Tensor | float]:
        """Gradients of own rows and of the temperature, times `factor`."""
        weight, counts = factor.double() * self.weight, self.counts
        grads, by_temperature = self.near.backward(self.sums, counts[self.own], weight)
        for i, (anchors, keys) in enumerate(zip(self.anchors, self.keys, strict=True)):
            sums = [self.sums.part(anchors), *(self.told[process].part(keys) for process in self.others)]
            of_both = [counts[self.own][anchors], *(counts[process][keys] for process in self.others)]
            (found,), value = self.far[i].backward(AnchorSums.joined(sums), torch.cat(of_both), weight)
            grads[i].add_(found)
            by_temperature = by_temperature + 0.5 * value  # of every pair, both directions: here and there
        return torch.cat(grads), by_temperature


def _total(losses: Tensor) -> Tensor:
    """Their sum, with the same bits for any number of threads."""
    return (
        losses.sum()
        if on_device(losses)
        else torch.tensor(float(np.add.reduce(losses.numpy())), dtype=losses.dtype)
    )


class GatheredContrast(torch.autograd.Function):
    """(settings, meet_self, learned temperature or None, labels or None, *sides) -> loss.

    sides: z_a and z_b, whose rows i are one example, or with labels z alone, whose rows of one label are
    positive. All rows of sides that `meet_self` are anchors and keys; else each side has the other as keys.
    """

    @staticmethod
    def forward(
        ctx: Any,
        settings: Settings,
        meet_self: bool,
        learned: Tensor | None,
        labels: Tensor | None,
        *sides: Tensor,
    ) -> Tensor:
        parts = all_gather(torch.cat([side.resolve_neg() for side in sides]))
        if labels is None:
            groups = _instances(len(sides[0]), len(parts), sides[0].device)
        else:
            groups = _gathered_groups(labels.to(sides[0].device))
        ctx.shard = _Shard(settings, parts, groups, meet_self)
        ctx.save_for_backward(learned, *sides)
        ctx.function = settings.function
        loss: Tensor = ctx.shard.loss(settings.kind)
        return loss.to(compute_dtype(sides))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        found, value = ctx.shard.backward(grad)
        learned, *sides = ctx.saved_tensors
        split = found.split([len(z) for z in sides])
        grads = [g.to(z.dtype) for g, z in zip(split, sides, strict=True)]
        if learned is not None:
            grads.append(temperature_gradient(learned, value))
        if torch.is_grad_enabled():
            inputs = [x for x in (*sides, learned) if x is not None]
            grads = Final.apply(ctx.function, len(grads), *grads, grad, *inputs)
        by_temperature = None if learned is None else grads[-1]
        return (None, None, by_temperature, None, *grads[: len(sides)])


def _known(function: str, learned: Tensor, z: Tensor) -> float | Tensor:
    """The temperature as the rows' device reads it, else a number, checked."""
    if on_device(learned) and on_device(z):
        return unread(learned, z)
    return as_temperature(function, learned.item())


def gathered(
    function: str,
    kind: Kind,
    meet_self: bool,
    z_a: Tensor,
    z_b: Tensor,
    temperature: Any,
    normalize: bool = True,
    scale: float | Tensor = 1.0,
) -> Tensor:
    """The loss of two sides whose rows i are one example; scale: what they have been multiplied by."""
    value, learned = check_temperature(function, temperature)
    z_a, z_b = check_pairs(function, "the first input", z_a, "the second input", z_b)
    refuse_forward_mode(function, [z_a, z_b])
    known = value if learned is None else _known(function, learned, z_a)
    settings = Settings(function, known, kind, normalize)
    check_shards(function, [z_a, z_b], known, normalize, scale)
    loss: Tensor = GatheredContrast.apply(settings, meet_self, learned, None, z_a, z_b)
    return loss


def gathered_by_label(function: str, z: Tensor, labels: Tensor, temperature: Any) -> Tensor:
    """The loss of rows whose positives are those of one label."""
    value, learned = check_temperature(function, temperature)
    check_array(function, "z", z)
    labels = check_labels(function, labels, z.shape[0])
    refuse_forward_mode(function, [z])
    known = value if learned is None else _known(function, learned, z)
    settings = Settings(function, known, "softmax", True)
    check_shards(function, [z], known)
    loss: Tensor = GatheredContrast.apply(settings, True, learned, labels, z)
    return loss
