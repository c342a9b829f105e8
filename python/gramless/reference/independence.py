"""Three tests of the hypothesis that x and y are independent."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..kernels import KernelLike
from ._paragraphs import documented
from .gram import Array, off_diagonal
from .hsic import biased, grams, unbiased, warn_if_constant

__all__ = ["independence_test"]

LEAST_CHI2_ROWS = 40  # with fewer, chi2 rejects independent data too often


class Independence(NamedTuple):
    """The result of a test; `null` holds the statistics of the permuted data, or None for other methods."""

    statistic: float
    pvalue: float
    method: str
    n: int
    null: Array | None = None


@documented
def independence_test(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    kernel: KernelLike = "rbf",
    kernel_y: KernelLike | None = None,
    method: Literal["auto", "chi2", "gamma", "permutation"] = "auto",
    n_resamples: int = 999,
    rng: int | np.random.Generator | None = None,
    progress: bool = False,
) -> Independence:
    """Tests whether the rows of x (n, p) and y (n, q) are independent; small p-values indicate dependence.

    {pair}
    {kernel}
    {kernel_y}
    method : {"auto", "chi2", "gamma", "permutation"}
        "auto" uses "permutation" for fewer than 40 rows and otherwise "chi2".
    n_resamples : int
        The number of permutations.
    rng : int or numpy Generator, optional
        The seed of the permutations.
    {progress}

    Returns
    -------
    Independence
        Its statistic, p-value, method, n, and the statistics of the permuted data.

    {raises}

    References
    ----------
    Gretton, Fukumizu, Teo, Song, Schoelkopf and Smola 2007, "A kernel statistical test of independence".
    Shen, Panda and Vogelstein 2021, "The chi-square test of distance correlation", arXiv:1912.12150.

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> independence_test(x, x**2, method="permutation").pvalue < 0.01
    True
    """
    if method not in ("auto", "chi2", "gamma", "permutation"):
        raise ValueError(
            f'independence_test: method must be "auto", "chi2", "gamma" or "permutation" but is {method!r}'
        )
    k, l = grams("independence_test", x, y, kernel, kernel_y, "unbiased")
    warn_if_constant("independence_test", "the p-value", unbiased(k, k), unbiased(l, l))
    if method == "auto":
        method = "permutation" if len(k) < LEAST_CHI2_ROWS else "chi2"
    if method == "permutation":
        return permutation_test(k, l, n_resamples, np.random.default_rng(rng))
    return chi2_test(k, l) if method == "chi2" else gamma_test(k, l)


def chi2_test(k: Array, l: Array) -> Independence:  # (n, n), (n, n)
    """P(chi^2_1 > n C + 1) where C is the debiased CKA: Shen, Panda and Vogelstein 2021.

    P(chi^2_1 > t) = P(|N(0, 1)| > sqrt(t)) = erfc(sqrt(t / 2)).
    """
    n = len(k)
    xx, yy = unbiased(k, k), unbiased(l, l)
    statistic = unbiased(k, l) / math.sqrt(xx * yy) if xx > 0 and yy > 0 else math.nan
    t = np.maximum(n * statistic + 1, 0)  # np.maximum keeps NaN
    return Independence(statistic, math.erfc(math.sqrt(t / 2)), "chi2", n)


def gamma_test(k: Array, l: Array) -> Independence:  # (n, n), (n, n)
    """A gamma distribution with the mean and variance of biased HSIC under independence: Gretton et al. 2007.

    mean = t_K t_L / (n - 1),    variance = 2 v_K v_L / ((n + 1) (n - 2))

    t_K = mean K_ii - mean K_ij estimates the trace of the covariance operator, and
    v_K = hsic(K, K) - t_K^2 / (n - 1) its squared norm without the share of the diagonal. For large n these
    are the paper's Theorems 3 and 4. For finite n, over all permutations of the rows, the mean is exact and
    the variance is the leading term (Kazi-Aoual et al. 1995). Without the correction in v, the test would
    never find wide data (p > n) dependent.
    """
    from scipy.special import gammaincc

    n = len(k)
    statistic = biased(k, l)
    t_k, t_l = (np.mean(np.diag(k)) - np.mean(off_diagonal(k)) for k in (k, l))
    v_k, v_l = biased(k, k) - t_k**2 / (n - 1), biased(l, l) - t_l**2 / (n - 1)
    if v_k <= 0 or v_l <= 0:
        return Independence(statistic, math.nan, "gamma", n)
    mean = t_k * t_l / (n - 1)
    variance = 2 * v_k * v_l / ((n + 1) * (n - 2))
    pvalue = gammaincc(mean**2 / variance, statistic * mean / variance)
    return Independence(statistic, float(pvalue), "gamma", n)


def permutation_test(k: Array, l: Array, n_resamples: int, generator: np.random.Generator) -> Independence:
    """(1 + #{T_b >= T}) / (1 + B) over B shuffles of the rows of y, T the unbiased HSIC.

    T_b and T count as equal if they differ by less than 1e-4 standard deviations of the T_b, because sums of
    the same terms in another order differ in their last digits.
    """
    n = len(k)
    statistic = unbiased(k, l)
    orders = [generator.permutation(n) for _ in range(n_resamples)]
    null = np.array([unbiased(k, l[np.ix_(order, order)]) for order in orders])
    pvalue = (1 + np.sum(null >= statistic - 1e-4 * null.std())) / (1 + n_resamples)
    degenerate = not (unbiased(k, k) > 0 and unbiased(l, l) > 0)
    return Independence(statistic, math.nan if degenerate else float(pvalue), "permutation", n, null)
