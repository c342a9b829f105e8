"""The settings and the record of a comparison of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from .._record import array_digest, digest_of, environment, seed_of
from .._runtime import VERSION
from .masks import entries_of


def settings_of(
    sides: Sequence[Any], examples: int, batches: int, on_disk: bool, plan: Any
) -> dict[str, Any]:
    """The settings of the matrix, as values that JSON supports."""
    settings: dict[str, Any] = {
        "model_a": type(sides[0].model).__name__,
        "model_b": type(sides[-1].model).__name__,
        "kernel": repr(plan.kernel),
        "estimator": plan.estimator,
        "method": plan.method,
        "pool": pool_name(plan.pool),
        "examples": examples,
        "batches": batches,
        "left_out_a": sides[0].recorder.left_out,
        "left_out_b": sides[-1].recorder.left_out,
        "gramless": VERSION,
    }
    if plan.ranks is not None:
        settings["processes"] = plan.ranks.size
    if plan.method == "minibatch":
        return settings | {"weighting": plan.weighting}
    return settings | {"on_disk": on_disk}


def pool_name(pool: Any) -> str:
    return str(getattr(pool, "__name__", repr(pool))) if callable(pool) else pool


class Digests:
    """SHA-256 of the batches of each dataloader, and of the weights of each model."""

    def __init__(self, loaders: int) -> None:
        self._batches: list[list[tuple[str, str]]] = [[] for _ in range(loaders)]

    def add(self, pair: Sequence[Any]) -> None:
        """Add one batch of each dataloader."""
        for kept, batch in zip(self._batches, pair, strict=False):
            own = [(name, tensor_digest(tensor)) for name, tensor in entries_of(batch).items()]
            kept.append((str(len(kept)), digest_of(own)))

    def found(self, ranks: Any) -> list[str]:
        """The digest of each dataloader, in a process group over the batches of all ranks in order."""
        own = [digest_of(kept) for kept in self._batches]
        if ranks is None:
            return own
        every = ranks.all_gather_object(own)
        return [digest_of((str(rank), one[i]) for rank, one in enumerate(every)) for i in range(len(own))]


def tensor_digest(tensor: torch.Tensor) -> str:
    """A digest of dtype, shape and values, on any device."""
    if tensor.is_nested or tensor.layout is not torch.strided:
        return digest_of([(str(tensor.dtype), repr(tensor))])
    here = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if here.is_complex():
        here = torch.view_as_real(here)
    values = here.reshape(-1).view(torch.uint8).numpy() if here.numel() else np.empty(0, np.uint8)
    return digest_of([(f"{tensor.dtype} {tuple(tensor.shape)}", array_digest(values))])


def weights_digest(model: nn.Module) -> str:
    """A digest of a model's parameters and buffers with their names."""
    entries = (*model.named_parameters(), *model.named_buffers())
    return digest_of((name, tensor_digest(tensor)) for name, tensor in entries)


def record_of(
    sides: Sequence[Any],
    examples: int,
    rows: Sequence[dict[str, Any]] | None,
    plan: Any,
    digests: Digests | None,
) -> dict[str, Any]:
    """The record that `LayerMatrix.record` describes. rows: `rows_records` of the layers of all sides, if the
    rows were kept.
    """
    found: dict[str, Any] = environment() | {"function": "compare_models", "n": examples}
    found |= {"kernel": repr(plan.kernel), "estimator": plan.estimator, "seed": seed_of(plan.rng)}
    left = iter(rows or ())
    for letter, side in zip("ab", sides, strict=False):
        found[f"layers_{letter}"] = {
            name: _as_given(decision, plan.pool) | next(left, {})
            for name, decision in zip(side.recorder.names, side.recorder.decisions, strict=True)
        }
    if digests is not None:
        data = digests.found(plan.ranks)
        for letter, side in zip("ab", sides, strict=False):
            found[f"weights_{letter}"] = weights_digest(side.model)
            found[f"data_{letter}"] = data[side.batch]
    return found


def _as_given(decision: Any, pool: Any) -> dict[str, Any]:
    """For an output, its shape in the last batch, its layout and its pooling."""
    if decision is None:
        return {"shape": None, "layout": None, "pool": pool_name(pool)}
    layout = None if decision.layout is None else decision.layout.letters
    return {"shape": list(decision.shape), "layout": layout, "pool": pool_name(pool)}
