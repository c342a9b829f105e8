"""What the operators of contrastive losses take beside arrays, and what they compute in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._losses import as_temperature, contrast_options

_WIDE = frozenset([torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64])


class Options(NamedTuple):
    """What of a contrastive loss is neither an array nor a tensor."""

    function: str  # whom errors name
    temperature: float  # where it is no tensor
    normalize: bool
    kind: str  # "softmax", "decoupled" or "log_sum_exp"
    symmetric: bool  # the mean of the anchors' losses and those of the first keys as anchors
    reduction: str  # "mean", "sum" or "none"
    exclude_above: float | None
    exclude_hardest: float | None


def number(x: float) -> Tensor:
    """x as float64, 0-d. torch.compile lets a float vary between calls where a product with a tensor takes it
    up; as an argument of an operator, or through torch.tensor and torch.full, each value has its own graph.
    """
    return torch.ones((), dtype=torch.float64) * x


def operands(options: Options) -> tuple[Any, ...]:
    """Options as an operator takes them: what is a constant of its graph, which numbers are given, they."""
    function, temperature, normalize, kind, symmetric, reduction, *more = options
    given = [x is not None for x in more]
    numbers = torch.stack([number(1.0 if x is None else x) for x in (temperature, *more)])
    return function, normalize, kind, symmetric, reduction, *given, numbers


def options_of(*operands: Any) -> Options:
    """What `operands` was made of."""
    function, *others, _, _, numbers = operands
    given = operands[-3:-1]
    temperature, *more = numbers.tolist()
    above, hardest = [x if is_given else None for x, is_given in zip(more, given, strict=True)]
    normalize, kind, symmetric, reduction = others
    checked = contrast_options(function, 1.0, normalize, above, hardest)
    return Options(
        *(function, temperature, normalize, kind, symmetric, reduction),
        *(checked.exclude_above, checked.exclude_hardest),
    )


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
