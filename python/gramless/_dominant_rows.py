"""The share of a layer's squared length in its longest row; if it is large, chi2 p-values are too small."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ._kernel_rows import centred_diagonal
from .kernels import Encoded, Linear, encode

LINEAR = encode(Linear())
OF_ORIGIN = (
    "cosine",
    "polynomial",
)  # these kernels depend on the origin: a row's distance to the others says little about its kernel values
_BLOCK_VALUES = 2**20
_MOST_OF_MEAN = 1e3  # n |mean|^2 over the squared lengths of centred rows; below it float32 is accurate


def largest_share(rows: npt.NDArray[Any], kernel: Encoded = LINEAR) -> float:
    """The share of the longest of the rows (n, d) in the sum of squared distances from the mean; for a kernel
    that depends on the origin, distances in its feature space.

    0 for rows with NaN or inf. For equal rows 0 or, from rounding errors, about 1 / n.

    >>> largest_share(np.array([[4.0], [0.0], [-2.0], [-2.0]])).hex() == (2 / 3).hex()
    True
    """
    by_kernel = kernel if kernel[0] in OF_ORIGIN else LINEAR
    lengths = _lengths(rows) if by_kernel is LINEAR and rows.dtype.char in "fd" else None
    if lengths is None:
        with np.errstate(invalid="ignore"):  # inf - inf
            lengths = centred_diagonal(np.asarray(rows, np.float64), by_kernel)
    total = float(lengths.sum())
    return float(lengths.max()) / total if np.isfinite(total) and total > 0 else 0.0


def _lengths(rows: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """|x_i - mean|^2 without a copy of the rows; None if their dtype cannot resolve it."""
    size = max(1, _BLOCK_VALUES // rows.shape[1])
    with np.errstate(all="ignore"):
        mean = rows.mean(axis=0)
        blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
        own = np.concatenate([np.einsum("ij,ij->i", block, block) for block in blocks])
        of_mean = mean @ mean
        found = own - 2 * (rows @ mean) + of_mean
        total = float(found.sum())
    limits = np.finfo(rows.dtype)
    clear = np.isfinite(total) and total > limits.tiny / limits.eps
    return found if clear and len(rows) * float(of_mean) < _MOST_OF_MEAN * total else None
