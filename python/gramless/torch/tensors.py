"""Moving, copying and converting the tensors of a batch. Depends on a model only for its dtype."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

_COMPUTED = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def moved(function: str, batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on the device; tuples and lists keep their types, mappings become dicts.

    >>> moved("f", {"x": torch.zeros(2), "name": "a"}, torch.device("cpu"))["name"]
    'a'
    """

    def held(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_meta:
            raise TypeError(f"{function}: a batch has a tensor on the meta device, which holds no values")
        return tensor.to(device)

    return _changed(batch, held, lambda entry: entry)


def fresh(batch: Any, pictures_last: bool = False, dtype: torch.dtype | None = None) -> Any:
    """A copy of the batch that a model may modify; a tensor that occurs twice is copied once.

    pictures_last: whether images (n, channels, height, width) on CPUs get channels-last format.
    dtype: of the floating-point tensors in the copy; None keeps their dtypes.

    >>> fresh([torch.zeros(2, 3, 4, 4)], True)[0].stride()
    (48, 1, 12, 3)
    """
    copies: dict[int, torch.Tensor] = {}

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in copies:
            floating = tensor.is_floating_point()
            picture = tensor.layout is torch.strided and tensor.ndim == 4 and tensor.device.type == "cpu"
            last = pictures_last and floating and picture
            order = torch.channels_last if last else torch.preserve_format
            source = tensor.detach()
            other = dtype is not None and floating and tensor.dtype != dtype
            copies[id(tensor)] = (
                source.to(dtype, memory_format=order, copy=True)
                if other
                else source.clone(memory_format=order)
            )
        return copies[id(tensor)]

    return _changed(batch, copied, _copied_object)


def dtype_of(model: nn.Module) -> torch.dtype | None:
    """The dtype of the first parameter that a model computes with; None if it has none.

    >>> dtype_of(nn.Linear(2, 2).bfloat16())
    torch.bfloat16
    """
    if torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu"):  # autocast converts the inputs
        return None
    return next((p.dtype for p in model.parameters() if p.dtype in _COMPUTED), None)


def _copied_object(entry: Any) -> Any:
    if isinstance(entry, np.ndarray):
        return entry.copy()
    try:
        return copy.deepcopy(entry)
    except Exception:  # objects that cannot be copied are passed on unchanged
        return entry


def _changed(
    batch: Any, change: Callable[[torch.Tensor], torch.Tensor], otherwise: Callable[[Any], Any]
) -> Any:
    """The batch with `change` applied to its tensors, and `otherwise` to its other entries."""
    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, PackedSequence):  # its batch_sizes stay on the CPU
        places = [x if x is None else change(x) for x in (batch.sorted_indices, batch.unsorted_indices)]
        return PackedSequence(change(batch.data), batch.batch_sizes.clone(), *places)
    if isinstance(batch, Mapping):
        return {name: _changed(value, change, otherwise) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_changed(value, change, otherwise) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)([_changed(value, change, otherwise) for value in batch])
    return otherwise(batch)
