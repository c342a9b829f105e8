"""The edge of the library for tensors: what cannot be computed is one sentence. torch.compile traces it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._losses import as_groups, as_temperature
from ._operators import DTYPES


def check_array(function: str, name: str, array: Any) -> Tensor:
    """A tensor the core can read: `array` itself, or what is in it."""
    x: Tensor = array if isinstance(array, Tensor) else torch.as_tensor(array)
    if x.device.type != "cpu":
        raise TypeError(f"{function}: {name} is on {x.device} but this build of gramless reads only the CPU")
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
    return x


def check_rows(function: str, name_x: str, x: Tensor, name_y: str, y: Tensor) -> None:
    """Raises ValueError unless both have the same number of rows."""
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"{function}: {name_x} has {x.shape[0]} rows but {name_y} has {y.shape[0]}")


def check_columns(function: str, name_x: str, x: Tensor, name_y: str, y: Tensor) -> None:
    """Raises ValueError unless both have the same number of columns."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{function}: {name_x} has {x.shape[1]} columns but {name_y} has {y.shape[1]}")


def check_temperature(function: str, value: Any, name: str = "temperature") -> tuple[float, Tensor | None]:
    """A number and no tensor, or 1 and the tensor that will be read instead."""
    if not isinstance(value, Tensor):
        return as_temperature(function, value, name), None
    if value.numel() != 1:
        raise ValueError(f"{function}: {name} must be one number but has shape {tuple(value.shape)}")
    if value.device.type != "cpu" or not value.is_floating_point():
        raise TypeError(
            f"{function}: {name} must be a floating-point tensor on the CPU "
            f"but is {value.dtype} on {value.device}"
        )
    return 1.0, value.reshape(())


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
