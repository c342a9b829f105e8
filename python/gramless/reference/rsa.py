"""Representational similarity analysis from all distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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


def rsa(
    x: npt.ArrayLike, y: npt.ArrayLike, *, metric: str = "sqeuclidean", comparison: str = "pearson"
) -> float:
    """Pearson's correlation, or the cosine, of the distances between rows of x (n, p) and of y (n, q).

    >>> round(rsa([[0.0], [1.0], [3.0]], [[0.0], [1.0], [2.0]]), 6)
    0.928571
    """
    d, e = (distances(as_rows("rsa", name, side), metric) for name, side in (("x", x), ("y", y)))
    if comparison == "pearson":
        d, e = d - d.mean(), e - e.mean()
    return float(d @ e / np.sqrt((d @ d) * (e @ e)))


def rsa_matrix(
    xs: Sequence[npt.ArrayLike],
    ys: Sequence[npt.ArrayLike] | None = None,
    *,
    metric: str = "sqeuclidean",
    comparison: str = "pearson",
    progress: object = False,
) -> Array:
    """`rsa` of every layer in xs with every layer in ys: (len(xs), len(ys))."""
    ys = xs if ys is None else ys
    return np.array([[rsa(x, y, metric=metric, comparison=comparison) for y in ys] for x in xs])
