"""CKA under permutations of the rows: moments, z and p-values, from the Gram matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..kernels import Estimator, KernelLike, as_estimator, as_kernel
from ._paragraphs import documented
from .gram import Array, gram_for_sums
from .hsic import ESTIMATORS, ratio, same_rows

__all__ = ["layer_matrix", "permutation_moments"]


class Chance(NamedTuple):
    """Matrices (xs, ys): CKA, z, p-values of single cells, and p-values corrected for the number of cells."""

    matrix: Array
    z: Array
    pvalue: Array
    pvalue_corrected: Array


@documented
def layer_matrix(
    xs: Sequence[npt.ArrayLike],
    ys: Sequence[npt.ArrayLike] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    pvalue: Literal["chi2", "t", "gamma", "permutation"] = "permutation",
    n_resamples: int = 199,
    rng: int | np.random.Generator | None = None,
) -> Chance:
    """CKA of every layer of xs with every layer of ys, and its p-values under permutations of the rows.

    {layers}
    {kernel}
    {estimator}
    pvalue : {"chi2", "t", "gamma", "permutation"}
        How p-values are computed: from a distribution, or from permutations, all of them for up to 7 rows.
    n_resamples : int
        The number of permutations.
    rng : int or numpy Generator, optional
        The seed of the permutations.

    Returns
    -------
    Chance
        matrix, z, pvalue and pvalue_corrected, each (len(xs), len(ys)).

    {raises}

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> layer_matrix([x, x**2 % 5]).pvalue.round(3)
    array([[0.003, 0.744],
           [0.744, 0.011]])
    """
    kernel, estimator = as_kernel(kernel, "layer_matrix"), as_estimator(estimator, "layer_matrix")
    named = {f"xs[{i}]": x for i, x in enumerate(xs)} | {f"ys[{i}]": y for i, y in enumerate(ys or [])}
    grams = [gram_for_sums(x, kernel) for x in same_rows("layer_matrix", named, estimator)]
    ks = grams[: len(xs)]
    ls = ks if ys is None else grams[len(xs) :]
    n, h = len(ks[0]), ESTIMATORS[estimator]
    own = np.array([h(k, k) for k in ks])[:, None], np.array([h(l, l) for l in ls])[None, :]

    def cka(order: npt.NDArray[np.int64]) -> Array:  # of xs with all ys, whose rows are in this order
        permuted = [l[np.ix_(order, order)] for l in ls]
        return ratio("layer_matrix", np.array([[h(k, l) for l in permuted] for k in ks]), *own)

    moments = np.array([[permutation_moments(k, l, estimator) for l in ls] for k in ks])
    mean, deviation = moments[..., 0], moments[..., 1]
    matrix = cka(np.arange(n))
    z = (matrix - mean) / deviation
    cells = np.triu(np.ones(z.shape, bool), 1) if ys is None else np.ones(z.shape, bool)
    if pvalue != "permutation":
        alone = approximate_pvalues(pvalue, matrix, n, mean, deviation)
        return Chance(matrix, z, alone, _symmetric(_holm(alone, cells), cells))
    every = n <= 7
    generator = np.random.default_rng(rng)
    orders = (
        [np.array(order) for order in itertools.permutations(range(n))]
        if every
        else [generator.permutation(n) for _ in range(n_resamples)]
    )
    null = np.array([(cka(order) - mean) / deviation for order in orders])
    largest = np.where(cells, null, -np.inf).max(axis=(1, 2))[:, None, None] if cells.any() else null
    # 1e-4: sums of the same terms in another order differ in their last digits
    alone, corrected = (
        (np.sum(values >= z - 1e-4, axis=0) + (not every)) / (len(orders) + (not every))
        for values in (null, largest)
    )
    return Chance(matrix, z, _symmetric(alone, cells), _symmetric(np.where(cells, corrected, alone), cells))


def permutation_moments(k: Array, l: Array, estimator: Estimator = "unbiased") -> tuple[float, float]:
    """Mean and standard deviation of CKA over all permutations of the rows of one of two Gram matrices.

    For the unbiased estimator they are 0 and sqrt(2 / (n (n - 3))), because U-centred matrices form a space
    of n (n - 3) / 2 dimensions on which permutations act irreducibly.

    Parameters
    ----------
    k, l : array (n, n)
        The Gram matrices, of at least 4 rows.
    estimator : {"unbiased", "biased", "debiased"}
        That of the CKA.

    Returns
    -------
    tuple of float
        The mean and the standard deviation.

    Raises
    ------
    ValueError
        If estimator has an invalid value.
    ValueError, ZeroDivisionError
        If there are fewer than 4 rows.

    References
    ----------
    Szekely and Rizzo 2013, "The distance correlation t-test of independence in high dimension" (unbiased).
    Kazi-Aoual et al. 1995, in the form of Josse, Pages and Husson 2008 (biased).

    Examples
    --------
    >>> [round(moment, 6) for moment in permutation_moments(np.eye(5), np.eye(5))]
    [0.0, 0.447214]
    """
    n = len(k)
    if as_estimator(estimator, "permutation_moments") == "unbiased":
        return 0.0, math.sqrt(2 / (n * (n - 3)))

    def parts(k: Array) -> tuple[float, float]:
        w = k - k.mean(axis=0) - k.mean(axis=1)[:, None] + k.mean()
        squares = float(np.sum(w * w))
        beta = float(np.trace(w)) ** 2 / squares
        diagonal = n * (n + 1) * float(np.sum(np.diag(w) ** 2)) / squares
        return beta, (n - 1) / ((n - 3) * (n - 1 - beta)) * (diagonal - (n - 1) * (beta + 2))

    (beta_k, tau_k), (beta_l, tau_l) = parts(k), parts(l)
    mean = math.sqrt(beta_k * beta_l) / (n - 1)
    variance = 2 * (n - 1 - beta_k) * (n - 1 - beta_l) / ((n + 1) * (n - 1) ** 2 * (n - 2))
    return mean, math.sqrt(variance * (1 + (n - 3) / (2 * n * (n - 1)) * tau_k * tau_l))


def approximate_pvalues(method: str, cka: Array, n: int, mean: Array, deviation: Array) -> Array:
    """One-sided p-values: of debiased CKA from chi2 (Shen et al. 2021) or t (Szekely and Rizzo 2013), or from
    the gamma distribution with this mean and standard deviation.
    """
    from scipy import stats

    if method == "chi2":
        found = stats.chi2.sf(n * cka + 1, 1)
    elif method == "t":
        degrees = n * (n - 3) / 2 - 1
        bounded = np.clip(cka, -1, 1)
        with np.errstate(divide="ignore"):
            found = stats.t.sf(bounded * np.sqrt(degrees / (1 - bounded**2)), degrees)
    else:
        found = stats.gamma.sf(cka, (mean / deviation) ** 2, scale=deviation**2 / mean)
    return np.asarray(found)


def _holm(pvalue: Array, cells: npt.NDArray[np.bool_]) -> Array:
    """Holm's step-down correction of the chosen cells."""
    found, own = pvalue.copy(), pvalue[cells]
    for place, value in zip(np.argwhere(cells), own, strict=True):
        steps = [np.sum(own >= smaller) * smaller for smaller in own[own <= value]]
        found[tuple(place)] = min(1.0, max(steps))
    return found


def _symmetric(values: Array, cells: npt.NDArray[np.bool_]) -> Array:
    """Copies the cells above the diagonal to those below, if only the former were chosen."""
    return values if cells.all() else np.where(cells.T, values.T, values)
