"""torch.vmap over operators that have no batched form: one call after another, results stacked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _pick(argument: Any, dim: Any, i: int) -> Any:
    if isinstance(argument, (list, tuple)) and isinstance(dim, (list, tuple)):
        return [_pick(a, d, i) for a, d in zip(argument, dim, strict=True)]
    return argument if dim is None else argument.select(dim, i)


def one_by_one(call: Callable[..., Any]) -> Callable[..., Any]:
    """The vmap rule of `call`, which returns a tuple or a list of tensors."""

    def rule(info: Any, dims: Any, *arguments: Any) -> tuple[Any, Any]:
        results = [call(*_pick(arguments, dims, i)) for i in range(info.batch_size)]
        kind: type = type(results[0])
        stacked: list[Tensor] = [torch.stack(values) for values in zip(*results, strict=True)]
        return kind(stacked), kind([0] * len(stacked))

    return rule
