"""Uniformity, alignment, participation ratio and Vendi score, from all pairs and all eigenvalues."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels import KernelLike
from ._paragraphs import documented
from .gram import Array, as_rows, gram, squared_distances, unit_rows

__all__ = ["alignment", "participation_ratio", "uniformity", "vendi_score"]


@documented
def uniformity(x: npt.ArrayLike, t: float = 2.0, *, normalize: bool = True) -> float:
    """log of the mean over i < j of exp(-t |x_i - x_j|^2).

    {rows}
    t : float
        The factor of the squared distances, above 0.
    normalize : bool
        Whether to divide each row by its length first.

    {unchecked_number}

    {wang}

    Examples
    --------
    >>> round(uniformity([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]), 6)
    -4.396349
    """
    rows = _rows("uniformity", "x", x, normalize)
    exponents = -t * squared_distances(rows)[np.triu_indices(len(rows), 1)]
    with np.errstate(divide="ignore"):
        return float(np.log(np.mean(np.exp(exponents))))


@documented
def alignment(x: npt.ArrayLike, y: npt.ArrayLike, alpha: float = 2.0, *, normalize: bool = True) -> float:
    """The mean of |x_i - y_i|^alpha.

    Parameters
    ----------
    x, y : array (n, d)
        Row i of both are two views of one example; computed in float64.
    alpha : float
        The power of the distances.
    normalize : bool
        Whether to divide each row by its length first.

    {unchecked_number}

    {wang}

    Examples
    --------
    >>> alignment([[1.0, 0.0], [0.0, 3.0]], [[2.0, 0.0], [0.0, -1.0]])
    2.0
    """
    rows = [_rows("alignment", name, side, normalize) for name, side in (("x", x), ("y", y))]
    return float(np.mean(np.linalg.norm(rows[0] - rows[1], axis=1) ** alpha))


@documented
def participation_ratio(x: npt.ArrayLike) -> float:
    """(sum of eigenvalues)^2 / sum of squared eigenvalues, of the covariance of the columns of x (n, d).

    {rows}

    {unchecked_number}

    References
    ----------
    Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement", bioRxiv 214262.

    Examples
    --------
    >>> participation_ratio([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    2.0
    """
    k = gram(as_rows("participation_ratio", "x", x), "linear")  # has the same eigenvalues up to a factor
    return float(np.trace(k) ** 2 / np.sum(k**2))


@documented
def vendi_score(x: npt.ArrayLike, *, kernel: KernelLike = "cosine", q: float = 2) -> float:
    """The Vendi score of order q: (sum of the eigenvalues of K / n to the power q)^(1 / (1 - q)).

    {rows}
    {kernel}
    q : float
        The order; not 1.

    {unchecked_number}

    References
    ----------
    Friedman and Dieng 2023, "The Vendi score: a diversity evaluation metric for machine learning",
    arXiv:2210.02410. Pasarkar and Dieng 2024, "Cousins of the Vendi score", arXiv:2310.12952 (other orders).

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
