"""Rows to Gram matrices: centring, distances, bandwidth. Nothing here depends on the use of a matrix."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._losses import as_array
from ..kernels import RBF, Cosine, Distance, KernelLike, Linear, Polynomial, RationalQuadratic, as_kernel
from ._paragraphs import documented

__all__ = ["gram", "median_distance"]

Array = npt.NDArray[np.float64]


def as_rows(function_name: str, argument: str, x: npt.ArrayLike) -> Array:
    """x as float64 (n, p); raises ValueError or TypeError unless it is such an array."""
    x = _arrays.without_tensors(function_name, argument, x)
    rows = as_array(function_name, argument, x, "a two-dimensional array")
    if rows.ndim != 2:
        raise ValueError(f"{function_name}: {argument} must have 2 dimensions but has {rows.ndim}")
    if rows.dtype.kind not in "biuf" and rows.dtype.name != "bfloat16":
        raise TypeError(f"{function_name}: {argument} must hold real numbers but has dtype {rows.dtype}")
    return rows.astype(np.float64)


def from_medians(x: Array) -> Array:  # (n, p)
    """x less the median of every column: constant columns become 0, and far rows do not move the centre."""
    x = np.where(np.isfinite(x), x, np.nan)  # inf - inf
    return np.asarray(x - np.median(x, axis=0))


def centre_columns(x: Array) -> Array:  # (n, p)
    """x less the mean of every column."""
    x = from_medians(x)
    return np.asarray(x - x.mean(axis=0))


def squared_distances(x: Array) -> Array:  # (n, p)
    """|x_i - x_j|^2 for all pairs of rows, (n, n), computed from the differences."""
    x = np.where(np.isfinite(x), x, np.nan)  # inf - inf
    return np.stack([np.sum((x - row) ** 2, axis=1) for row in x])


def squared_lengths(x: Array) -> Array:  # (n, p)
    """|x_i - c|^2, (n,): c is the mean of all rows, or without far rows if these would move it."""
    x, near_rows = centre_columns(x), len(x)
    for _ in range(8):  # some far rows stand out only once rows that are further away are left out
        norms = np.sum(x**2, axis=1)
        near = norms <= 3 * np.median(norms)
        moved = np.sum(np.sqrt(norms[~near])) / len(x) > np.sqrt(np.median(norms)) / 2
        if not moved or np.sum(near) == near_rows:
            break
        x, near_rows = x - x[near].mean(axis=0), np.sum(near)
    return np.asarray(norms)


def off_diagonal(k: npt.NDArray[Any]) -> npt.NDArray[Any]:  # (n, n)
    """The n (n - 1) entries of k that are not on its diagonal."""
    return k[~np.eye(len(k), dtype=bool)]


def median_squared_distance(x: Array, include_diagonal: bool, function_name: str) -> float:  # (n, p)
    """The median of |x_i - x_j|^2 over i != j, or over all i and j; an even count averages the middle two.

    A distance is 0 up to rounding if it is at most the rounding of |x_i|^2 + |x_j|^2, lengths relative to the
    mean of the near rows, or at most the square of 8 roundings of the entries of x. If more than half of them
    are, the result is the median of the others, with one RuntimeWarning. The roundings of entries are not
    used where the number of distances above them, up to 8 times as large, exceeds an eighth of those below.
    """
    distance2 = squared_distances(x)
    norms = squared_lengths(x)
    stored = np.sum(x**2, axis=1)
    equal = distance2 <= 16 * 2.0**-53 * (norms[:, None] + norms)
    tied, nearly = (
        equal | (distance2 <= times * 64 * 2.0**-106 * (stored[:, None] + stored)) for times in (1, 64)
    )
    if 8 * np.sum(off_diagonal(nearly & ~tied)) > np.sum(off_diagonal(tied)):
        tied = equal
    of_pairs = off_diagonal(tied)
    if not include_diagonal:
        distance2, tied = off_diagonal(distance2), of_pairs
    if 2 * np.sum(tied) > tied.size and not tied.all():
        warnings.warn(
            f"{function_name}: more than half of the distances between rows are 0 up to rounding "
            f"({100 * of_pairs.mean():.3g} %); the median is that of the other distances",
            RuntimeWarning,
            stacklevel=3,
        )
        distance2 = distance2[~tied]
    return float(np.median(distance2))


@documented
def median_distance(x: npt.ArrayLike, *, include_diagonal: bool = False) -> float:
    """The square root of the median squared distance between the rows of x (n, d).

    {rows}
    include_diagonal : bool
        Whether the n distances of rows to themselves, which are 0, count.

    Returns
    -------
    float
        In the unit of x.

    {raises}

    Examples
    --------
    >>> median_distance([[0.0], [3.0], [5.0]])
    3.0
    """
    x = as_rows("median_distance", "x", x)
    if len(x) < 2:
        raise ValueError(f"median_distance: at least 2 rows are needed but x has {len(x)}")
    return math.sqrt(median_squared_distance(x, include_diagonal, "median_distance"))


def unit_rows(x: Array) -> Array:  # (n, p)
    """x with every row divided by its length; rows of zeros stay zero."""
    with np.errstate(invalid="ignore"):  # inf / inf
        x = x / np.where(np.any(x, axis=1), np.abs(x).max(axis=1), 1)[:, None]
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(lengths == 0, 1, lengths))


def gram_for_sums(x: Array, kernel: KernelLike) -> Array:  # (n, p)
    """`gram` of rows about the median, which has the same HSIC: a far row would move the mean."""
    if isinstance(as_kernel(kernel, "gram"), Linear):
        x = from_medians(x)
        return np.asarray(x @ x.T)
    if isinstance(as_kernel(kernel, "gram"), Cosine):
        x = from_medians(unit_rows(x))
        proportional = np.sum(x**2, axis=1).max() <= (8 * 2.0**-53) ** 2
        return gram_for_sums(0 * x if proportional else x, "linear")
    if isinstance(kernel, Polynomial):
        return polynomial_for_sums(x, kernel)
    return gram(x, kernel)


def polynomial_for_sums(x: Array, kernel: Polynomial) -> Array:  # (n, p)
    """The terms of (o + a_i + a_j + d_ij)^degree that depend on both rows.

    o = gamma <c, c> + coef0, a_i = gamma <c, x_i - c> and d_ij = gamma <x_i - c, x_j - c>. c are the medians
    of the columns, or 0 if rows are not nearer to the medians.
    """
    u, c = from_medians(x), np.median(x, axis=0)
    if c @ c <= np.median(np.sum(u**2, axis=1)):
        u, c = x, 0 * c
    gamma = 1 / x.shape[1] if kernel.gamma is None else kernel.gamma
    a, d, o = gamma * (u @ c), gamma * (u @ u.T), gamma * (c @ c) + kernel.coef0
    powers = [
        (i, j, k)
        for i, j, k in itertools.product(range(kernel.degree + 1), repeat=3)
        if i + j + k <= kernel.degree and (k > 0 or (i > 0 and j > 0))
    ]
    found = np.zeros_like(d)
    for i, j, k in powers:
        rest = kernel.degree - i - j - k
        ways = math.factorial(kernel.degree) // math.prod(map(math.factorial, (i, j, k, rest)))
        found += ways * o**rest * np.outer(a**i, a**j) * d**k
    return found


@documented
def gram(x: npt.ArrayLike, kernel: KernelLike = "linear") -> Array:
    """The Gram matrix k(x_i, x_j) of the rows of x (n, d).

    The linear kernel centres the columns of x first. If all distances are 0, their median gives no bandwidth,
    and all entries are 1.

    {rows}
    {kernel}

    Returns
    -------
    ndarray of float64, (n, n)

    {raises}

    Examples
    --------
    >>> gram([[1.0], [3.0]], "linear")
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    kernel = as_kernel(kernel, "gram")
    x = as_rows("gram", "x", x)
    if isinstance(kernel, Cosine):
        x = unit_rows(x)
        return np.asarray(x @ x.T)
    if isinstance(kernel, Polynomial):
        gamma = 1 / x.shape[1] if kernel.gamma is None else kernel.gamma
        return np.asarray((gamma * (x @ x.T) + kernel.coef0) ** kernel.degree)
    if isinstance(kernel, Linear):
        x = centre_columns(x)
        return x @ x.T
    distance2 = squared_distances(x)
    if isinstance(kernel, Distance):
        return np.asarray(-(distance2 ** (kernel.exponent / 2)))
    if kernel.sigma is not None:
        sigma2 = kernel.sigma**2
    else:
        sigma2 = kernel.scale**2 * median_squared_distance(x, kernel.include_diagonal, type(kernel).__name__)
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(kernel, RBF):
            exponent = distance2 / (2 * np.float64(sigma2))
        elif isinstance(kernel, RationalQuadratic):
            exponent = kernel.alpha * np.log1p(distance2 / (2 * kernel.alpha * np.float64(sigma2)))
        else:
            exponent = np.sqrt(distance2 / np.float64(sigma2))
    exponent[distance2 == 0] = 0
    return np.exp(-exponent)
