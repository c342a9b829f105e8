"""Representational similarity analysis, from the distances of all pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ._paragraphs import documented
from .gram import Array, as_rows, squared_distances

__all__ = ["rsa", "rsa_matrix"]


def distances(x: Array, metric: str) -> Array:  # (n, p)
    """The distances of all pairs i < j, (n (n - 1) / 2,), in the order of scipy's `pdist`."""
    if metric == "sqeuclidean":
        return squared_distances(x)[np.triu_indices(len(x), 1)]
    if metric == "correlation":
        x = x - x.mean(axis=1, keepdims=True)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return squared_distances(x)[np.triu_indices(len(x), 1)] / 2


@documented
def rsa(
    x: npt.ArrayLike, y: npt.ArrayLike, *, metric: str = "sqeuclidean", comparison: str = "pearson"
) -> float:
    """The correlation, or the cosine, of the distances between rows of x (n, p) with those of y (n, q).

    {pair}
    {rsa_options}

    {unchecked_number}

    {kriegeskorte}

    Examples
    --------
    >>> round(rsa([[0.0], [1.0], [3.0]], [[0.0], [1.0], [2.0]]), 6)
    0.928571
    """
    d, e = (distances(as_rows("rsa", name, side), metric) for name, side in (("x", x), ("y", y)))
    if comparison == "pearson":
        d, e = d - d.mean(), e - e.mean()
    return float(d @ e / np.sqrt((d @ d) * (e @ e)))


@documented
def rsa_matrix(
    xs: Sequence[npt.ArrayLike],
    ys: Sequence[npt.ArrayLike] | None = None,
    *,
    metric: str = "sqeuclidean",
    comparison: str = "pearson",
    progress: object = False,
) -> Array:
    """`rsa` of every layer of xs with every layer of ys.

    {layers}
    {rsa_options}
    {progress}

    {unchecked_matrix}

    {kriegeskorte}

    Examples
    --------
    >>> rsa_matrix([[[0.0], [1.0], [3.0]]], [[[0.0], [1.0], [2.0]]]).round(6)
    array([[0.928571]])
    """
    ys = xs if ys is None else ys
    return np.array([[rsa(x, y, metric=metric, comparison=comparison) for y in ys] for x in xs])
