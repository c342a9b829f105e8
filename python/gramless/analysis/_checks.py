"""Checks of the analyses' inputs: matrices, square matrices and rows. Each error is one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._arrays import checks
from .._backends import Cpu, cpu_backend
from .._losses import as_array

Floats = npt.NDArray[np.float64]
Named = tuple[str, Any]  # the name in errors, and the array


def on_cpu(function: str, name: str, values: Any) -> Any:
    """A tensor of torch detached and copied from its device, other objects unchanged."""
    if not _arrays.is_tensor(values):
        return values
    _arrays.check_copyable(function, name, values)
    return values.detach().cpu()


def as_matrix(function: str, name: str, values: Any, square: bool = False) -> Floats:
    """values as a float64 matrix, square if `square`; tensors of torch may require gradients."""
    return _as_numbers(function, name, on_cpu(function, name, values), square).astype(np.float64, copy=False)


def as_read(function: str, *pair: Named) -> tuple[Cpu, Any, Any]:
    """The CPU backend, and both arrays of a pair in the CPU's memory, in the form that it reads in place."""
    named = [(name, _readable(function, name, values)) for name, values in pair]
    library, arrays = checks.read(function, named)
    x, y = library.detached(function, [name for name, _ in named], arrays)
    return cpu_backend(library), x, y


def _readable(function: str, name: str, values: Any) -> Any:
    """values in a byte order and of a precision that the core reads."""
    if _arrays.is_tensor(values):
        return values
    matrix = _as_numbers(function, name, values)
    return matrix if matrix.dtype.isnative and matrix.dtype.itemsize <= 8 else matrix.astype(np.float64)


def is_finite(values: Any) -> bool:
    """Whether an array holds neither NaN nor infinity."""
    return bool(np.isfinite(as_numbers("is_finite", "values", values)).all())


def as_numbers(function: str, name: str, values: Any) -> npt.NDArray[Any]:
    """values as a numpy array of any shape; bfloat16, which numpy lacks, becomes float32."""
    values = _arrays.without_tensors(function, name, values)
    array = as_array(function, name, values, "an array of real numbers")
    array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{function}: {name} must hold real numbers but has dtype {array.dtype}")
    return array


def _as_numbers(function: str, name: str, values: Any, square: bool = False) -> npt.NDArray[Any]:
    matrix = as_numbers(function, name, values)
    if matrix.ndim != 2 or matrix.size == 0 or (square and matrix.shape[0] != matrix.shape[1]):
        what = "a square matrix" if square else "a matrix with rows and columns"
        raise ValueError(f"{function}: {name} must be {what} but has shape {matrix.shape}")
    return matrix
