"""Do corresponding layers of two networks find each other? The sanity check of similarity indices."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._intervals import check_level, student_quantile
from ._checks import Floats, as_matrix

LEAST_UNITS = 3  # networks, or matrices, of which an interval of their accuracy is made
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class LayerCorrespondence:
    """Which layers of pairs of networks found their counterpart.

    Attributes
    ----------
    rows, columns : ndarray of bool, (matrices, L)
        Whether the best match of layer i of the first network, or of layer j of the second, is its
        counterpart.
    networks : tuple of pairs of int, or None
        The networks that each matrix compares, where they were given.
    """

    rows: npt.NDArray[np.bool_]
    columns: npt.NDArray[np.bool_]
    networks: tuple[tuple[int, int], ...] | None = None

    @property
    def accuracy(self) -> float:
        """The fraction of layers, of both networks and over all pairs, that find their counterpart."""
        return float(np.mean([self.rows, self.columns]))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """How far the accuracy might be elsewhere: with other networks of the same kind.

        Parameters
        ----------
        level : float
            How often the interval holds the accuracy over all such networks.

        Returns
        -------
        tuple of float
            low and high, in [0, 1]: Wilson's interval with Student's t, for as many trials as have the
            variance that the jackknife finds. It leaves out one network after the other with all of its
            matrices, or, where `networks` was not given, one matrix after the other, as if no two had a
            network in common. Where no two differ, as many trials as there are matrices.

        Raises
        ------
        ValueError
            For fewer than 3 networks or matrices, and a level that is not between 0 and 1.

        References
        ----------
        Wilson 1927, "Probable inference, the law of succession, and statistical inference". Korn and Graubard
        1998, "Confidence intervals for proportions with small expected number of positive counts".
        """
        level = check_level("LayerCorrespondence.interval", level)
        right = np.concatenate([self.rows, self.columns], axis=1).mean(axis=1)
        pairs = self.networks or tuple((i, i) for i in range(len(right)))
        units = sorted({unit for pair in pairs for unit in pair})
        kept = np.array([[unit not in pair for pair in pairs] for unit in units])
        if len(units) < LEAST_UNITS or not kept.any(axis=1).all():
            what = "networks" if self.networks else "matrices"
            raise ValueError(
                f"LayerCorrespondence.interval: at least {LEAST_UNITS} {what} are needed but there are "
                f"{len(units)}"
            )
        without = kept @ right / kept.sum(axis=1)
        variance = (len(units) - 1) * float(np.var(without))
        p = self.accuracy
        trials = p * (1 - p) / variance if np.ptp(without) > ROUNDING else float(len(right))
        squared = float(student_quantile(level, np.array([len(units) - 1.0]))[0]) ** 2 / trials
        middle = (p + squared / 2) / (1 + squared)
        half = (squared * (p * (1 - p) + squared / 4)) ** 0.5 / (1 + squared)
        return middle - half, middle + half

    def __repr__(self) -> str:
        found, count = int(self.rows.sum() + self.columns.sum()), self.rows.size + self.columns.size
        return f"LayerCorrespondence({found} of {count} layers, accuracy {self.accuracy:.3f})"


def layer_correspondence(
    *matrices: Any, networks: Sequence[tuple[int, int]] | None = None
) -> LayerCorrespondence:
    """How many layers are most similar to the layer in the same place of another network, of all.

    Parameters
    ----------
    matrices
        Similarity (L, L) of one architecture trained from two seeds each, such as `cka_matrix`. Row i is
        right if entry i is larger than all others of its row, column i likewise; ties and NaN are wrong.
    networks : sequence of pairs of int, optional
        For each matrix the numbers of the two networks it compares, such as [(0, 1), (0, 2), (1, 2)] for the
        pairs of three seeds; `LayerCorrespondence.interval` then knows which have a network in common.

    Raises
    ------
    ValueError
        Unless every matrix is square and of one size, and networks are as many pairs.

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
    pairs = None if networks is None else _pairs(networks, len(squares))
    return LayerCorrespondence(_found(squares), _found([matrix.T for matrix in squares]), pairs)


def _pairs(networks: Any, count: int) -> tuple[tuple[int, int], ...]:
    try:
        pairs = tuple((operator.index(a), operator.index(b)) for a, b in networks)
    except (TypeError, ValueError):
        raise TypeError(
            f"layer_correspondence: networks must hold pairs of numbers but is {networks!r}"
        ) from None
    if len(pairs) != count:
        raise ValueError(f"layer_correspondence: networks has {len(pairs)} pairs for {count} matrices")
    return pairs


def _found(matrices: Sequence[Floats]) -> npt.NDArray[np.bool_]:
    stacked = np.stack(matrices)
    counterpart = np.diagonal(stacked, axis1=1, axis2=2)
    others = stacked.copy()
    places = np.arange(stacked.shape[1])
    others[:, places, places] = -np.inf
    return np.asarray(counterpart > others.max(axis=2))  # NaN compares false
