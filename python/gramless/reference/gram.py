"""Rows to Gram matrices: centring, distances, bandwidth. It does not know what the matrix is used for."""

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

__all__ = ["gram", "median_distance"]

Array = npt.NDArray[np.float64]


def as_rows(function_name: str, argument: str, x: npt.ArrayLike) -> Array:
    """x as float64 (n, p), or the sentence that says why not."""
    x = _arrays.without_tensors(function_name, argument, x)
    rows = as_array(function_name, argument, x, "a two-dimensional array")
    if rows.ndim != 2:
        raise ValueError(f"{function_name}: {argument} must have 2 dimensions but has {rows.ndim}")
    if rows.dtype.kind not in "biuf" and rows.dtype.name != "bfloat16":
        raise TypeError(f"{function_name}: {argument} must hold real numbers but has dtype {rows.dtype}")
    return rows.astype(np.float64)


def from_medians(x: Array) -> Array:  # (n, p)
    """x with the median of every column subtracted: constant columns become 0, a far row moves nothing."""
    x = np.where(np.isfinite(x), x, np.nan)  # inf - inf
    return np.asarray(x - np.median(x, axis=0))


def centre_columns(x: Array) -> Array:  # (n, p)
    """x with the mean of every column subtracted."""
    x = from_medians(x)
    return np.asarray(x - x.mean(axis=0))


def squared_distances(x: Array) -> Array:  # (n, p)
    """|x_i - x_j|^2 for all pairs of rows, as (n, n), from the differences themselves."""
    x = np.where(np.isfinite(x), x, np.nan)  # inf - inf
    return np.stack([np.sum((x - row) ** 2, axis=1) for row in x])


def squared_lengths(x: Array) -> Array:  # (n, p)
    """|x_i - c|^2, as (n,): c is the mean of all rows, or of those near each other where others move it."""
    x, near_rows = centre_columns(x), len(x)
    for _ in range(8):  # a row may be seen to lie far away only when one further away has gone
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

    Where more than half of them are no more than the rounding of |x_i|^2 + |x_j|^2, lengths about the rows
    that lie near each other, or than 8 roundings of the numbers of x, squared, the median of the others, with
    one RuntimeWarning. Roundings of numbers are not counted where distances up to 8 times as large are no
    fewer than an eighth of those below.
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


def median_distance(x: npt.ArrayLike, *, include_diagonal: bool = False) -> float:
    """The root of the median squared distance between the rows of x (n, p).

    Examples
    --------
    >>> median_distance([[0.0], [3.0], [5.0]])
    3.0
    """
    x = as_rows("median_distance", "x", x)
    if len(x) < 2:
        raise ValueError(f"median_distance: a distance needs at least 2 rows but x has {len(x)}")
    return math.sqrt(median_squared_distance(x, include_diagonal, "median_distance"))


def unit_rows(x: Array) -> Array:  # (n, p)
    """x with every row divided by its length, those of zeros as they are."""
    with np.errstate(invalid="ignore"):  # inf / inf
        x = x / np.where(np.any(x, axis=1), np.abs(x).max(axis=1), 1)[:, None]
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(lengths == 0, 1, lengths))


def gram_for_sums(x: Array, kernel: KernelLike) -> Array:  # (n, p)
    """As `gram`, but of rows about another centre, which changes no HSIC: a far row would move the mean."""
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

    With the medians c of the columns, or 0 where rows are no nearer to those, o is gamma <c, c> + coef0, a_i
    gamma <c, x_i - c> and d_ij gamma <x_i - c, x_j - c>.
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


def gram(x: npt.ArrayLike, kernel: KernelLike = "linear") -> Array:
    """The matrix of k(x_i, x_j) over the rows of x (n, p), as (n, n); a linear kernel's columns are centred.

    Where all distances are 0, their median leaves sigma no value: all of the matrix is 1.

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
