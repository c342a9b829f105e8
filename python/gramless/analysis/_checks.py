"""What the analyses accept: square or any matrices, and rows; else one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def as_matrix(function: str, name: str, values: Any, square: bool = False) -> Floats:
    """values as float64 with two dimensions, both alike if `square`; tensors of torch may need gradients."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        matrix = np.asarray(values)
        if matrix.dtype.kind not in "biuf":
            raise TypeError(f"dtype {matrix.dtype}")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{function}: {name} must hold real numbers but is {type(values).__name__} ({error})"
        ) from None
    if matrix.ndim != 2 or matrix.size == 0 or (square and matrix.shape[0] != matrix.shape[1]):
        what = "a square matrix" if square else "a matrix with rows and columns"
        raise ValueError(f"{function}: {name} must be {what} but has shape {matrix.shape}")
    return matrix.astype(np.float64, copy=False)
