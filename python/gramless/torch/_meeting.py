"""Anchors and keys that are a part of a larger contrastive problem: what they add to its sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._contrast import Groups, Kind
from .._sums import Floats
from ._options import compute_dtype
from ._problem import described

_FAR = 700.0  # exp of it is still a number


class Settings(NamedTuple):
    """What all parts of a problem have in common."""

    temperature: float
    normalize: bool
    kind: Kind


@dataclass(frozen=True)
class AnchorSums:
    """What is known of anchors over all of their keys, or over some: (n,) each."""

    negatives: Floats  # log of the sum of exp(logit)
    positives: Floats  # the same
    positive_logits: Floats  # the sum of the logits themselves

    @classmethod
    def of(cls, saved: Floats) -> AnchorSums:
        """What the core's forward pass saved: shift, negative, positive, positive_logit."""
        shift, negative, positive, logits = saved
        with np.errstate(divide="ignore", invalid="ignore"):
            return cls(np.log(negative) + shift, np.log(positive) + shift, logits)

    @classmethod
    def joined(cls, parts: Sequence[AnchorSums]) -> AnchorSums:
        """One group of anchors after the other."""
        return cls(*map(np.concatenate, zip(*map(astuple, parts), strict=True)))

    def part(self, rows: slice) -> AnchorSums:
        return AnchorSums(self.negatives[rows], self.positives[rows], self.positive_logits[rows])

    def packed(self) -> Floats:  # (3, n)
        return np.stack(astuple(self))

    def merge(self, other: AnchorSums) -> AnchorSums:
        """The same anchors over these keys and over those."""
        with np.errstate(invalid="ignore"):
            return AnchorSums(
                np.logaddexp(self.negatives, other.negatives),
                np.logaddexp(self.positives, other.positives),
                self.positive_logits + other.positive_logits,
            )

    def losses(self, counts: Groups, kind: Kind) -> Floats:
        """`counts`: of positives; as in the core, an anchor without one has loss 0."""
        with np.errstate(invalid="ignore", over="ignore"):
            mean = self.positive_logits / np.maximum(counts, 1)
            if kind == "decoupled":
                losses = self.negatives - mean
            else:
                alone = np.logaddexp(0.0, self.negatives - mean)
                losses = np.where(counts == 1, alone, np.logaddexp(self.negatives, self.positives) - mean)
        return np.where(counts > 0, losses, 0.0)

    def rescaled(self, shift: Floats, kind: Kind) -> Floats:
        """As the core saves it, in its units unless a sum overflows in them: (4, n)."""
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            top = self.negatives if kind == "decoupled" else np.logaddexp(self.negatives, self.positives)
            far = ~(np.abs(top - shift) < _FAR) & np.isfinite(top)
            shift = np.where(far, top, shift)
            negative, positive = (
                np.where(np.isneginf(logs), 0.0, np.exp(logs - shift))
                for logs in (self.negatives, self.positives)
            )
        return np.stack([shift, negative, positive, self.positive_logits])


class Meeting:
    """Anchors that meet each other or, where there are keys, the keys; pairs of one group are positive."""

    def __init__(
        self,
        settings: Settings,
        anchors: Sequence[Tensor],
        keys: Sequence[Tensor],
        groups: tuple[Groups, Groups],
    ) -> None:
        self.settings, self.anchors, self.keys, self.groups = settings, anchors, keys, groups
        arguments = (*self._arguments(), False)
        _, _, saved, _ = _core.contrast_forward(*arguments)
        self.sums, self._shift = AnchorSums.of(saved), saved[0]

    def backward(
        self, sums: AnchorSums, counts: Groups, weight: float, keys_too: bool
    ) -> tuple[list[Tensor], float]:
        """Gradients, by anchors and perhaps keys, and by temperature, of weight times the losses of both.

        `sums` and `counts`, of positives, are those of the larger problem, of anchors and then keys.
        """
        n = len(self.groups[0])
        wanted = [*self.anchors, *(self.keys if keys_too else ())]
        dtype = compute_dtype([*self.anchors, *self.keys])
        grads = [torch.empty(x.shape, dtype=dtype) for x in wanted]
        targets = [*map(described, grads), *(None for _ in range(len(self.keys) * (not keys_too)))]
        saved = sums.rescaled(self._shift, self.settings.kind)
        weights = np.full(n, weight), np.full(len(counts) - n, weight) if self.keys else None
        positives = counts[:n], counts[n:]
        arguments = *self._arguments(), saved, *weights, targets, positives
        return grads, _core.contrast_backward(*arguments)

    def _arguments(self) -> tuple[Any, ...]:
        sides = [described(x) for x in self.anchors], [described(x) for x in self.keys]
        return (*sides, *self.groups, *self.settings, None)
