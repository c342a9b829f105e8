"""Anchors and keys that are a part of a larger contrastive problem: what they add to its sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._backends.launch import ContrastLaunch
from .._contrast import NO_GROUPS, Groups, Kind
from ._device import place
from ._framework import on_device
from ._options import compute_dtype
from ._problem import described

_FAR = {torch.float32: 87.0, torch.float64: 700.0}  # exp of it is still a number


class Settings(NamedTuple):
    """What all parts of a problem have in common."""

    function: str  # whom errors name
    temperature: float | Tensor  # float64 (1,) where a device holds it
    kind: Kind
    normalize: bool


class Part(NamedTuple):
    """Anchors that meet each other or, where there are keys, the keys; pairs of one group are positive."""

    settings: Settings
    anchors: Tensor
    keys: Sequence[Tensor]
    groups: tuple[Tensor, Tensor | None]  # of anchors, of all keys
    keys_too: bool = False  # whether of the keys, too, sums and gradients are wanted


@dataclass(frozen=True)
class AnchorSums:
    """What is known of anchors over all of their keys, or over some: float64 (n,) each."""

    negatives: Tensor  # log of the sum of exp(logit)
    positives: Tensor  # the same
    positive_logits: Tensor  # the sum of the logits themselves

    @classmethod
    def of(cls, saved: Tensor) -> AnchorSums:
        """What a forward pass saved first: shift, negative, positive, positive_logit."""
        shift, negative, positive, logits = saved[:4]
        return cls(negative.log() + shift, positive.log() + shift, logits)

    @classmethod
    def joined(cls, parts: Sequence[AnchorSums]) -> AnchorSums:
        """One group of anchors after the other."""
        return cls(*torch.cat([part.packed() for part in parts], dim=1))

    def part(self, rows: slice) -> AnchorSums:
        return AnchorSums(self.negatives[rows], self.positives[rows], self.positive_logits[rows])

    def packed(self) -> Tensor:  # (3, n)
        return torch.stack([self.negatives, self.positives, self.positive_logits])

    def merge(self, other: AnchorSums) -> AnchorSums:
        """The same anchors over these keys and over those."""
        return AnchorSums(
            torch.logaddexp(self.negatives, other.negatives),
            torch.logaddexp(self.positives, other.positives),
            self.positive_logits + other.positive_logits,
        )

    def denominators(self, kind: Kind) -> Tensor:
        """Their logarithms."""
        return self.negatives if kind == "decoupled" else torch.logaddexp(self.negatives, self.positives)

    def losses(self, counts: Tensor, kind: Kind) -> Tensor:
        """`counts`: of positives; as in the core, an anchor without one has loss 0."""
        mean = self.positive_logits / counts.clamp(min=1)
        losses = self.denominators(kind) - mean
        if kind != "decoupled":
            odds = self.negatives - mean
            losses = torch.where(counts == 1, torch.logaddexp(torch.zeros_like(odds), odds), losses)
        return torch.where(counts > 0, losses, 0.0)

    def rescaled(self, shift: Tensor) -> Tensor:  # (4, n)
        """As a forward pass saves it, in units of exp(shift)."""
        scaled = [
            torch.where(logs.isneginf(), 0.0, (logs - shift).exp())
            for logs in (self.negatives, self.positives)
        ]
        return torch.stack([shift, *scaled, self.positive_logits])

    def near(self, shift: Tensor, kind: Kind, dtype: torch.dtype) -> Tensor:
        """That shift or, where a sum overflows in its units or has none in them, the sum's own logarithm."""
        top = self.denominators(kind)
        return torch.where(((top - shift).abs() < _FAR[dtype]) | ~top.isfinite(), shift, top)


class Meeting(Protocol):
    """A part whose sums are known."""

    sums: AnchorSums  # of the anchors, then of the keys where those have a gradient

    def backward(
        self, sums: AnchorSums, counts: Tensor, weight: Tensor
    ) -> tuple[list[Tensor], Tensor | float]:
        """Gradients, by anchors and perhaps keys, and by temperature, of weight times the losses of both.

        `sums` and `counts`, of positives, are those of the larger problem, of anchors and then keys.
        """


