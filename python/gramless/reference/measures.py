"""Uniformity, alignment, participation ratio and Vendi score, from all pairs and all eigenvalues."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels import KernelLike
from .gram import Array, as_rows, gram, squared_distances, unit_rows

__all__ = ["alignment", "participation_ratio", "uniformity", "vendi_score"]


def uniformity(x: npt.ArrayLike, t: float = 2.0, *, normalize: bool = True) -> float:
    """log of the mean over i < j of exp(-t |x_i - x_j|^2): Wang and Isola 2020, equation 6.

    Examples
    --------
    >>> round(uniformity([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]), 6)
    -4.396349
    """
    rows = _rows("uniformity", "x", x, normalize)
    exponents = -t * squared_distances(rows)[np.triu_indices(len(rows), 1)]
    with np.errstate(divide="ignore"):
        return float(np.log(np.mean(np.exp(exponents))))


def alignment(x: npt.ArrayLike, y: npt.ArrayLike, alpha: float = 2.0, *, normalize: bool = True) -> float:
    """The mean of |x_i - y_i|^alpha: Wang and Isola 2020, equation 5.

    Examples
    --------
    >>> alignment([[1.0, 0.0], [0.0, 3.0]], [[2.0, 0.0], [0.0, -1.0]])
    2.0
    """
    rows = [_rows("alignment", name, side, normalize) for name, side in (("x", x), ("y", y))]
    return float(np.mean(np.linalg.norm(rows[0] - rows[1], axis=1) ** alpha))


def participation_ratio(x: npt.ArrayLike) -> float:
    """(sum of eigenvalues)^2 / sum of squared eigenvalues of the covariance of the columns of x (n, d).

    Examples
    --------
    >>> participation_ratio([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    2.0
    """
    k = gram(as_rows("participation_ratio", "x", x), "linear")  # its eigenvalues are those but for a factor
    return float(np.trace(k) ** 2 / np.sum(k**2))


def vendi_score(x: npt.ArrayLike, *, kernel: KernelLike = "cosine", q: float = 2) -> float:
    """Of order q: (sum of the eigenvalues of K / n to the power q)^(1 / (1 - q)): Pasarkar and Dieng 2024.

    Examples
    --------
    >>> round(vendi_score([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 5.0]]), 6)
    2.0
    """
    rows = as_rows("vendi_score", "x", x)
    eigenvalues = np.linalg.eigvalsh(gram(rows, kernel) / len(rows))
    return float(np.sum(np.maximum(eigenvalues, 0) ** q) ** (1 / (1 - q)))


def _rows(function: str, name: str, x: npt.ArrayLike, normalize: bool) -> Array:
    rows = as_rows(function, name, x)
    return unit_rows(rows) if normalize else rows
