"""P-values for the hypothesis that x and y are independent: null distributions, not how HSIC is summed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._chance import LEAST_CHI2_ROWS, LEAST_ROWS, generator_of, resample_count
from ._dependence import chi2_test, gamma_test, pair_of, permutation_test, shown
from .kernels import KernelLike, as_kernel, encode

__all__ = ["IndependenceResult", "independence_test"]


@dataclass(frozen=True)
class IndependenceResult:
    """What `independence_test` found.

    statistic: debiased CKA for "chi2", biased HSIC for "gamma", unbiased HSIC for "permutation".
    pvalue: the probability, were x and y independent, of a statistic at least as large.
    method, n: the method used, never "auto", and the number of rows.
    null: the statistics of the permuted data (n_resamples,), None for the other methods.
    """

    statistic: float
    pvalue: float
    method: str
    n: int
    null: npt.NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


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
    """Test whether the rows of x (n, p) and y (n, q) are independent; a small p-value says that they are not.

    With C the debiased CKA, H the biased and T the unbiased HSIC:

    "auto" (default): "permutation" below 40 rows, where "chi2" rejects too often (33 % at level 5 % for 4
        rows, 9 % for 8), else "chi2"; `method` of the result says which.
    "chi2": P(chi^2_1 > n C + 1). One pass; cautious for wide data.
        Shen, Panda and Vogelstein 2021, arXiv:1912.12150.
    "gamma": P(G > H), G a gamma variable with the mean and variance of H under independence. One pass; needs
        scipy (`pip install scipy`). Gretton et al. 2007, Theorems 3 and 4, but for finite n:
        mean = t_x t_y / (n - 1) and variance = 2 v_x v_y / ((n + 1) (n - 2)), where t = mean k_ii - mean k_ij
        and v = H(x, x) - t^2 / (n - 1).
    "permutation": (1 + #{T_b >= T}) / (1 + B) over B = `n_resamples` shuffles of the rows of y; exact for
        any n.

    kernel, kernel_y: as in `hsic`; a bandwidth left to the median is each input's own, so units play no part.
    rng: of the permutations, what `numpy.random.default_rng` takes: an int gives the same p-value every time,
        None (default) does not.
    progress: shows a bar over the permutations, or calls what it is given with (done, total).

    Returns an IndependenceResult of Python floats, for which a GPU is waited for. A constant input has
    p-value NaN with one RuntimeWarning; NaN in the data gives NaN. Raises ValueError for different numbers
    of rows, fewer than 4 rows, an unknown method or kernel, a negative rng and fewer than 1 resample,
    TypeError for values of another type, ImportError where "gamma" lacks scipy.

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
