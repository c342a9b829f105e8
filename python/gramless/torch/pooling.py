"""Pooling of a module's output to one row per example: a copy (n, features) in float32 or float64.

It depends on layouts and masks but not on models. Averages are computed in float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import numpy.typing as npt
import torch
from torch import nn

from .._tokens import with_what_it_takes
from ._tensors import on_device
from .layouts import Layout
from .masks import unmasked
from .outputs import PoolError

PoolName: TypeAlias = Literal["mean", "none", "class", "last", "tokens"]
Pool: TypeAlias = "PoolName | Callable[..., torch.Tensor]"
Rows: TypeAlias = "npt.NDArray[Any] | torch.Tensor"  # (n, features); tensors are on a GPU

NAMES = ("mean", "none", "class", "last", "tokens")


def owned(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A copy on the CPU, which later changes of the tensor do not affect."""
    return tensor.to("cpu", copy=True).contiguous().numpy()


def owned_there(tensor: torch.Tensor) -> Rows:
    """A copy on the GPU of the tensor, or on the CPU as `owned` returns it."""
    if on_device(tensor):
        return tensor.clone(memory_format=torch.contiguous_format)
    return owned(tensor)


def pooled(
    tensor: torch.Tensor,
    pool: PoolName,
    layout: Layout,
    mask: torch.Tensor | None = None,
    keep: Callable[[torch.Tensor], Any] = owned,
    any_order: bool = False,
) -> Any:
    """The rows (n, features) of one output, passed through `keep`.

    pool: "mean" averages over positions, the valid ones if there is a mask; "none" flattens them; "class"
        uses the first valid token and "last" the last one; "tokens" is the mean over valid tokens and
        requires a mask.
    layout: which of the tensor's dimensions are examples, features and positions.
    mask: (n, tokens), nonzero for valid tokens.
    keep: copies or reduces the rows, which may share memory with the output and change later.
    any_order: whether "none" may flatten features in their order in memory, which saves a copy. Kernels do
        not depend on that order, but it may differ between batches.

    Raises PoolError if the output cannot be pooled. float64 is kept; other dtypes become float32.

    >>> tokens = torch.arange(6.0).reshape(1, 3, 2)
    >>> pooled(tokens, "mean", Layout.of_text("NLC"), torch.tensor([[1, 1, 0]]))
    array([[1., 2.]], dtype=float32)
    """
    if pool == "none":
        return keep(_wide(_flattened(tensor, layout, mask, any_order)))
    return keep(_wide(_averaged(_wide(layout.arranged(tensor)), tuple(tensor.shape), pool, mask)))


def pooled_by(
    pool: Callable[..., torch.Tensor],
    tensor: torch.Tensor,
    rows: int | None,
    name: str,
    module: nn.Module,
    mask: torch.Tensor | None,
    keep: Callable[[torch.Tensor], Any] = owned,
) -> Any:
    """The rows that a callable returns for a tensor; it may take name, module and mask as well.

    Raises PoolError unless the rows are (examples, features).
    """
    found = with_what_it_takes(pool)(tensor, name, module, mask)
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise PoolError(f"is pooled by pool= to {shape} instead of (examples, features)")
    if rows is not None and len(found) != rows:
        raise PoolError(
            f"is pooled by pool= to {tuple(found.shape)} for a batch of {rows} examples: its rows are not "
            "the examples"
        )
    return keep(_wide(found.detach()))


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


def _flattened(
    tensor: torch.Tensor, layout: Layout, mask: torch.Tensor | None, any_order: bool
) -> torch.Tensor:
    if mask is not None and not mask.all():
        raise PoolError(
            'would be flattened with its padding by pool="none"; use pool="tokens", "class" or "last"'
        )
    if not layout.examples_first:
        tensor = layout.arranged(tensor)
    elif any_order and tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(len(tensor), -1)


def _averaged(
    arranged: torch.Tensor, shape: tuple[int, ...], pool: PoolName, mask: torch.Tensor | None
) -> torch.Tensor:
    """(n, positions..., features) to (n, features)."""
    if arranged.ndim == 2:
        return arranged
    if arranged.ndim > 3 and mask is not None:  # dimensions of size 1 beside the tokens do not count
        sizes = [size for size in arranged.shape[1:-1] if size > 1] or [1]
        arranged = arranged.reshape(len(arranged), *sizes, arranged.shape[-1])
    if arranged.ndim > 3 and pool != "mean":
        raise PoolError(f'returns shape {shape}, which has no tokens for pool="{pool}"')
    if mask is None:
        if pool == "tokens":
            raise PoolError('cannot be pooled by "tokens": the batch has no attention mask for it')
        if pool in ("class", "last"):
            return arranged[:, 0 if pool == "class" else -1]
        return arranged.mean(dim=tuple(range(1, arranged.ndim - 1)))
    if mask.shape != arranged.shape[:-1]:
        raise unmasked(shape, mask)
    valid = mask.to(arranged.device) != 0
    if not valid.any(dim=1).all():
        raise PoolError("has an example without any valid token in the attention mask")
    if pool in ("class", "last"):
        places = torch.arange(valid.shape[1], device=valid.device)
        chosen = valid.int().argmax(dim=1) if pool == "class" else (valid * places).argmax(dim=1)
        return arranged[torch.arange(len(arranged)), chosen]
    kept = torch.where(valid[:, :, None], arranged, 0)  # not times 0: padding may hold NaN or inf
    return kept.sum(dim=1) / valid.sum(dim=1, keepdim=True)


def check_pool(function: str, pool: Any) -> Pool:
    """Raise ValueError unless pool is one of the names or a callable."""
    if not callable(pool) and pool not in NAMES:
        names = ", ".join(f'"{name}"' for name in NAMES)
        raise ValueError(f"{function}: pool must be {names} or a callable but is {pool!r}")
    return cast("Pool", pool)
