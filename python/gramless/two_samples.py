"""Tests whether two samples have the same distribution: the maximum mean discrepancy and its p-value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ._arrays import checks
from ._arrays.frames import check_column_names
from ._backends import backend_of
from ._chance import generator_of, resample_count
from ._dependence import Pair, gamma_test, permutation_test, shown
from ._docs import documented
from ._evaluate import Call, differentiable
from ._problems.mmd import OF_INDICATOR, Mmd, mmd_factor
from .kernels import Estimator, KernelLike, as_estimator, as_kernel, encode

__all__ = ["TwoSampleResult", "mmd", "two_sample_test"]


@differentiable
@documented
def mmd(x: Any, y: Any, *, kernel: KernelLike = "rbf", estimator: Estimator = "unbiased") -> Call:
    """Squared maximum mean discrepancy between the samples x (n, d) and y (m, d).

    biased: MMD^2 = mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j)
    unbiased: the same without the terms i = j in the first two means; it may be negative.

    It is computed from the HSIC of all N = n + m rows with the indicator of the rows of x (with a linear
    kernel): biased MMD^2 = HSIC (N - 1)^2 / (n m / N)^2 and unbiased MMD^2 = HSIC N (N - 1) (N - 2) (N - 3) /
    (n m (n - 1) (m - 1)). It therefore needs one pass over tiles and no N x N memory, and loses no accuracy
    if both samples are far from 0. The samples are read in place, with O(N) memory beyond the workspace, with
    two exceptions: on a GPU both are copied into one array (N, d), and one sample is copied if they differ in
    their dtype or in the stride between columns.

    Parameters
    ----------
    x, y : array (n, d) and (m, d)
        {similarity_arrays}
    {kernel}
        Here that is the median over all N rows. With `Distance()`, MMD^2 is the energy distance. With
        `Polynomial()` and features of two sets of images, it is the kernel inception distance (KID).
    estimator : {"unbiased", "biased"}
        "unbiased" needs at least 2 rows in each sample and "biased" at least 1.

    Returns
    -------
    {scalar}
        Differentiable with respect to x and y, for tensors and by `value_and_grad`; a median bandwidth counts
        as a constant.

    Raises
    ------
    {errors}

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf and Smola 2012, "A kernel two-sample test", JMLR 13.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((100, 3)), rng.standard_normal((80, 3))
    >>> abs(mmd(x, y)) < 0.01 < mmd(x, y + 1)
    True
    """
    function = "mmd"
    library, (x, y) = checks.read(function, [("x", x), ("y", y)], check_tables=check_column_names)
    problem = Mmd(function, encode(as_kernel(kernel, function)), as_estimator(estimator, function))
    _check_samples(function, x, y, problem.estimator)
    return Call(library, problem, (x, y), ("x", "y"))


@dataclass(frozen=True)
class TwoSampleResult:
    """The result of `two_sample_test`.

    Attributes
    ----------
    statistic : float
        MMD^2, unbiased for "permutation" and biased for "gamma".
    pvalue : float
        The probability of a statistic at least as large if both samples have the same distribution.
    method : str
        The method used.
    n, m : int
        The numbers of rows of x and y.
    null : ndarray (n_resamples,) or None
        The statistics of the permuted data; None for "gamma".
    """

    statistic: float
    pvalue: float
    method: str
    n: int
    m: int
    null: npt.NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


@documented
def two_sample_test(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "rbf",
    method: Literal["permutation", "gamma"] = "permutation",
    n_resamples: int = 999,
    rng: int | np.random.Generator | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> TwoSampleResult:
    """Test whether the samples x (n, d) and y (m, d) have the same distribution; a small p-value rejects it.

    Parameters
    ----------
    x, y : array (n, d) and (m, d), n >= 2, m >= 2
        {similarity_arrays}
    {kernel}
        Here that is the median over all n + m rows.
    method : {"permutation", "gamma"}
        "permutation": (1 + #{T_b >= T}) / (1 + B), where T is the unbiased MMD^2 and the T_b are its values
        for B = `n_resamples` random splits of all rows into n and m. It is exact for any data and needs one
        pass over tiles for every 64 splits. "gamma": P(G > T), where T is the biased MMD^2 and G a gamma
        variable with the mean and variance of T over all splits. It is an approximation in one pass, and
        needs scipy.
    {permutations}

    Returns
    -------
    TwoSampleResult
        With statistic, pvalue, method, n, m and null. The numbers are Python floats, so that the call waits
        for a GPU. If all rows are equal, the p-value is NaN with one RuntimeWarning; NaN in the data gives
        NaN.

    Raises
    ------
    {errors}
    ImportError
        If "gamma" needs scipy and scipy is not installed (`pip install scipy`).

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf and Smola 2012, "A kernel two-sample test", JMLR 13.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((100, 3)), rng.standard_normal((80, 3))
    >>> two_sample_test(x, y, rng=0).pvalue > 0.05 > two_sample_test(x, y + 1, rng=0).pvalue
    True
    """
    function = "two_sample_test"
    if not isinstance(method, str) or method not in ("permutation", "gamma"):
        raise ValueError(f'{function}: method must be "permutation" or "gamma" but is {method!r}')
    count, generator = resample_count(function, n_resamples), generator_of(function, rng)
    code = encode(as_kernel(kernel, function))
    library, arrays = checks.read(function, [("x", x), ("y", y)], check_tables=check_column_names)
    _check_samples(function, arrays[0], arrays[1], "unbiased")
    held = library.detached(function, ["x", "y"], arrays)
    backend = backend_of(library, held[0], function)
    both, group = backend.stacked(*held)
    pair = Pair(function, backend, both, group, (code, OF_INDICATOR))
    n, m = (int(side.shape[0]) for side in held)
    if method == "gamma":
        found, factor = gamma_test(pair), mmd_factor(n, m, "biased")
    else:
        factor = mmd_factor(n, m, "unbiased")
        with shown(function, progress, count) as report:
            found = permutation_test(pair, count, generator, report)
    null = None if found.null is None else found.null * factor
    return TwoSampleResult(found.statistic * factor, found.pvalue, found.method, n, m, null)


def _check_samples(function: str, x: Any, y: Any, estimator: str) -> None:
    """Raise ValueError unless both samples have the same columns and enough rows."""
    checks.same_columns(function, "x", x, "y", y)
    least = 2 if estimator == "unbiased" else 1
    for name, sample in (("x", x), ("y", y)):
        if sample.shape[0] < least:
            raise ValueError(f"{function}: the unbiased estimator needs at least 2 rows but {name} has 1")
