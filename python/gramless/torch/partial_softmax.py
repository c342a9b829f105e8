"""The contribution of some anchors and keys to the sums of a larger contrastive problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._backends import backend_of
from .._backends.cuda_contrast import FARTHEST
from .._backends.values import ContrastTask
from ._namespace import TORCH
from ._tensors import as_tensor, compute_dtype


class Settings(NamedTuple):
    """Settings that all parts of a problem share."""

    function: str  # named in errors
    temperature: float | Tensor  # a tensor is float64 (1,), on a GPU
    kind: str
    normalize: bool


@dataclass(frozen=True)
class AnchorSums:
    """Sums of n anchors over all or some of their keys, each float64 (n,)."""

    negatives: Tensor  # log of the sum of exp(logit) over negatives
    positives: Tensor  # log of the sum of exp(logit) over positives
    positive_logits: Tensor  # the sum of the logits of positives

    @classmethod
    def of(cls, saved: Tensor) -> AnchorSums:
        """The sums from the first saved arrays of a forward: shift, negative, positive, positive_logit."""
        shift, negative, positive, logits = saved[:4]
        return cls(negative.log() + shift, positive.log() + shift, logits)

    @classmethod
    def joined(cls, parts: Sequence[AnchorSums]) -> AnchorSums:
        """Concatenate the sums of groups of anchors."""
        return cls(*torch.cat([part.packed() for part in parts], dim=1))

    def part(self, rows: slice) -> AnchorSums:
        return AnchorSums(self.negatives[rows], self.positives[rows], self.positive_logits[rows])

    def packed(self) -> Tensor:  # (3, n)
        return torch.stack([self.negatives, self.positives, self.positive_logits])

    def merge(self, other: AnchorSums) -> AnchorSums:
        """Add the sums of the same anchors over other keys."""
        return AnchorSums(
            torch.logaddexp(self.negatives, other.negatives),
            torch.logaddexp(self.positives, other.positives),
            self.positive_logits + other.positive_logits,
        )

    def denominators(self, kind: str) -> Tensor:
        """The logarithms of the denominators."""
        return self.negatives if kind == "decoupled" else torch.logaddexp(self.negatives, self.positives)

    def losses(self, counts: Tensor, kind: str) -> Tensor:
        """The losses of the anchors. counts: numbers of positives; an anchor without positives has loss 0."""
        mean = self.positive_logits / counts.clamp(min=1)
        logs = self.denominators(kind)
        losses = logs - mean
        if kind != "decoupled":
            odds = self.negatives - mean
            losses = torch.where(counts == 1, torch.logaddexp(torch.zeros_like(odds), odds), losses)
            losses = torch.where(logs.isposinf(), torch.nan, losses)  # the softmax is not defined
        return torch.where(counts > 0, losses, 0.0)

    def rescaled(self, shift: Tensor) -> Tensor:  # (4, n)
        """The sums in the form that a forward saves, in units of exp(shift)."""
        scaled = [
            torch.where(logs.isneginf(), 0.0, (logs - shift).exp())
            for logs in (self.negatives, self.positives)
        ]
        return torch.stack([shift, *scaled, self.positive_logits])

    def reachable(self, shift: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
        """The shift, or the logarithm of the sum where that overflows or vanishes in units of exp(shift)."""
        top, farthest = self.denominators(kind), FARTHEST[str(dtype).removeprefix("torch.")]
        return torch.where(((top - shift).abs() < farthest) | ~top.isfinite(), shift, top)


class PartialSoftmax:
    """Pairs of anchors with keys or, without keys, with each other; pairs of one group are positive.

    groups: of anchors, and of all keys or None. both: whether keys also have sums and gradients.
    """

    sums: AnchorSums  # of the anchors, then with `both` of the keys; on the device of the anchors

    def __init__(
        self, settings: Settings, anchors: Tensor, keys: Sequence[Tensor], groups: Any, both: bool = False
    ) -> None:
        function, temperature, kind, normalize = settings
        self._backend = backend_of(TORCH, anchors, function)
        # A GPU accepts one array of keys.
        sides = [anchors], list(keys) if self._backend.here or not keys else [torch.cat(list(keys))]
        given = self._backend.given_groups(*groups)
        self._task = ContrastTask(*sides, given, temperature, normalize, kind, symmetric=both)
        self._saved = as_tensor(self._backend.contrast_forward(self._task, False).saved)
        self.sums = AnchorSums.of(self._saved)

    def backward(
        self, sums: AnchorSums, counts: Tensor, weight: Tensor
    ) -> tuple[list[Tensor], Tensor | float]:
        """Gradients of weight times the losses, with respect to anchors, with `both` keys, and temperature.

        sums, counts: the sums and numbers of positives in the larger problem, of anchors and then keys.
        """
        task, kind = self._task, self._task.kind
        shift = self._backend.shifts(task, self._saved, sums.denominators(kind))
        dtype = compute_dtype([*task.anchors, *task.keys])
        saved = sums.rescaled(sums.reachable(shift, kind, dtype))
        wanted = [True, *(task.symmetric for _ in task.keys)]
        found: tuple[list[Any], Any] = self._backend.partial_backward(task, saved, counts, weight, wanted)
        return [grad for grad in found[0] if grad is not None], found[1]
