"""Statistics of two representations' nearest neighbours: moments by chance, and CKNNA. Needs no backend."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int32]  # (n, k): neighbours of each row, ascending
PairCounts = tuple[int, ...]


class OverlapMoments(NamedTuple):
    """Moments of the shared fraction of neighbours over all permutations of one representation's rows."""

    mean: float
    variance: float


def overlap_moments(n: int, k: int, of_x: PairCounts, of_y: PairCounts) -> OverlapMoments:
    """The mean k / (n - 1) and the variance of the shared fraction, for n rows with k neighbours each.

    The number of shared neighbours is sum_ij A_ij B_p(i)p(j), with the 0-1 matrices of neighbours A and B and
    a random permutation p. Its second moment is a sum over the seven ways in which two pairs (i, j), (k, l)
    can have rows in common: sum of A_ij A_kl over such pairs, times that of B, divided by the number of such
    pairs.
    """
    ways = (
        n * (n - 1),  # (i, j), (i, j)
        n * (n - 1),  # (i, j), (j, i)
        n * (n - 1) * (n - 2),  # (i, j), (i, l)
        n * (n - 1) * (n - 2),  # (i, j), (k, j)
        2 * n * (n - 1) * (n - 2),  # (i, j), (j, l) and (i, j), (k, i)
        n * (n - 1) * (n - 2) * (n - 3),
    )
    second = sum(a * b / way for a, b, way in zip(of_x, of_y, ways, strict=True) if way)
    mean = n * k * k / (n - 1)
    variance = second - mean**2
    # A tiny variance is a rounding error: the number of shared neighbours is the same for all permutations.
    variance = 0.0 if variance <= 1e-14 * mean**2 else variance
    return OverlapMoments(k / (n - 1), variance / (n * k) ** 2)


def pair_counts(rows: Rows) -> PairCounts:
    """The number of ordered pairs of neighbour entries in each of the ways of `overlap_moments`."""
    n, k = rows.shape
    own = np.arange(n, dtype=np.int64)[:, None]
    entries = (own * n + rows).ravel()
    mirrored = int(np.isin((rows * np.int64(n) + own).ravel(), entries).sum())
    followers = np.bincount(rows.ravel(), minlength=n)
    total, in_column = n * k, int((followers.astype(np.int64) ** 2).sum()) - n * k
    in_row, chained = n * k * (k - 1), 2 * (n * k * k - mirrored)
    return (
        total,
        mirrored,
        in_row,
        in_column,
        chained,
        total**2 - total - mirrored - in_row - in_column - chained,
    )


def in_order(rows: Rows, order: npt.NDArray[np.int64]) -> Rows:
    """The neighbours of the rows order[0], order[1], ..., renumbered by their places in that order."""
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return np.sort(place[rows[order]], axis=1)


def cknna_of(x: Rows, y: Rows, cosines_x: Floats, cosines_y: Floats) -> float:
    """CKNNA; NaN if the HSIC of a representation with itself is not positive."""
    n = len(x)
    of_x, of_y = (_entries(rows) for rows in (x, y))
    shared, at_x, at_y = np.intersect1d(of_x, of_y, assume_unique=True, return_indices=True)
    xy = _hsic(n, shared, cosines_x.ravel()[at_x], cosines_y.ravel()[at_y])
    xx = _hsic(n, of_x, cosines_x.ravel(), cosines_x.ravel())
    yy = _hsic(n, of_y, cosines_y.ravel(), cosines_y.ravel())
    return xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else math.nan


def _entries(rows: Rows) -> npt.NDArray[np.int64]:
    """The flat indices i n + j at which the 0-1 matrix of neighbours is 1, ascending."""
    n = len(rows)
    return (np.arange(n, dtype=np.int64)[:, None] * n + rows).ravel()


def _hsic(n: int, entries: npt.NDArray[np.int64], of_x: Floats, of_y: Floats) -> float:
    """Unbiased HSIC (Song et al. 2012, eq. 5) of two matrices that are 0 elsewhere and on their diagonals."""
    row, column = np.divmod(entries, n)
    mirrored = column * n + row
    place = np.minimum(np.searchsorted(entries, mirrored), max(len(entries) - 1, 0))
    transposed = np.where(entries[place] == mirrored, of_y[place], 0.0) if len(entries) else of_y
    columns_of_x, rows_of_y = np.bincount(column, of_x, minlength=n), np.bincount(row, of_y, minlength=n)
    total = of_x @ transposed + of_x.sum() * of_y.sum() / ((n - 1) * (n - 2))
    return float(total - 2 / (n - 2) * (columns_of_x @ rows_of_y)) / (n * (n - 3))
