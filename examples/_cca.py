"""CCA and SVCCA in a few lines, with the definitions of Kornblith et al. 2019, who compare CKA with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
KEPT_VARIANCE = 0.99  # share of the variance that SVCCA keeps
_RANK = 1e-6  # eigenvalues below this share of the largest are rounding


class Basis(NamedTuple):
    """Orthonormal columns (n, r) that span the centred columns of a layer, in order of decreasing variance;
    the first `leading` of them have 99 % of it.
    """

    columns: Floats
    leading: int


def basis_of(layer: npt.NDArray[Any]) -> Basis:
    """The basis of a layer (n, d)."""
    x = np.asarray(layer, np.float64)
    x = x - x.mean(axis=0)
    n, d = x.shape
    values, vectors = np.linalg.eigh(x @ x.T if d > n else x.T @ x)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > _RANK * values[0]
    values, vectors = values[kept], vectors[:, kept]
    if d <= n:
        vectors = x @ vectors / np.sqrt(values)
    leading = int(np.searchsorted(np.cumsum(values) / values.sum(), KEPT_VARIANCE)) + 1
    return Basis(vectors, leading)


def squared_correlations(a: Sequence[Basis], b: Sequence[Basis]) -> dict[str, Floats]:
    """R^2_CCA, the mean of the squared canonical correlations, of every layer of a with every layer of b:
    over all directions (CCA) and over the leading ones (SVCCA).
    """
    found = {"CCA": np.empty((len(a), len(b))), "SVCCA": np.empty((len(a), len(b)))}
    for i, first in enumerate(a):
        for j, second in enumerate(b):
            squares = (first.columns.T @ second.columns) ** 2
            leading = squares[: first.leading, : second.leading]
            for name, part in (("CCA", squares), ("SVCCA", leading)):
                found[name][i, j] = part.sum() / min(part.shape)
    return found
