"""What the operators of contrastive losses take beside arrays, and what they compute in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .._losses import as_temperature

_WIDE = frozenset([torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64])


class Options(NamedTuple):
    """What of a contrastive loss is neither an array nor a tensor."""

    function: str  # whom errors name
    temperature: float  # where it is no tensor
    normalize: bool
    kind: str  # "softmax", "decoupled", "log_sum_exp" or "distillation"
    symmetric: bool  # the mean of the anchors' losses and those of the first keys as anchors
    reduction: str  # "mean", "sum" or "none"
    exclude_above: float | None
    exclude_hardest: float | None
    teacher_temperature: float | None = None  # of distillation


class Arguments(NamedTuple):
    """All that an operator of contrastive losses is given."""

    anchors: Sequence[Tensor]
    keys: Sequence[Tensor]
    labels: Tensor | None
    learned_temperature: Tensor | None  # waits for the tensor's device when read
    options: Options

    def temperature(self) -> float:
        """The learned one, else that of the options; checked."""
        learned = self.learned_temperature
        value = self.options.temperature if learned is None else learned.item()
        return as_temperature(self.options.function, value)


def compute_dtype(arrays: Sequence[Tensor]) -> torch.dtype:
    """What the core computes these tensors in."""
    return torch.float64 if any(x.dtype in _WIDE for x in arrays) else torch.float32
