"""Whether one row has most of a layer's squared length: chi2 then gives too small p-values."""

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
)  # kernels of the origin: a row's distance to the others says little of it
_BLOCK_VALUES = 2**20
_MOST_OF_MEAN = 1e3  # the squared length of the mean over that of the rows around it: float32 has digits left


def largest_share(rows: npt.NDArray[Any], kernel: Encoded = LINEAR) -> float:
    """The share of the longest row (n, d) in the sum of squared lengths about the mean; for a kernel of the
    origin, lengths in its feature space.

    0 of rows with NaN or inf; of rows that are all equal 0 or, of their roundings, 1 / n.

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
    """|x_i - mean|^2 of rows as they are, without a copy; None where the mean, or the unit, hides digits."""
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
