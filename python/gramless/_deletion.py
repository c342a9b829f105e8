"""CKA of pairs of layers, with all examples and with each one deleted, in two passes over blocks of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ._alignment import aligned
from ._kernel_rows import BLOCK_BYTES
from ._progress import Report
from .kernels import Estimator

Floats = npt.NDArray[np.float64]
Rows = Callable[[slice], Floats]  # a layer: maps a block of rows to their kernel values (block, n)
Pair = tuple[int, int]  # indices of two layers

AT_ONCE = 4  # layers whose kernel values may fill BLOCK_BYTES each


class Deleted(NamedTuple):
    """CKA of pairs of layers, of all n examples and with each of them deleted.

    pair_variance: the part of a CKA's variance that comes from interactions of two examples, which the
        delete-one jackknife counts twice (Efron and Stein 1981): 2 sum_ij g_ij^2, where g_ij is the
        contribution of the pair i, j to the CKA. 0 for the biased estimator.
    own: each layer's HSIC with itself. share: its `share_of_few`.
    """

    values: Floats  # (pairs,)
    without: Floats  # (pairs, n)
    pair_variance: Floats  # (pairs,)
    own: Floats  # (layers,)
    share: Floats  # (layers,)


class KernelBlocks:
    """Kernel values of several layers in blocks of rows; the unbiased estimator sets the diagonal to 0.

    sums, diagonals: (layers, n), the row sums and the diagonals of the kernel matrices.
    """

    def __init__(self, layers: Sequence[Rows], n: int, estimator: Estimator) -> None:
        self._layers, self.n, self.estimator = layers, n, estimator
        size = max(1, BLOCK_BYTES // (8 * n * max(1, len(layers) // AT_ONCE)))
        self.blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        self.sums, self.diagonals = np.zeros((2, len(layers), n))
        for block in self.blocks:
            self.sums[:, block] = self.values(block).sum(axis=2).T

    def values(self, block: slice) -> Floats:
        """Kernel values of these rows with all rows, (rows of the block, layers, n)."""
        found = np.empty((block.stop - block.start, len(self._layers), self.n))
        rows, columns = np.arange(len(found)), np.arange(block.start, block.stop)
        for number, layer in enumerate(self._layers):
            found[:, number] = layer(block)
        if self.estimator == "unbiased":
            found[rows, :, columns] = 0
        self.diagonals[:, block] = found[rows, :, columns].T
        return found

    def centred(self, values: Floats, block: slice) -> Floats:
        """`values(block)` U-centred, so that every row and column sums to 0: (layers, block, n)."""
        n, sums = self.n, self.sums
        totals = sums.sum(axis=1) / ((n - 1) * (n - 2))
        found = values.transpose(1, 0, 2) - (sums[:, block, None] + sums[:, None, :]) / (n - 2)
        found += totals[:, None, None]
        found[:, np.arange(found.shape[1]), np.arange(block.start, block.stop)] = 0
        return found


def deleted_cka(kernels: KernelBlocks, pairs: Sequence[Pair], report: Report = None) -> Deleted:
    """The CKA of pairs of layers, with all examples and with each one deleted; reports after every block."""
    layers, n = kernels.sums.shape
    wanted = list(dict.fromkeys([*((i, i) for i in range(layers)), *pairs]))
    first, second = np.array(wanted).T
    products, crossing = np.zeros((2, len(wanted), n))  # sum_j K_ij L_ij, sum_j (K_ij r_j^L + L_ij r_j^K)
    squares, cubes = np.zeros((2, layers, layers))  # sum_ij K_ij^2 L_ij^2, sum_ij K_ij^3 L_ij, U-centred
    for number, block in enumerate(kernels.blocks, 1):
        values = kernels.values(block)
        products[:, block] = np.matmul(values, values.transpose(0, 2, 1))[:, first, second].T
        crossed = values @ kernels.sums.T
        crossing[:, block] = (crossed[:, first, second] + crossed[:, second, first]).T
        if kernels.estimator == "unbiased":
            centred = kernels.centred(values, block).reshape(layers, -1)
            squared = centred**2
            squares += squared @ squared.T
            cubes += (squared * centred) @ centred.T
        if report is not None:
            report(number, len(kernels.blocks))
    found = {}
    for k, (a, b) in enumerate(wanted):
        of_pair = kernels.sums[[a, b]], kernels.diagonals[[a, b]]
        found[a, b] = hsic_without(products[k], crossing[k], *of_pair, n, kernels.estimator)
    values, without = (
        np.array([aligned(found[a, b][i], found[a, a][i], found[b, b][i]) for a, b in pairs]) for i in (0, 1)
    )
    own = np.array([float(found[i, i][0]) for i in range(layers)])
    share = [share_of_few(own[i], found[i, i][1], n, kernels.estimator) for i in range(layers)]
    variance = np.zeros(len(pairs))
    if kernels.estimator == "unbiased":
        variance = _pair_variance(values, pairs, own * (n * (n - 3)), squares, cubes)
    return Deleted(values, without, variance, own, np.array(share))


def _pair_variance(cka: Floats, pairs: Sequence[Pair], own: Floats, squares: Floats, cubes: Floats) -> Floats:
    """2 sum_ij g_ij^2 with g = K L / sqrt(A B) - c / 2 (K^2 / A + L^2 / B), A = sum K^2, B = sum L^2."""
    a, b = np.array(pairs).T
    with np.errstate(all="ignore"):
        both = squares[a, b] / own[a] / own[b]
        alone = squares[a, a] / own[a] ** 2 + squares[b, b] / own[b] ** 2
        crossed = (cubes[a, b] / own[a] + cubes[b, a] / own[b]) / (np.sqrt(own[a]) * np.sqrt(own[b]))
        found = 2 * (both * (1 + cka**2 / 2) - cka * crossed + cka**2 / 4 * alone)
    return np.asarray(np.maximum(found, 0.0))


def pair_variance_of_difference(kernels: KernelBlocks, pairs: Sequence[Pair], found: Deleted) -> float:
    """`Deleted.pair_variance` of the difference between two CKA values, in one more pass over the blocks."""
    if kernels.estimator == "biased" or not (found.own > 0).all():
        return 0.0
    unit, total = np.sqrt(found.own * (kernels.n * (kernels.n - 3))), 0.0
    for block in kernels.blocks:
        k = kernels.centred(kernels.values(block), block) / unit[:, None, None]
        one, other = (
            k[a] * k[b] - c / 2 * (k[a] ** 2 + k[b] ** 2)
            for (a, b), c in zip(pairs, found.values, strict=True)
        )
        total += float(np.sum((one - other) ** 2))
    return 2 * total


def share_of_few(own: float, without: Floats, n: int, estimator: Estimator) -> float:
    """The share of a layer's HSIC with itself that its most influential examples carry: 1 %, at least one.

    own: that HSIC. without: the HSIC with each of the n examples deleted, (n,), or with each group of them
    deleted, (groups,). Each example is assigned half the contribution of every pair that it belongs to.
    """
    if not own > 0:
        return math.nan
    rest = n - n / len(without)  # examples that are left
    kept = ((rest - 1) / (n - 1)) ** 2 if estimator == "biased" else rest * (rest - 3) / (n * (n - 3))
    shares = np.sort(1 - kept * without / own) / 2
    return float(np.sum(shares[-few(len(without)) :]))


def few(n: int) -> int:
    """The number of examples that are 1 % of n, at least 1."""
    return max(1, n // 100)


def hsic_without(
    products: Floats, crossing: Floats, sums: Floats, diagonals: Floats, n: int, estimator: Estimator
) -> tuple[Floats, Floats]:
    """HSIC of all examples, and with each deleted, from sum K L, sum_i r_i^K r_i^L and the totals of K, L."""
    own = diagonals[0] * diagonals[1]
    inner, rows, totals = products.sum(), float(sums[0] @ sums[1]), sums.sum(axis=1)
    inner_without = inner - 2 * products + own
    of_row = sums[0] * sums[1] - diagonals[1] * sums[0] - diagonals[0] * sums[1]
    rows_without = rows - of_row - crossing + products - own
    totals_without = totals[:, None] - 2 * sums + diagonals
    all_of_them = _hsic_of_sums(np.asarray(inner), np.asarray(rows), totals, n, estimator)
    return all_of_them, _hsic_of_sums(inner_without, rows_without, totals_without, n - 1, estimator)


def _hsic_of_sums(inner: Floats, rows: Floats, totals: Floats, n: int, estimator: Estimator) -> Floats:
    product = totals[0] * totals[1]
    if estimator == "unbiased":
        return np.asarray((inner + product / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows) / (n * (n - 3)))
    return np.asarray((inner - 2 / n * rows + product / n**2) / (n - 1) ** 2)
