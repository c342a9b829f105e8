"""How far apart classes lie in a representation, as cosine distances."""

from __future__ import annotations

from typing import Any

import numpy as np

CHUNK = 4096  # rows at a time in float64


def class_separation(x: Any, labels: Any) -> float:
    """1 - (mean cosine distance within classes) / (mean cosine distance overall), of rows x (n, d).

    R^2 = 1 - d_within / d_total
    d_within = mean_k mean_{m, n in class k} (1 - cos(x_m, x_n))
    d_total = mean_{j, k} mean_{m in class j, n in class k} (1 - cos(x_m, x_n))

    every class with the same weight, pairs of a row with itself included, as in the paper. With m_k the mean
    of a class's unit rows, d_within = 1 - mean_k |m_k|^2 and d_total = 1 - |mean_k m_k|^2, so this takes
    O(n d) time and no n x n memory. A zero row has cosine 0 with all.

    Parameters
    ----------
    labels
        n integers or strings.

    Raises
    ------
    ValueError
        Where they do not fit or all rows point the same way.

    References
    ----------
    Kornblith, Chen, Lee and Norouzi 2021, arXiv:2010.16402.

    Examples
    --------
    >>> round(class_separation([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]], ["a", "a", "b"]), 3)
    0.997
    """
    x = x.detach().cpu() if hasattr(x, "detach") else x
    rows = np.asanyarray(x)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"class_separation: x must have rows and features but has shape {rows.shape}")
    if rows.dtype.kind not in "biuf":
        raise TypeError(f"class_separation: x must hold real numbers but has dtype {rows.dtype}")
    classes, places = np.unique(np.asarray(labels), return_inverse=True)
    if places.shape != (len(rows),):
        raise ValueError(f"class_separation: x has {len(rows)} rows but labels have shape {places.shape}")
    means = np.zeros((len(classes), rows.shape[1]))
    for start in range(0, len(rows), CHUNK):
        chunk = np.asarray(rows[start : start + CHUNK], np.float64)
        norms = np.linalg.norm(chunk, axis=1, keepdims=True)
        np.add.at(means, places[start : start + CHUNK], np.divide(chunk, norms, out=chunk, where=norms > 0))
    means /= np.bincount(places)[:, None]
    within = 1 - float(np.mean(np.einsum("ij,ij->i", means, means)))
    centre = means.mean(axis=0)
    total = 1 - float(centre @ centre)
    if total <= 1e-15:
        raise ValueError("class_separation: all rows point the same way, so the mean cosine distance is 0")
    return 1 - within / total