def meet(part: Part) -> Meeting:
    """A meeting where the anchors live."""
    return _DeviceMeeting(part) if on_device(part.anchors) else _CoreMeeting(part)


class _CoreMeeting:
    """A meeting on the CPU."""

    def __init__(self, part: Part) -> None:
        self._part = part
        arguments = *self._arguments(), None, False
        _, _, saved, _ = _core.contrast_forward(*arguments)
        kept = torch.from_numpy(saved)
        self.sums, self._shift = AnchorSums.of(kept), kept[0]

    def backward(self, sums: AnchorSums, counts: Tensor, weight: Tensor) -> tuple[list[Tensor], float]:
        part, n = self._part, len(self._part.anchors)
        dtype = compute_dtype([part.anchors, *part.keys])
        wanted = [part.anchors, *(part.keys if part.keys_too else ())]
        grads = [torch.empty(x.shape, dtype=dtype) for x in wanted]
        targets = [*map(described, grads), *(None for _ in range(1 + len(part.keys) - len(wanted)))]
        saved = sums.rescaled(sums.near(self._shift, part.settings.kind, dtype)).numpy()
        weights = np.full(n, weight.item()), np.full(len(counts) - n, weight.item()) if part.keys else None
        positives = _as_groups(counts[:n]), _as_groups(counts[n:])
        arguments = *self._arguments(), None, saved, *weights, targets, positives
        return grads, _core.contrast_backward(*arguments)

    def _arguments(self) -> tuple[Any, ...]:
        (_, temperature, kind, normalize), anchors, keys, (of_anchors, of_keys), _ = self._part
        groups = _as_groups(of_anchors), NO_GROUPS if of_keys is None else _as_groups(of_keys)
        sides = [described(anchors)], [described(x) for x in keys]
        return *sides, *groups, float(temperature), normalize, kind


class _DeviceMeeting:
    """A meeting on a GPU, which nobody waits for."""

    def __init__(self, part: Part) -> None:
        (function, temperature, kind, normalize), anchors, keys, groups, keys_too = part
        side = [torch.cat(list(keys))] if keys else []
        of_anchors, of_keys = (None if group is None else group.to(torch.int32) for group in groups)
        where, options = place(function, anchors), (temperature, normalize, None, kind, keys_too)
        self._launch = ContrastLaunch(where, [anchors], side, of_anchors, of_keys, *options)
        self._kind, self._keys_too = kind, keys_too
        _, self._saved, _ = self._launch.forward()
        self.sums = AnchorSums.of(self._saved)

    def backward(self, sums: AnchorSums, counts: Tensor, weight: Tensor) -> tuple[list[Tensor], Tensor]:
        launch, dtype = self._launch, compute_dtype(self._launch.anchors)
        saved = torch.zeros_like(self._saved)
        saved[:4] = sums.rescaled(sums.near(self._shifts(sums, dtype), self._kind, dtype))
        saved[4] = counts
        wanted = [True, *(self._keys_too for _ in launch.keys)]
        both = replace(launch, keys_are_anchors=bool(launch.keys))
        grads, by_temperature = both.backward(saved, wanted, weight.expand(len(counts)).contiguous())
        return [grad for grad in grads if grad is not None], by_temperature

    def _shifts(self, sums: AnchorSums, dtype: torch.dtype) -> Tensor:
        """Those of the forward pass. Keys it did not sum have that of all anchors, or where each has its own,
        theirs.
        """
        n, shift = self._launch.rows, cast("Tensor", self._saved[0])
        if not self._launch.keys or self._keys_too:
            return shift
        top = sums.denominators(self._kind)[n:]
        one = (shift[:n] == shift[0]).all() & ((top - shift[0]).abs() < _FAR[dtype])
        return torch.cat([shift[:n], torch.where(one, shift[0], top)])


def _as_groups(numbers: Tensor) -> Groups:
    return np.ascontiguousarray(numbers.numpy(), np.int64)
