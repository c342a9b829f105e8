"""Mutual nearest neighbours and CKNNA, from the cosines of all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ._paragraphs import documented
from .gram import Array, as_rows

__all__ = ["cknna", "mutual_knn", "mutual_knn_matrix"]


def nearest_rows(x: Array, k: int) -> npt.NDArray[np.int64]:  # (n, d)
    """The k rows with the largest cosine with each row, without itself, (n, k); of equals the first.

    Rows are ordered by cos |cos|, up to a factor of row i. For integers, it is a quotient that is rounded
    once, so that equal cosines stay equal.
    """
    squares = (x * x).sum(axis=1)
    nearest = []
    for i, row in enumerate(x):
        products = (x * row).sum(axis=1)
        order = np.where(squares > 0, products * np.abs(products) / np.where(squares > 0, squares, 1), 0)
        order[i] = -np.inf
        nearest.append(np.argsort(-order, kind="stable")[:k])
    return np.array(nearest)


def neighbor_matrix(x: Array, k: int) -> Array:  # (n, n)
    """1 where row j is one of the k nearest rows of row i, otherwise 0."""
    found = np.zeros((len(x), len(x)))
    np.put_along_axis(found, nearest_rows(x, k), 1, axis=1)
    return found


@documented
def mutual_knn(x: npt.ArrayLike, y: npt.ArrayLike, k: int = 10, *, progress: object = False) -> float:
    """The share of the k nearest rows that x (n, p) and y (n, q) have in common, averaged over rows.

    {pair}
    {neighbors}
    {progress}

    {unchecked_number}

    {huh}

    Examples
    --------
    >>> round(mutual_knn([[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 2], [0, 1]], k=1), 6)
    0.666667
    """
    a, b = (neighbor_matrix(as_rows("mutual_knn", name, side), k) for name, side in (("x", x), ("y", y)))
    return float((a * b).sum() / a.sum())


@documented
def mutual_knn_matrix(
    xs: Sequence[npt.ArrayLike],
    ys: Sequence[npt.ArrayLike] | None = None,
    k: int = 10,
    *,
    progress: object = False,
) -> Array:
    """`mutual_knn` of every layer of xs with every layer of ys.

    {layers}
    {neighbors}
    {progress}

    {unchecked_matrix}

    {huh}

    Examples
    --------
    >>> mutual_knn_matrix([[[1, 0], [1, 1], [0, 1]]], [[[1, 0], [1, 2], [0, 1]]], k=1).round(6)
    array([[0.666667]])
    """
    return np.array([[mutual_knn(x, y, k) for y in (xs if ys is None else ys)] for x in xs])


@documented
def cknna(x: npt.ArrayLike, y: npt.ArrayLike, k: int = 10, *, progress: object = False) -> float:
    """Unbiased CKA of cosines, which are 0 unless row j is among the k nearest rows of row i in both.

    {pair}
    {neighbors}
    {progress}

    {unchecked_number}

    {huh}

    Examples
    --------
    >>> x = [[1, 0], [1, 1], [0, 1], [1, 3], [2, 1]]
    >>> round(cknna(x, x, k=2), 6)
    1.0
    """
    rows = [as_rows("cknna", name, side) for name, side in (("x", x), ("y", y))]
    a, b = (neighbor_matrix(side, k) for side in rows)
    cos_x, cos_y = (_cosines(side) for side in rows)
    numerator = _hsic(a * b * cos_x, a * b * cos_y)
    return float(numerator / np.sqrt(_hsic(a * cos_x, a * cos_x) * _hsic(b * cos_y, b * cos_y)))


def _cosines(x: Array) -> Array:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit = x / np.where(lengths > 0, lengths, 1)
    return unit @ unit.T


def _hsic(of_x: Array, of_y: Array) -> float:
    """Unbiased HSIC of matrices with zero diagonals, which need not be symmetric."""
    n = len(of_x)
    total = (of_x * of_y.T).sum() + of_x.sum() * of_y.sum() / ((n - 1) * (n - 2))
    return float((total - 2 / (n - 2) * (of_x @ of_y).sum()) / (n * (n - 3)))
