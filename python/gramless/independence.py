"""P-values for the hypothesis that x and y are independent, from null distributions of HSIC and CKA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._chance import LEAST_CHI2_ROWS, LEAST_ROWS, generator_of, resample_count
from ._dependence import chi2_test, gamma_test, pair_of, permutation_test, shown
from ._docs import documented
from .kernels import KernelLike, as_kernel, encode

__all__ = ["IndependenceResult", "independence_test"]


@dataclass(frozen=True)
class IndependenceResult:
    """The result of `independence_test`.

    Attributes
    ----------
    statistic : float
        Debiased CKA for "chi2", biased HSIC for "gamma", unbiased HSIC for "permutation".
    pvalue : float
        The probability of a statistic at least as large if x and y are independent.
    method : str
        The method used, never "auto".
    n : int
        The number of rows.
    null : ndarray (n_resamples,) or None
        The statistics of the permuted data; None for the other methods.
    """

    statistic: float
    pvalue: float
    method: str
    n: int
    null: npt.NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


@documented
def independence_test(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "rbf",
    kernel_y: KernelLike | None = None,
    method: Literal["auto", "chi2", "gamma", "permutation"] = "auto",
    n_resamples: int = 999,
    rng: int | np.random.Generator | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> IndependenceResult:
    """Test whether the rows of x (n, p) and y (n, q) are independent; a small p-value rejects independence.

    The default, RBF kernels, detects any dependence. To test what a linear CKA measures, pass
    kernel="linear".

    Parameters
    ----------
    x, y : array (n, p) and (n, q), n >= 4
        {similarity_arrays}
    {kernel}
    {kernel_y}
    method : {"auto", "chi2", "gamma", "permutation"}
        How the p-value is computed. C is the debiased CKA, H the biased HSIC and T the unbiased HSIC.

        "auto" is "permutation" below 40 rows, because "chi2" then rejects independent pairs too often, and
        "chi2" otherwise. The attribute `method` of the result names the method used.

        "chi2" is P(chi^2_1 > n C + 1): one pass. It is conservative for wide data, where it rejects about 1 %
        at level 5 % (Shen et al. 2021).

        "gamma" is P(G > H) for a gamma variable G with the mean and variance of H under independence: one
        pass; it needs scipy. It has its nominal level for wide data without heavy tails (Gretton et al. 2007,
        Theorems 3 and 4, here for finite n: mean = t_x t_y / (n - 1) and variance = 2 v_x v_y / ((n + 1) (n -
        2)), where t = mean k_ii - mean k_ij and v = H(x, x) - t^2 / (n - 1)).

        "permutation" is (1 + #{T_b >= T}) / (1 + B) over B = `n_resamples` random permutations of the rows of
        y; it is exact for any n.
    {permutations}

    Returns
    -------
    IndependenceResult
        With statistic, pvalue, method, n and null. The numbers are Python floats, so that the call waits for
        a GPU. A constant input gives the p-value NaN with one RuntimeWarning; NaN in the data gives NaN.

    Raises
    ------
    ValueError
        If x and y differ in their number of rows or have fewer than 4, a method or kernel is unknown, rng is
        negative, or n_resamples is below 1.
    TypeError
        If an argument has a type or dtype that is not supported.
    ImportError
        If "gamma" needs scipy and scipy is not installed (`pip install scipy`).

    References
    ----------
    Gretton, Fukumizu, Teo, Song, Schoelkopf and Smola 2007, "A kernel statistical test of independence".
    Shen, Panda and Vogelstein 2021, "The chi-square test of distance correlation", arXiv:1912.12150.

    Examples
    --------
    >>> import numpy as np
    >>> from gramless import independence_test
    >>> x = np.random.default_rng(0).standard_normal((200, 1))
    >>> y = x**2
    >>> independence_test(x, y).pvalue < 1e-6
    True
    >>> independence_test(x[:100], y[100:], method="permutation", n_resamples=99, rng=0).pvalue > 0.05
    True
    """
    function = "independence_test"
    if method not in ("auto", "chi2", "gamma", "permutation"):
        raise ValueError(
            f'{function}: method must be "auto", "chi2", "gamma" or "permutation" but is {method!r}'
        )
    count, generator = resample_count(function, n_resamples), generator_of(function, rng)
    of_x = encode(as_kernel(kernel, function))
    kernels = of_x, of_x if kernel_y is None else encode(as_kernel(kernel_y, function, "kernel_y"))
    pair = pair_of(function, x, y, kernels)
    if pair.rows < LEAST_ROWS:
        raise ValueError(
            f"{function}: method {method!r} needs at least {LEAST_ROWS} rows but x has {pair.rows}"
        )
    if method == "auto":
        method = "permutation" if pair.rows < LEAST_CHI2_ROWS else "chi2"
    if method == "chi2":
        return IndependenceResult(*chi2_test(pair))
    if method == "gamma":
        return IndependenceResult(*gamma_test(pair))
    with shown(function, progress, count) as report:
        return IndependenceResult(*permutation_test(pair, count, generator, report))
