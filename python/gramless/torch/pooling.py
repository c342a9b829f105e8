"""From what a module returned to one row per example: (n, features), float, owned.

Knows shapes and masks, nothing of models. Averages are taken in float32 at least.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

import numpy.typing as npt
import torch

from ._framework import on_device

PoolName: TypeAlias = Literal["mean", "none", "cls", "tokens"]
Pool: TypeAlias = "PoolName | Callable[[torch.Tensor], torch.Tensor]"
Rows: TypeAlias = "npt.NDArray[Any] | torch.Tensor"  # (n, features); a tensor is a GPU's

NAMES = ("mean", "none", "cls", "tokens")
_PREFERRED = ("last_hidden_state", "hidden_states", "logits", "out", "pooler_output")


class PoolError(ValueError):
    """An output that cannot be pooled as asked; the message continues "layer 'x' ..."."""


def tensor_of(output: Any) -> torch.Tensor:
    """The tensor that a module's output stands for: itself, or the first in a tuple, list or mapping.

    In a mapping or ModelOutput `last_hidden_state`, `hidden_states` (its last), `logits`, `out` and
    `pooler_output` go before the others.

    >>> tensor_of({"loss": torch.zeros(()), "logits": torch.ones(2, 3)}).shape
    torch.Size([2, 3])
    """
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        for name in _PREFERRED:
            if name in output and _has_tensor(output[name]):
                value = output[name]
                return tensor_of(value[-1] if isinstance(value, (tuple, list)) else value)
        output = list(output.values())
    if isinstance(output, Sequence) and not isinstance(output, (str, bytes)):
        for value in output:
            if _has_tensor(value):
                return tensor_of(value)
    raise PoolError(f"returns {type(output).__name__} without a tensor inside")


def _has_tensor(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.ndim > 0
    if isinstance(value, Mapping):
        value = list(value.values())
    return isinstance(value, (tuple, list)) and any(map(_has_tensor, value))


def owned(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A copy on the CPU: whatever happens to the tensor later is harmless."""
    return tensor.to("cpu", copy=True).contiguous().numpy()


def owned_there(tensor: torch.Tensor) -> Rows:
    """A copy on the GPU that the tensor is on, else as `owned`."""
    if on_device(tensor):
        return tensor.clone(memory_format=torch.contiguous_format)
    return owned(tensor)


def pooled(
    output: Any,
    pool: Pool,
    mask: torch.Tensor | None,
    rows: int | None,
    keep: Callable[[torch.Tensor], Any] = owned,
    any_order: bool = False,
) -> Any:
    """The rows (n, features) of one output, or what `keep` makes of them.

    pool: "mean" averages (n, channels, height, ...) over positions and (n, tokens, features) over tokens, the
        valid ones where there is a mask; "none" flattens; "cls" takes the first valid token; "tokens" is the
        mean over valid tokens and insists on a mask. Two dimensions stay as they are. A callable maps the
        output's tensor to (n, features) itself.
    mask: (n, tokens), nonzero where valid.
    rows: the examples in the batch, if known.
    keep: must copy or reduce, for the tensor it gets may be part of the output and change later.
    any_order: whether "none" may flatten features in the order in which they lie in memory, which saves a
        copy; kernels do not notice, but batches may differ.

    Raises PoolError where the output does not fit. float64 stays, everything else becomes float32.

    >>> pooled(torch.arange(6.0).reshape(1, 3, 2), "mean", torch.tensor([[1, 1, 0]]), 1)
    array([[1., 2.]], dtype=float32)
    """
    tensor = tensor_of(output).detach()
    if tensor.layout is not torch.strided or tensor.is_nested:
        raise PoolError("returns a sparse or nested tensor; only dense ones are understood")
    if tensor.is_complex():
        raise PoolError(f"returns {tensor.dtype}, which is no real number")
    if callable(pool):
        tensor = pool(tensor)
        if not isinstance(tensor, torch.Tensor) or tensor.ndim != 2:
            shape = tuple(tensor.shape) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise PoolError(f"is pooled by pool= to {shape} instead of (examples, features)")
        tensor = tensor.detach()
    if tensor.ndim == 0 or (rows is not None and len(tensor) != rows):
        raise PoolError(
            f"returns shape {tuple(tensor.shape)} for a batch of {rows} examples: its rows are no examples"
        )
    if not callable(pool):
        channels_last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        if any_order and pool == "none" and channels_last:
            tensor = tensor.permute(0, 2, 3, 1)
        tensor = _by_name(_wide(tensor), pool, mask)
    return keep(_wide(tensor))


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


def _by_name(tensor: torch.Tensor, pool: PoolName, mask: torch.Tensor | None) -> torch.Tensor:
    if tensor.ndim <= 2:
        return tensor.reshape(len(tensor), -1)
    if pool == "none":
        if mask is not None and tensor.ndim == 3 and tensor.shape[1] == mask.shape[1] and not mask.all():
            raise PoolError('would be flattened with its padding by pool="none"; use pool="tokens" or "cls"')
        return tensor.reshape(len(tensor), -1)
    if tensor.ndim > 3:
        if pool != "mean":
            raise PoolError(f'returns shape {tuple(tensor.shape)}, which has no tokens for pool="{pool}"')
        if mask is not None and not mask.all():
            raise _unmasked(tensor, mask)
        return tensor.mean(dim=tuple(range(2, tensor.ndim)))
    valid = _valid(tensor, pool, mask)
    if pool == "cls":
        return tensor[:, 0] if valid is None else tensor[torch.arange(len(tensor)), valid.int().argmax(dim=1)]
    if valid is None:
        return tensor.mean(dim=1)
    kept = torch.where(valid[:, :, None], tensor, 0)  # not times 0: padding may hold NaN or inf
    return kept.sum(dim=1) / valid.sum(dim=1, keepdim=True)


def _valid(tensor: torch.Tensor, pool: PoolName, mask: torch.Tensor | None) -> torch.Tensor | None:
    """The mask as booleans (n, tokens), once it fits the tensor (n, tokens, features)."""
    if mask is None:
        if pool == "tokens":
            raise PoolError('cannot be pooled by "tokens": the batch holds no attention mask')
        return None
    if mask.shape != tensor.shape[:2]:
        raise _unmasked(tensor, mask)
    valid = mask.to(tensor.device) != 0
    if not valid.any(dim=1).all():
        raise PoolError("meets an example without any valid token in the attention mask")
    return valid


def _unmasked(tensor: torch.Tensor, mask: torch.Tensor) -> PoolError:
    return PoolError(
        f"returns shape {tuple(tensor.shape)}, which the attention mask {tuple(mask.shape)} does not fit; "
        "give pool= a callable, or attention_mask=None to take every position"
    )


def check_pool(function: str, pool: Any) -> Pool:
    """Raises ValueError unless pool is one of the names or a callable."""
    if not callable(pool) and pool not in NAMES:
        names = ", ".join(f'"{name}"' for name in NAMES)
        raise ValueError(f"{function}: pool must be {names} or a callable but is {pool!r}")
    return cast("Pool", pool)
