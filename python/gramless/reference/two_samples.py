"""The maximum mean discrepancy from the Gram matrix of both samples, and its permutation test."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kernels import Estimator, KernelLike, as_estimator, as_kernel
from ._paragraphs import documented
from .gram import Array, as_rows, gram_for_sums

__all__ = ["mmd", "mmd_permutation_pvalue"]


@documented
def mmd(
    x: npt.ArrayLike, y: npt.ArrayLike, *, kernel: KernelLike = "rbf", estimator: Estimator = "unbiased"
) -> float:
    """The squared maximum mean discrepancy of the samples x (n, d) and y (m, d).

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        The samples; computed in float64.
    {kernel}
        Here that is the median over the rows of both.
    estimator : {"unbiased", "biased", "debiased"}
        "unbiased" needs at least 2 rows in each sample and "biased" at least 1; "debiased" is a synonym of
        "unbiased".

    {number}

    {two_samples}

    Examples
    --------
    >>> mmd([[0.0], [2.0]], [[1.0], [3.0]], kernel="linear", estimator="biased")
    1.0
    """
    x, y = as_rows("mmd", "x", x), as_rows("mmd", "y", y)
    k = gram_for_sums(np.concatenate([x, y]), as_kernel(kernel, "mmd"))
    return mmd_of(k, np.arange(len(k)) < len(x), as_estimator(estimator, "mmd"))


def mmd_of(k: Array, of_x: npt.NDArray[np.bool_], estimator: Estimator) -> float:
    """MMD^2 from the Gram matrix (N, N) of both samples and the mask of the rows of x."""

    def mean(k: Array) -> float:  # (n, n)
        return float(k.mean() if estimator == "biased" else k[~np.eye(len(k), dtype=bool)].mean())

    between = float(k[of_x][:, ~of_x].mean())
    return mean(k[of_x][:, of_x]) + mean(k[~of_x][:, ~of_x]) - 2 * between


@documented
def mmd_permutation_pvalue(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    kernel: KernelLike = "rbf",
    n_resamples: int = 999,
    rng: int | np.random.Generator | None = None,
) -> float:
    """(1 + #{T_b >= T}) / (1 + B), T the unbiased MMD^2 and T_b that of B random splits of all rows.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        The samples, each of at least 2 rows; computed in float64.
    {kernel}
        Here that is the median over the rows of both.
    n_resamples : int
        B, the number of random splits.
    rng : int or numpy Generator, optional
        The seed of the splits.

    {number}

    {two_samples}

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> mmd_permutation_pvalue(x, x + 20, rng=0)
    0.001
    """
    x, y = as_rows("mmd", "x", x), as_rows("mmd", "y", y)
    k = gram_for_sums(np.concatenate([x, y]), as_kernel(kernel, "mmd"))
    of_x, generator = np.arange(len(k)) < len(x), np.random.default_rng(rng)
    own = mmd_of(k, of_x, "unbiased")
    null = np.array([mmd_of(k, of_x[generator.permutation(len(k))], "unbiased") for _ in range(n_resamples)])
    return float((1 + np.sum(null >= own - 1e-4 * null.std())) / (1 + n_resamples))
