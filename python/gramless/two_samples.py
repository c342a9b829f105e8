"""Whether two samples have one distribution: the maximum mean discrepancy, and a test by it."""

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
from ._evaluate import Call, differentiable
from ._problems.mmd import OF_INDICATOR, Mmd, mmd_factor
from .kernels import Estimator, KernelLike, as_estimator, as_kernel, encode

__all__ = ["TwoSampleResult", "mmd", "two_sample_test"]


@differentiable
def mmd(x: Any, y: Any, *, kernel: KernelLike = "rbf", estimator: Estimator = "unbiased") -> Call:
    """Squared maximum mean discrepancy between the samples x (n, d) and y (m, d).

    biased: MMD^2 = mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j)
    unbiased: the same without the terms i = j in the first two means; it may be negative.

    It is computed as the HSIC of all N = n + m rows with the indicator of those of x, a linear kernel of it;
    exactly, biased MMD^2 = HSIC (N - 1)^2 / (n m / N)^2 and unbiased MMD^2 = HSIC N (N - 1) (N - 2) (N - 3) /
    (n m (n - 1) (m - 1)). So it takes one pass over tiles and no N x N memory, and costs no digits where both
    samples lie far from 0 or are large. Nothing is concatenated: rows of both are read where they lie, and
    memory is O(N) beyond the workspace, but that on a GPU both are copied into one array (N, d), and that a
    sample is copied where the two differ in their dtype or in the distance from column to column.

    Parameters
    ----------
    x, y : arrays (n, d) and (m, d)
        Of numpy, torch or a GPU, as in `cka`.
    kernel
        A kernel or its name, as in `cka`; with `Distance()` MMD^2 is the energy distance, with `Polynomial()`
        of features of two sets of images the kernel inception distance (KID). A bandwidth left to the median
        is that of the distances between all N rows.
    estimator : {"unbiased", "biased"}

    Returns
    -------
    float, or for tensors and arrays of a GPU a 0-d one, where they live
        MMD^2. Differentiable with respect to x and y, for tensors and by `value_and_grad`; a median bandwidth
        counts as a constant.

    Raises
    ------
    ValueError
        Where x and y differ in their number of columns, or have fewer than 2 rows (biased: 1).
    TypeError
        Where types do not fit.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf and Smola 2012, "A kernel two-sample test", JMLR 13.

    Examples
    --------
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
    statistic
        MMD^2, unbiased for "permutation" and biased for "gamma".
    pvalue
        The probability, were both samples of one distribution, of a statistic at least as large.
    method, n, m
        The method used, and the numbers of rows.
    null
        The statistics of the permuted data (n_resamples,), None for "gamma".
    """

    statistic: float
    pvalue: float
    method: str
    n: int
    m: int
    null: npt.NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


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
    """Test whether the samples x (n, d) and y (m, d) have one distribution; a small p-value says no.

    Parameters
    ----------
    x, y, kernel
        As in `mmd`.
    method : {"permutation", "gamma"}
        "permutation": (1 + #{T_b >= T}) / (1 + B), T the unbiased MMD^2 and T_b that of B = `n_resamples`
        random splits of all rows into n and m; exact for any data. One pass over tiles for every 64 splits.
        "gamma": P(G > T), T the biased MMD^2, G a gamma variable with the mean and variance of T over all
        splits; one pass, an approximation; needs scipy.
    n_resamples : int
    rng : int, numpy.random.Generator or None
        Seed of the splits; an int gives the same p-value every time.
    progress
        True shows a bar over the splits, a callable receives (done, total).

    Returns
    -------
    TwoSampleResult
        Of Python floats, for which a GPU is waited for. Where all rows are equal the p-value is NaN, with one
        RuntimeWarning; NaN in the data gives NaN.

    Raises
    ------
    ValueError
        Where x and y differ in their number of columns, have fewer than 2 rows, or options do not fit.
    TypeError
        Where types do not fit.
    ImportError
        Where "gamma" lacks scipy.

    References
    ----------
    Gretton et al. 2012, "A kernel two-sample test", JMLR 13.

    Examples
    --------
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
    """Raises ValueError where these are no two samples that can be compared."""
    checks.same_columns(function, "x", x, "y", y)
    least = 2 if estimator == "unbiased" else 1
    for name, sample in (("x", x), ("y", y)):
        if sample.shape[0] < least:
            raise ValueError(f"{function}: the unbiased estimator needs at least 2 rows but {name} has 1")
