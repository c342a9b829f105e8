"""Contrastive losses of a batch that is distributed over processes.

Every process gathers the rows of all processes as keys, and uses only its own rows as anchors. Its loss is
that of its own anchors, scaled so that the average over processes is the loss of the whole batch. Each
process computes the gradient of the losses of all processes with respect to its own rows, which needs the
sums of the other rows. The forward pass gathers the rows, their labels and three numbers for each row; the
backward pass gathers nothing. The average that DistributedDataParallel computes over processes is then the
gradient of the loss of the whole batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._arrays import checks
from .._backends import backend_of
from .._losses import OfRows
from ._derivatives import FirstDerivatives, refuse_other_derivatives
from ._gather import NOTHING, Also, all_gather, check_shards, rank
from ._namespace import TORCH
from ._tensors import compute_dtype, like, on_device
from .partial_softmax import AnchorSums, PartialSoftmax, Settings


def _instances(n: int, world: int, place: torch.device) -> list[Tensor]:
    """For every process, the group of each row of both views of n examples: rows i are one example."""
    return [(torch.arange(n, device=place) + n * process).repeat(2) for process in range(world)]


def _gathered_groups(labels: Tensor) -> list[Tensor]:
    """For every process, its labels as numbers from 0, equal for equal labels in all processes."""
    every = all_gather(labels.to(torch.int64))
    numbers = torch.unique(torch.cat(every), return_inverse=True)[1]
    return list(numbers.split([len(part) for part in every]))


def _partners(groups: list[Tensor]) -> list[Tensor]:
    """For every process, the number of other rows in the group of each row, over all processes."""
    every = torch.cat(groups)
    sizes = torch.zeros_like(every).index_add_(0, every, torch.ones_like(every))  # exact in any order
    return list((sizes[every] - 1).split([len(group) for group in groups]))


class _Shard:
    """The anchors of one process: their pairs with each other, and with the rows of other processes."""

    def __init__(
        self, settings: Settings, parts: list[Tensor], groups: list[Tensor], with_itself: bool
    ) -> None:
        """parts, groups: for every process, its rows and their groups; of both sides unless with_itself."""
        n, own = len(parts[0]) // (1 if with_itself else 2), rank()
        self.others = [process for process in range(len(parts)) if process != own]
        first, second = slice(0, n), slice(n, 2 * n)
        self.anchors = [first] if with_itself else [first, second]
        self.keys = [first] if with_itself else [second, first]
        self.counts = _partners(groups)
        self.own = own
        rows, group = parts[own], groups[own]
        if with_itself:
            self.local = PartialSoftmax(settings, rows, [], (group, None))
        else:
            of_both = group[first], group[second]
            self.local = PartialSoftmax(settings, rows[first], [rows[second]], of_both, both=True)
        self.remote = []
        for anchors, keys in zip(self.anchors, self.keys, strict=True):
            others = [parts[process][keys] for process in self.others]
            of_others = torch.cat([groups[process][keys] for process in self.others])
            of_both = group[anchors], of_others
            self.remote.append(PartialSoftmax(settings, rows[anchors], others, of_both))
        of_remote = [part.sums.part(slice(0, n)) for part in self.remote]
        self.sums = self.local.sums.merge(AnchorSums.joined(of_remote))
        self.remote_sums = [AnchorSums(*sums) for sums in all_gather(self.sums.packed())]
        counted = (torch.cat(self.counts) > 0).sum().clamp(min=1)
        self.weight = len(parts) / counted.double()

    def loss(self, kind: str) -> Tensor:
        return self.weight * _total(self.sums.losses(self.counts[self.own], kind))

    def backward(self, factor: Tensor) -> tuple[Tensor, Tensor | float]:
        """The gradients with respect to the own rows and the temperature, times `factor`."""
        weight, counts = factor.double() * self.weight, self.counts
        grads, of_temperature = self.local.backward(self.sums, counts[self.own], weight)
        for i, (anchors, keys) in enumerate(zip(self.anchors, self.keys, strict=True)):
            sums = [
                self.sums.part(anchors),
                *(self.remote_sums[process].part(keys) for process in self.others),
            ]
            of_both = [counts[self.own][anchors], *(counts[process][keys] for process in self.others)]
            (found,), value = self.remote[i].backward(AnchorSums.joined(sums), torch.cat(of_both), weight)
            grads[i].add_(found)
            of_temperature = of_temperature + 0.5 * value  # the process of the other row adds the other half
        return torch.cat(grads), of_temperature


def _total(losses: Tensor) -> Tensor:
    """The sum of losses, bitwise identical for any number of threads."""
    return (
        losses.sum()
        if on_device(losses)
        else torch.tensor(float(np.add.reduce(losses.numpy())), dtype=losses.dtype)
    )


class GatheredContrast(torch.autograd.Function):
    """(settings, with_itself, learned temperature or None, labels or None, *sides) -> loss.

    sides: z_a and z_b, whose rows i are one example; or, with labels, only z, whose rows with equal labels
    are positives. with_itself: all rows are anchors and keys; otherwise each side has the other side as keys.
    """

    @staticmethod
    def forward(
        ctx: Any,
        settings: Settings,
        with_itself: bool,
        learned: Tensor | None,
        labels: Tensor | None,
        *sides: Tensor,
    ) -> Tensor:
        parts = all_gather(torch.cat([side.resolve_neg() for side in sides]))
        if labels is None:
            groups = _instances(len(sides[0]), len(parts), sides[0].device)
        else:
            groups = _gathered_groups(labels.to(sides[0].device))
        ctx.shard = _Shard(settings, parts, groups, with_itself)
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
            grads.append(like(value, learned))
        if torch.is_grad_enabled():
            inputs = [x for x in (*sides, learned) if x is not None]
            grads = FirstDerivatives.apply(ctx.function, len(grads), *grads, grad, *inputs)
        by_temperature = None if learned is None else grads[-1]
        return (None, None, by_temperature, None, *grads[: len(sides)])


def _temperature(function: str, temperature: Any, z: Tensor) -> tuple[float | Tensor, Tensor | None]:
    """The temperature in the form that the backend reads, and its tensor for the gradient, or None."""
    found = TORCH.temperature(function, temperature)
    known = backend_of(TORCH, z, function).temperature(function, found)
    return known, found if isinstance(found, Tensor) else None


def gathered(
    function: str,
    kind: str,
    with_itself: bool,
    z_a: Tensor,
    z_b: Tensor,
    temperature: Any,
    normalize: bool = True,
    scale: float | Tensor = 1.0,
    also: Also = NOTHING,
) -> Tensor:
    """The loss of two sides whose rows i are one example.

    scale: the factor that the rows were multiplied by, compared between processes; also: see `check_shards`.
    """
    first, second = "the first input", "the second input"
    z_a, z_b = checks.pair(function, TORCH, [(first, z_a), (second, z_b)])
    refuse_other_derivatives(function, [z_a, z_b])
    known, learned = _temperature(function, temperature, z_a)
    settings = Settings(function, known, kind, normalize)
    check_shards(function, [z_a, z_b], known, normalize, scale, also=also)
    loss: Tensor = GatheredContrast.apply(settings, with_itself, learned, None, z_a, z_b)
    return loss


def gathered_by_label(function: str, z: Tensor, labels: Tensor, temperature: Any) -> Tensor:
    """The loss of rows for which rows with equal labels are positives."""
    checks.matrices(function, TORCH, [("z", z)])
    labels, _ = TORCH.labels(OfRows(function, z.shape[0]), labels)
    refuse_other_derivatives(function, [z])
    known, learned = _temperature(function, temperature, z)
    settings = Settings(function, known, "softmax", True)
    check_shards(function, [z], known)
    loss: Tensor = GatheredContrast.apply(settings, True, learned, labels, z)
    return loss
