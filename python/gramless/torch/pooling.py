"""From a module's output to one row per example: (n, features), float, owned.

Knows layouts and masks, nothing of models. Averages are taken in float32 at least.
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
Rows: TypeAlias = "npt.NDArray[Any] | torch.Tensor"  # (n, features); a tensor is a GPU's

NAMES = ("mean", "none", "class", "last", "tokens")


def owned(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A copy on the CPU, so that later changes of the tensor do not matter."""
    return tensor.to("cpu", copy=True).contiguous().numpy()


def owned_there(tensor: torch.Tensor) -> Rows:
    """A copy on the GPU that the tensor is on, else as `owned`."""
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
    """The rows (n, features) of one output, or what `keep` makes of them.

    pool: "mean" averages over positions, the valid ones where there is a mask; "none" flattens; "class" takes
        the first valid token, "last" the last; "tokens" is the mean over valid tokens and insists on a mask.
    layout: which of the tensor's dimensions are examples, features and positions.
    mask: (n, tokens), nonzero where valid.
    keep: must copy or reduce, for the tensor it gets may be part of the output and change later.
    any_order: whether "none" may flatten features in the order in which they lie in memory, which saves a
        copy; kernels do not notice, but batches may differ.

    Raises PoolError where the output does not fit. float64 stays, everything else becomes float32.

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
    """The rows that a callable makes of a tensor, given as many of name, module and mask as it takes.

    Raises PoolError unless they are (examples, features).
    """
    found = with_what_it_takes(pool)(tensor, name, module, mask)
    if not isinstance(found, torch.Tensor) or found.ndim != 2:
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise PoolError(f"is pooled by pool= to {shape} instead of (examples, features)")
    if rows is not None and len(found) != rows:
        raise PoolError(
            f"is pooled by pool= to {tuple(found.shape)} for a batch of {rows} examples: its rows are no "
            "examples"
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
    if arranged.ndim > 3 and mask is not None:  # one position beside those of the tokens is none
        sizes = [size for size in arranged.shape[1:-1] if size > 1] or [1]
        arranged = arranged.reshape(len(arranged), *sizes, arranged.shape[-1])
    if arranged.ndim > 3 and pool != "mean":
        raise PoolError(f'returns shape {shape}, which has no tokens for pool="{pool}"')
    if mask is None:
        if pool == "tokens":
            raise PoolError('cannot be pooled by "tokens": the batch holds no attention mask for it')
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
    """Raises ValueError unless pool is one of the names or a callable."""
    if not callable(pool) and pool not in NAMES:
        names = ", ".join(f'"{name}"' for name in NAMES)
        raise ValueError(f"{function}: pool must be {names} or a callable but is {pool!r}")
    return cast("Pool", pool)
