"""Whether corresponding layers of two networks are most similar: the sanity check of similarity measures."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .._intervals import check_level, student_quantile
from ._checks import Floats, as_matrix

LEAST_UNITS = 3  # networks, or matrices, that an interval of the accuracy needs
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class LayerCorrespondence:
    """Which layers of pairs of networks are most similar to their counterpart.

    Attributes
    ----------
    rows, columns : ndarray of bool, (matrices, L)
        Whether the most similar layer to layer i of the first network, or to layer j of the second, is its
        counterpart.
    networks : tuple of pairs of int, or None
        The networks that each matrix compares, if they were given.
    """

    rows: npt.NDArray[np.bool_]
    columns: npt.NDArray[np.bool_]
    networks: tuple[tuple[int, int], ...] | None = None

    @property
    def accuracy(self) -> float:
        """The fraction of layers, of both networks and over all pairs, that match their counterpart."""
        return float(np.mean([self.rows, self.columns]))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the accuracy over all networks of the same kind.

        Parameters
        ----------
        level : float
            How often the interval holds this accuracy, between 0 and 1.

        Returns
        -------
        tuple of float
            low and high, in [0, 1]: Wilson's interval with Student's t. Its number of trials is the one that
            has the variance of the jackknife, or the number of matrices if the jackknife finds no variance.
            The jackknife leaves out one network after the other with all of its matrices; if `networks` was
            not given, it leaves out one matrix after the other, as if no two had a network in common.

        Raises
        ------
        ValueError
            For fewer than 3 networks or matrices, and for a level that is not between 0 and 1.

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
    """The layers of a network that are most similar to the layer in the same place of another network.

    Parameters
    ----------
    *matrices : array (L, L)
        Each the similarity of all layers of two networks of one architecture, such as `cka_matrix` of two
        seeds. Row i is counted as correct if entry i is larger than all others of the row, and column i
        likewise; ties and NaN count as wrong.
    networks : sequence of pairs of int, optional
        For each matrix the numbers of the two networks that it compares, such as [(0, 1), (0, 2), (1, 2)] for
        the pairs of three seeds. `LayerCorrespondence.interval` needs them if matrices share networks.

    Returns
    -------
    LayerCorrespondence
        Its `accuracy` is the fraction of correct rows and columns.

    Raises
    ------
    ValueError
        If a matrix is not square, shapes differ, or networks does not have one pair for each matrix.
    TypeError
        Without a matrix, or if networks does not hold pairs of integers.

    References
    ----------
    Kornblith et al. 2019, arXiv:1905.00414, section 6.1, without the logits.

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
                "layer_correspondence: all matrices must have one shape but have shapes "
                f"{squares[0].shape} and {matrix.shape}"
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
