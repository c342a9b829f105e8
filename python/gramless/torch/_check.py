"""The edge of the library for tensors: what cannot be computed is one sentence. torch.compile traces it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._arrays import check_storage
from .._arrays.cuda_status import cuda_module
from .._backends.launch import DTYPES as DEVICE_DTYPES
from .._losses import as_groups, as_scale, as_temperature
from ._framework import on_device
from ._problem import DTYPES
from ._tensors import is_plain

_DEVICE_DTYPES = frozenset(getattr(torch, name) for name in DEVICE_DTYPES)


def _as_tensor(function: str, name: str, array: Any) -> Tensor:
    """What stands beside a tensor, copied: numpy has layouts that torch has not."""
    try:
        return torch.from_numpy(np.array(array))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{function}: {name} must be a tensor or an array of real numbers "
            f"but is {type(array).__name__} ({error})"
        ) from None


def check_array(function: str, name: str, array: Any) -> Tensor:
    """A tensor the core can read: `array` itself, or what is in it."""
    x: Tensor = array if isinstance(array, Tensor) else _as_tensor(function, name, array)
    if on_device(x) and not torch.compiler.is_compiling():
        cuda_module(function)
    elif x.device.type not in ("cpu", "cuda"):
        raise TypeError(f"{function}: {name} is on {x.device} but gramless reads the CPU's and CUDA's memory")
    if x.layout is not torch.strided:
        raise TypeError(f"{function}: {name} must be a dense tensor but has layout {x.layout}")
    if x.dtype not in DTYPES:
        raise TypeError(f"{function}: {name} must hold real numbers but has dtype {x.dtype}")
    shape = x.shape
    if len(shape) != 2:
        raise ValueError(
            f"{function}: {name} must have 2 dimensions (rows, features) but has shape {tuple(shape)}"
        )
    if 0 in shape:
        raise ValueError(f"{function}: {name} is empty, its shape is {tuple(shape)}")
    if is_plain([x]):
        check_storage(function, name, x)
    if on_device(x) and x.dtype not in _DEVICE_DTYPES:
        raise TypeError(
            f"{function}: {name} has dtype {x.dtype} but on a GPU must have one of {', '.join(DEVICE_DTYPES)}"
        )
    return x


def _check_place(function: str, name_x: str, x: Tensor, name_y: str, y: Tensor) -> None:
    """Raises TypeError or ValueError unless both are on one device and, on a GPU, of one dtype."""
    if x.device != y.device:
        raise ValueError(f"{function}: {name_x} is on {x.device} but {name_y} is on {y.device}")
    if on_device(x) and x.dtype is not y.dtype:
        raise TypeError(
            f"{function}: on a GPU all arrays must have one dtype "
            f"but {name_x} has {x.dtype} and {name_y} has {y.dtype}"
        )


def check_rows(function: str, name_x: str, x: Tensor, name_y: str, y: Tensor) -> None:
    """Raises ValueError unless both have the same number of rows."""
    _check_place(function, name_x, x, name_y, y)
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"{function}: {name_x} has {x.shape[0]} rows but {name_y} has {y.shape[0]}")


def check_columns(function: str, name_x: str, x: Tensor, name_y: str, y: Tensor) -> None:
    """Raises ValueError unless both have the same number of columns."""
    _check_place(function, name_x, x, name_y, y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{function}: {name_x} has {x.shape[1]} columns but {name_y} has {y.shape[1]}")


def check_pairs(function: str, name_x: str, x: Any, name_y: str, y: Any) -> tuple[Tensor, Tensor]:
    """Both as `check_array` has them; raises ValueError unless they have one shape."""
    x, y = check_array(function, name_x, x), check_array(function, name_y, y)
    check_rows(function, name_x, x, name_y, y)
    check_columns(function, name_x, x, name_y, y)
    return x, y


def check_temperature(function: str, value: Any, name: str = "temperature") -> tuple[float, Tensor | None]:
    """A number and no tensor, or 1 and the tensor that will be read instead."""
    if not isinstance(value, Tensor):
        if torch.compiler.is_compiling() and isinstance(value, float):
            return value, None  # perhaps a symbol; the operator checks it
        return as_temperature(function, value, name), None
    if value.numel() != 1:
        raise ValueError(f"{function}: {name} must be one number but has shape {tuple(value.shape)}")
    if value.device.type not in ("cpu", "cuda") or not value.is_floating_point():
        raise TypeError(
            f"{function}: {name} must be a floating-point tensor on the CPU or a GPU "
            f"but is {value.dtype} on {value.device}"
        )
    return 1.0, value.reshape(())


def check_scale(function: str, value: Any) -> float | Tensor:
    """What logits are multiplied by, a number or a tensor of one; any value will do."""
    if not isinstance(value, Tensor):
        symbol = torch.compiler.is_compiling() and isinstance(value, float)
        return value if symbol else as_scale(function, value)
    if value.numel() != 1:
        raise ValueError(f"{function}: logit_scale must be one number but has shape {tuple(value.shape)}")
    if value.is_complex():
        raise TypeError(f"{function}: logit_scale must be a real number but has dtype {value.dtype}")
    return value.reshape(())


def check_labels(function: str, labels: Any, rows: int) -> Tensor:
    """One integer for each of `rows` rows."""
    if not isinstance(labels, Tensor):
        return torch.from_numpy(as_groups(function, labels, rows))
    if labels.ndim != 1:
        raise ValueError(
            f"{function}: labels must have 1 dimension, one label per row, "
            f"but has shape {tuple(labels.shape)}"
        )
    if labels.shape[0] != rows:
        raise ValueError(f"{function}: z has {rows} rows but labels has {labels.shape[0]}")
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"{function}: labels must be integers but has dtype {labels.dtype}")
    return labels
