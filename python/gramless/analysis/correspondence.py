"""Do corresponding layers of two networks find each other? The sanity check of similarity indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._checks import Floats, as_matrix


@dataclass(frozen=True, eq=False)
class LayerCorrespondence:
    """rows[i] and columns[j]: whether that layer's best match is its counterpart, (matrices, L) each."""

    rows: npt.NDArray[np.bool_]
    columns: npt.NDArray[np.bool_]

    @property
    def accuracy(self) -> float:
        """The fraction of layers, of both networks and over all pairs, that find their counterpart."""
        return float(np.mean([self.rows, self.columns]))

    def __repr__(self) -> str:
        found, count = int(self.rows.sum() + self.columns.sum()), self.rows.size + self.columns.size
        return f"LayerCorrespondence({found} of {count} layers, accuracy {self.accuracy:.3f})"


def layer_correspondence(*matrices: Any) -> LayerCorrespondence:
    """How many layers are most similar to the layer in the same place of another network, of all.

    Parameters
    ----------
    matrices
        Similarity (L, L) of one architecture trained from two seeds each, such as `cka_matrix`. Row i is
        right if entry i is larger than all others of its row, column i likewise; ties and NaN are wrong.

    Raises
    ------
    ValueError
        Unless every matrix is square and of one size.

    References
    ----------
    Kornblith et al. 2019, arXiv:1905.00414, section 6.1 (who leave the logits out).

    Examples
    --------
    >>> layer_correspondence([[0.9, 0.5, 0.2], [0.6, 0.8, 0.4], [0.1, 0.85, 0.7]])
    LayerCorrespondence(4 of 6 layers, accuracy 0.667)
    """
    if not matrices:
        raise TypeError("layer_correspondence: at least one matrix is needed")
    squares = [as_matrix("layer_correspondence", "a matrix", matrix, square=True) for matrix in matrices]
    for matrix in squares:
        if matrix.shape != squares[0].shape:
            raise ValueError(
                f"layer_correspondence: matrices have shapes {squares[0].shape} and {matrix.shape}"
            )
    return LayerCorrespondence(_found(squares), _found([matrix.T for matrix in squares]))


def _found(matrices: Sequence[Floats]) -> npt.NDArray[np.bool_]:
    stacked = np.stack(matrices)
    counterpart = np.diagonal(stacked, axis1=1, axis2=2)
    others = stacked.copy()
    places = np.arange(stacked.shape[1])
    others[:, places, places] = -np.inf
    return np.asarray(counterpart > others.max(axis=2))  # NaN compares false
