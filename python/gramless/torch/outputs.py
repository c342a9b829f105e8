"""The tensors in arguments and outputs, and the main tensor of an output, without layouts or models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .._layouts import tokens_for_each

_PREFERRED = ("last_hidden_state", "hidden_states", "logits", "out", "pooler_output")


class PoolError(ValueError):
    """An output cannot be pooled as requested; the message continues "layer 'x' ...".

    hint: what the user can do; lists of layers that were left out show only the reason.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason + hint)
        self.reason = reason


def no_examples(shape: Sequence[int], examples: int | None) -> PoolError:
    """The error for an output without a dimension for the examples of the batch; its rows may be tokens.

    >>> "its 64 rows are 8 for each example" in str(no_examples((64, 3), 8))
    True
    """
    reason = f"returns shape {tuple(shape)} for a batch of {examples} examples: its rows are not the examples"
    found = tokens_for_each("", examples or 0, "rows", shape[0] if shape else 0)
    if found is None or found[0] != "rows":
        return PoolError(reason)
    inner = ".flatten(1, -2)" if len(shape) > 2 else ""
    return PoolError(
        reason,
        f"; if its {shape[0]} rows are {found[1]} for each example, one example after the other, pass a "
        f"callable that averages them as pool=: lambda x: x.unflatten(0, (-1, {found[1]})){inner}.mean(1)",
    )


def tensor_of(output: Any) -> Any:
    """The main tensor (or packed sequence) of a module's output: the output itself, or the first tensor in a
    tuple, list, mapping or dataclass.

    In a mapping, ModelOutput or dataclass, `last_hidden_state`, `hidden_states` (the last of them), `logits`,
    `out` and `pooler_output` take precedence, in this order.

    >>> tensor_of({"loss": torch.zeros(()), "logits": torch.ones(2, 3)}).shape
    torch.Size([2, 3])
    """
    if isinstance(output, (torch.Tensor, PackedSequence)):
        return output
    whole, output = output, _fields(output)
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
    raise PoolError(f"returns {type(whole).__name__} without a tensor inside")


def _fields(value: Any) -> Any:
    """A dataclass as a mapping; other values unchanged."""
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, Mapping)):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return value


def _has_tensor(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.is_nested or value.ndim > 0
    value = _fields(value)
    if isinstance(value, Mapping):
        value = list(value.values())
    return isinstance(value, (tuple, list)) and any(map(_has_tensor, value))


def tensors_in(args: Any) -> list[torch.Tensor]:
    """The tensors among arguments, including those in lists and mappings."""
    if isinstance(args, torch.Tensor):
        return [args]
    if isinstance(args, dict):
        args = tuple(args.values())
    if isinstance(args, (tuple, list)):
        return [tensor for argument in args for tensor in tensors_in(argument)]
    return []


def dense(output: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The tensor of an output and, for sequences of different lengths, its mask (examples, tokens). Packed
    sequences and nested tensors are padded with zeros to (examples, tokens, features).

    Raises PoolError for outputs that are not dense tensors of real numbers.
    """
    found = tensor_of(output)
    if isinstance(found, PackedSequence):
        padded, lengths = pad_packed_sequence(found, batch_first=True)
        if padded.ndim != 3:
            raise PoolError(f"returns a packed sequence of shape {tuple(found.data.shape)}")
        return padded.detach(), _mask(lengths, padded)
    tensor: torch.Tensor = found.detach()
    if tensor.ndim == 0 and not tensor.is_nested:
        raise PoolError("returns a single number")
    if tensor.is_nested:
        parts = tensor.unbind()
        if not parts or any(part.ndim != 2 or part.shape[1] != parts[0].shape[1] for part in parts):
            raise PoolError("returns a nested tensor that is not (examples, tokens, features)")
        lengths = torch.tensor([len(part) for part in parts])
        padded = torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
        return padded, _mask(lengths, padded)
    if tensor.layout is not torch.strided:
        raise PoolError("returns a sparse tensor; only dense tensors are supported")
    if tensor.is_complex():
        raise PoolError(f"returns {tensor.dtype}; only real numbers are supported")
    return (tensor.dequantize() if tensor.is_quantized else tensor), None


def _mask(lengths: torch.Tensor, padded: torch.Tensor) -> torch.Tensor:
    return torch.arange(padded.shape[1])[None] < lengths[:, None]
