"""Contiguous blocks of a similarity matrix, or of a series of rows, by dynamic programming."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._counts import as_integer
from ._checks import Floats, as_matrix
from ._units import unit_rows


class Block(NamedTuple):
    """A contiguous block: the layers, or rows, start, ..., stop - 1.

    Attributes
    ----------
    start : int
        The index of its first layer or row.
    stop : int
        The index after its last layer or row.
    """

    start: int
    stop: int


@dataclass(frozen=True)
class Segmentation:
    """Contiguous blocks and their cost.

    Attributes
    ----------
    blocks : list of Block
        In order; together they hold every layer or row.
    cost : float
        The sum of the costs of all blocks, without the penalty.
    """

    blocks: list[Block]
    cost: float

    @property
    def boundaries(self) -> list[int]:
        """Where every block but the first starts; `heatmap` draws lines there (stages_a, stages_b)."""
        return [block.start for block in self.blocks[1:]]

    @property
    def labels(self) -> list[int]:
        """The number of the block of every layer."""
        return [label for label, block in enumerate(self.blocks) for _ in range(block.stop - block.start)]


def largest_block(similarity: Any, threshold: float = 0.9) -> Block:
    """The longest contiguous range of layers that are all similar to each other.

    S[i, j] >= threshold for all i != j in the block. A single layer is always a block, and NaN is not
    similar. Of several ranges of this length it is the first.

    Parameters
    ----------
    similarity : array (L, L)
        S, such as `cka_matrix(layers)`.
    threshold : float
        The least similarity of two layers in the block.

    Returns
    -------
    Block
        Its first layer, and the layer after its last.

    Raises
    ------
    ValueError
        If similarity is not square.

    References
    ----------
    Nguyen, Raghu and Kornblith 2021, arXiv:2010.15327.

    Examples
    --------
    >>> largest_block([[1.0, 0.3, 0.2], [0.3, 1.0, 0.95], [0.2, 0.95, 1.0]])
    Block(start=1, stop=3)
    """
    alike = as_matrix("largest_block", "similarity", similarity, square=True) >= threshold
    best, start = Block(0, 1), 0
    for stop in range(1, len(alike) + 1):
        both = alike[start:stop, stop - 1] & alike[stop - 1, start:stop]
        both[-1] = True
        if not both.all():
            start += int(np.flatnonzero(~both)[-1]) + 1
        if stop - start > best.stop - best.start:
            best = Block(start, stop)
    return best


def segment(
    similarity: Any, segments: int | None = None, *, penalty: float | None = None, min_length: int = 1
) -> Segmentation:
    """The contiguous blocks of a similarity matrix (L, L) with the least total scatter, found exactly.

    cost of block B = sum_{i in B} S_ii - (1 / |B|) sum_{i, j in B} S_ij

    If S is a Gram matrix, this is the sum of squared distances of the block's members from their mean.

    Parameters
    ----------
    similarity : array (L, L)
        S, such as `cka_matrix(layers)`; finite.
    segments : int, optional
        The number of blocks.
    penalty : float, optional
        Instead of segments: a cost that is added for every block, so that the number of blocks follows from
        the data.
    min_length : int
        The least number of members of a block.

    Returns
    -------
    Segmentation
        The blocks and their cost.

    Raises
    ------
    ValueError
        If the matrix is not square or not finite, both or neither of segments and penalty are given, penalty
        is negative, or there are too few members for the blocks.

    References
    ----------
    Arlot, Celisse and Harchaoui 2019, "A kernel multiple change-point algorithm via model selection", JMLR
    20(162).

    Examples
    --------
    >>> segment([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]], 2).blocks
    [Block(start=0, stop=2), Block(start=2, stop=3)]
    """
    matrix = as_matrix("segment", "similarity", similarity, square=True)
    _check_finite("segment", "similarity", matrix)
    matrix = matrix - matrix.mean()  # changes no cost, and avoids cancellation where all entries are similar
    size = len(matrix)
    diagonal = np.concatenate([[0.0], np.cumsum(np.diag(matrix))])
    corner = np.zeros((size + 1, size + 1))  # corner[i, j]: the sum of S[:i, :j]
    corner[1:, 1:] = matrix.cumsum(axis=0).cumsum(axis=1)
    square = np.diag(corner)

    def costs(stop: int) -> Floats:  # of the blocks start, ..., stop - 1 for every start < stop
        inside = square[stop] - corner[:stop, stop] - corner[stop, :stop] + square[:stop]
        return np.asarray(diagonal[stop] - diagonal[:stop] - inside / (stop - np.arange(stop)))

    return _cheapest("segment", costs, size, segments, penalty, min_length)


def segment_rows(
    x: Any, segments: int | None = None, *, penalty: float | None = None, min_length: int = 1
) -> Segmentation:
    """The contiguous blocks of rows x (n, d) with the least total scatter of their directions.

    Gives what `segment` finds in the matrix of cosines of the rows, without that n x n matrix: block sums are
    differences of cumulative sums of unit rows. The rows are a series, such as the frames of a recording.
    Takes O(n^2 d) time and O(n (d + segments)) memory.

    Parameters
    ----------
    x : array (n, d)
        The rows in their order; finite.
    segments : int, optional
        The number of blocks.
    penalty : float, optional
        Instead of segments: a cost that is added for every block, so that the number of blocks follows from
        the data.
    min_length : int
        The least number of rows of a block.

    Returns
    -------
    Segmentation
        The blocks and their cost.

    Raises
    ------
    ValueError
        If x is not finite, both or neither of segments and penalty are given, penalty is negative, or there
        are too few rows for the blocks.

    References
    ----------
    Arlot, Celisse and Harchaoui 2019, "A kernel multiple change-point algorithm via model selection", JMLR
    20(162).

    Examples
    --------
    >>> segment_rows([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0], [0.1, 5.0]], 2).boundaries
    [2]
    """
    rows = as_matrix("segment_rows", "x", x)
    _check_finite("segment_rows", "x", rows)
    units = unit_rows(rows)
    units -= units.mean(axis=0)  # keeps the scatter within blocks, and avoids cancellation
    sums = np.concatenate([np.zeros((1, units.shape[1])), units.cumsum(axis=0)])
    squares = np.concatenate([[0.0], np.cumsum(np.einsum("ij,ij->i", units, units))])

    def costs(stop: int) -> Floats:
        between = sums[stop] - sums[:stop]
        inside = np.einsum("ij,ij->i", between, between)
        return np.asarray(squares[stop] - squares[:stop] - inside / (stop - np.arange(stop)))

    return _cheapest("segment_rows", costs, len(rows), segments, penalty, min_length)


def _check_finite(function: str, name: str, values: Floats) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{function}: {name} must be finite but holds NaN or inf")


def _cheapest(
    function: str,
    costs: Callable[[int], Floats],
    size: int,
    segments: int | None,
    penalty: float | None,
    min_length: int,
) -> Segmentation:
    """least[k, j]: the least cost of the first j members in k blocks; with a penalty, of any number."""
    if (segments is None) == (penalty is None):
        raise ValueError(
            f"{function}: one of segments and penalty is needed, and not both, but they are {segments} and "
            f"{penalty}"
        )
    shortest = as_integer(function, "min_length", min_length)
    count = 1 if segments is None else as_integer(function, "segments", segments, "an int or None")
    if shortest < 1 or count < 1 or count * shortest > size:
        raise ValueError(f"{function}: {size} members cannot be {count} blocks of at least {shortest}")
    if penalty is not None and not (math.isfinite(penalty) and penalty >= 0):
        raise ValueError(f"{function}: penalty must be finite and not negative but is {penalty}")
    least = np.full((count + 1, size + 1), np.inf)
    least[0, 0] = 0.0
    starts = np.zeros((count + 1, size + 1), np.intp)
    for stop in range(shortest, size + 1):
        added = costs(stop)[: stop - shortest + 1]
        before = least[:count] if penalty is None else np.minimum(least[:1], least[1:])
        totals = before[:, : len(added)] + added + (penalty or 0.0)  # (count, starts)
        choice = np.argmin(totals, axis=1)
        least[1:, stop] = totals[np.arange(count), choice]
        starts[1:, stop] = choice
    return _traced(costs, size, starts, least, penalty is None)


def _traced(
    costs: Callable[[int], Floats], size: int, starts: npt.NDArray[np.intp], least: Floats, counted: bool
) -> Segmentation:
    blocks: list[Block] = []
    stop, left = size, len(starts) - 1
    while stop > 0:
        start = int(starts[left, stop])
        blocks.append(Block(start, stop))
        stop, left = start, left - counted
    cost = sum(float(costs(block.stop)[block.start]) for block in blocks)
    return Segmentation(blocks[::-1], cost)
