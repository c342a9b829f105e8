"""Kernel values of blocks of rows in float64, for computations that need more than sums over tiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ._alignment import times_power
from .kernels import DISTANCE_KERNELS, Encoded, Numbers

Floats = npt.NDArray[np.float64]

BLOCK_BYTES = 2**24  # of one block of kernel values
PRODUCTS = ("linear", "cosine")
_ROUNDINGS = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}
NEAR_SHARE = 2**-20  # of two squared lengths; smaller squared distances are recomputed from differences
NEAR_AT_ONCE = 4096
_ALL_DIGITS = 60  # bits: a share below 2^-60 changes no value


def rounding_of(x: Any) -> float:
    """The largest relative rounding error of a number stored in an array of this dtype."""
    dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype  # tables and lists have no dtype
    return _ROUNDINGS.get(str(dtype).removeprefix("torch."), 2.0**-53)


def kernel_rows(rows: Floats, kernel: Encoded, rounding: float = 2.0**-53) -> Callable[[slice], Floats]:
    """A function that maps a block of rows to their kernel values with all rows, (block, n).

    kernel: with a known bandwidth, if it has one. A kernel without a bandwidth returns values in a unit that
    depends on the data. Distances are returned relative to a centre c, -|a - b|^e + |a - c|^e + |b - c|^e
    minus a constant: terms of one row do not change any estimator, and they cancel the large distances of an
    outlier to all other rows. rounding: `rounding_of` the rows before conversion to float64.
    """
    centred, rows, exponent = _in_range(unit_rows(rows, rounding) if kernel[0] == "cosine" else rows)
    formula, sigma, *_, numbers = kernel
    if formula == "polynomial":
        return _polynomial_rows(centred, rows, exponent, numbers)
    if formula in PRODUCTS:
        return lambda block: np.asarray(centred[block] @ centred.T)
    own = [float(number or 0.0) for number in numbers]
    if sigma is not None:
        own.insert(0, max(float(times_power(sigma, exponent)), 2.0**-500))  # equal rows have 0
    of_distance = DISTANCE_KERNELS[formula].of_squared_distance
    offsets = None
    if sigma is None:
        offsets = -of_distance(np.sum((rows - np.median(rows, axis=0)) ** 2, axis=1), *own)
        offsets -= np.median(offsets)
    norms = np.einsum("ij,ij->i", centred, centred)

    def values(block: slice) -> Floats:
        lengths = norms[block, None] + norms
        distance2 = lengths - 2 * (centred[block] @ centred.T)
        near = np.nonzero(distance2 < NEAR_SHARE * lengths)
        for start in range(0, len(near[0]), NEAR_AT_ONCE):
            i, j = (side[start : start + NEAR_AT_ONCE] for side in near)
            distance2[i, j] = np.sum((rows[block][i] - rows[j]) ** 2, axis=1)
        found = of_distance(distance2, *own)
        return found if offsets is None else found + (offsets[block, None] + offsets)

    return values


def _polynomial_rows(
    centred: Floats, rows: Floats, exponent: int, numbers: Numbers
) -> Callable[[slice], Floats]:
    """Polynomial kernel values of rows times 2^exponent, without terms of one row, which change no HSIC."""
    mean = rows.mean(axis=0)
    if mean @ mean <= np.median(np.einsum("ij,ij->i", centred, centred)):
        centred, mean = (
            rows,
            0 * mean,
        )  # for few rows of many features, products with their mean are larger than products of rows
    degree, gamma, coef0 = int(numbers[0] or 1), numbers[1], float(numbers[2] or 0.0)
    part, of_gamma = math.frexp(1 / len(mean) if gamma is None else gamma)
    of_rows, of_coef0 = of_gamma - 2 * exponent, math.frexp(coef0)[1]
    lengths2 = np.einsum("ij,ij->i", centred, centred)
    reach = float(np.sqrt(mean @ mean) + np.sqrt(lengths2.max()))
    of_products = of_rows + math.frexp(part * reach**2)[1]
    if degree == 1 or not lengths2.any() or (coef0 and of_coef0 - of_products > _ALL_DIGITS):
        sign = -1.0 if coef0 < 0 and degree % 2 == 0 else 1.0  # coef0 dominates: the kernel is linear
        return lambda block: np.asarray(sign * (centred[block] @ centred.T))
    length = max(of_products, of_coef0 if coef0 else of_products) + 1
    factor = math.ldexp(part, of_rows - length)
    terms = factor * (centred @ mean)
    origin = factor * float(mean @ mean) + math.ldexp(coef0, -length)

    def values(block: slice, unit: int = 0) -> Floats:
        """base^degree - (origin + t_i)^degree - (origin + t_j)^degree + origin^degree, by recursion."""
        row, column, d = terms[block, None], terms, factor * (centred[block] @ centred.T)
        found, a, b, power, base = d, row, column, origin, origin + row + column + d
        for _ in range(degree - 1):
            found = base * found + column * a + row * b + d * (a + b + power)
            a, b = (origin + row) * a + row * power, (origin + column) * b + column * power
            power *= origin
        return np.asarray(np.ldexp(found, -unit))

    longest = int(lengths2.argmax())
    largest = max(float(np.abs(values(block)).max()) for block in (slice(8), slice(longest, longest + 1)))
    unit = math.frexp(largest)[1] if math.isfinite(largest) else 0
    return lambda block: values(block, unit)


def unit_rows(rows: Floats, rounding: float = 2.0**-53) -> Floats:
    """The rows divided by their lengths; rows of zeros stay 0. If all directions are equal within their
    rounding errors, all rows are 0.
    """
    units, _ = directions(rows)
    apart = np.linalg.norm(units - units.mean(axis=0), axis=1).max()
    return np.zeros_like(units) if apart <= max(1.5 * rounding, 2.0**-50) else units


def directions(rows: Floats) -> tuple[Floats, Floats]:
    """The rows (n, d) divided by their lengths, and the lengths (n, 1); rows of zeros stay 0."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    exponents = -np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1]
    with np.errstate(invalid="ignore"):  # inf / inf
        scaled = times_power(rows, exponents)
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        return scaled / np.where(lengths == 0, 1, lengths), times_power(lengths, -exponents)


def _in_range(rows: Floats) -> tuple[Floats, Floats, int]:
    """The centred rows and the rows, both times 2^exponent so that squares do not overflow; and exponent."""
    largest = float(np.abs(rows).max())
    exponent = -math.frexp(largest)[1] if 0 < largest < math.inf else 0
    rows = times_power(rows, exponent)
    return rows - rows.mean(axis=0), rows, exponent


def centred_diagonal(rows: Floats, kernel: Encoded) -> Floats:
    """The diagonal (n,) of H K H, with the n x n kernel matrix K and H = I - 11'/n, from blocks of rows.

    For a kernel without a bandwidth, it is in a unit that depends on the data.
    """
    n = len(rows)
    own, means = np.empty(n), np.empty(n)
    if kernel[0] in PRODUCTS:
        centred = _in_range(unit_rows(rows) if kernel[0] == "cosine" else rows)[0]
        return np.asarray(np.einsum("ij,ij->i", centred, centred))
    values, size = kernel_rows(rows, kernel), max(1, BLOCK_BYTES // (8 * n))
    for start in range(0, n, size):
        block = slice(start, min(start + size, n))
        k = values(block)
        own[block] = k[np.arange(len(k)), np.arange(block.start, block.stop)]
        means[block] = k.mean(axis=1)
    return np.asarray(own - 2 * means + means.mean())
