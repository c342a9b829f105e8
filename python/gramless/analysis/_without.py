"""HSIC as the algebra of its sums, and what deleting an example does to them."""

from __future__ import annotations

import numpy as np

from ..kernels import Estimator
from ._checks import Floats


def hsic_without(
    products: Floats, crossing: Floats, sums: Floats, diagonals: Floats, n: int, estimator: Estimator
) -> tuple[Floats, Floats]:
    """HSIC of all examples, and without each: A = sum K L, C = sum_i r_i^K r_i^L, s the totals."""
    own = diagonals[0] * diagonals[1]
    inner, rows, totals = products.sum(), float(sums[0] @ sums[1]), sums.sum(axis=1)
    inner_without = inner - 2 * products + own
    of_row = sums[0] * sums[1] - diagonals[1] * sums[0] - diagonals[0] * sums[1]
    rows_without = rows - of_row - crossing + products - own
    totals_without = totals[:, None] - 2 * sums + diagonals
    all_of_them = hsic_of_sums(np.asarray(inner), np.asarray(rows), totals, n, estimator)
    return all_of_them, hsic_of_sums(inner_without, rows_without, totals_without, n - 1, estimator)


def hsic_of_sums(inner: Floats, rows: Floats, totals: Floats, n: int, estimator: Estimator) -> Floats:
    product = totals[0] * totals[1]
    if estimator == "unbiased":
        return np.asarray((inner + product / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows) / (n * (n - 3)))
    return np.asarray((inner - 2 / n * rows + product / n**2) / (n - 1) ** 2)
