"""The public functions for HSIC and CKA: each call builds a problem, which is evaluated."""

from __future__ import annotations

import os
from typing import Any, get_args

from ._arrays import checks
from ._arrays.namespaces import computed_in
from ._backends import backend_of
from ._counts import as_flag, positive
from ._docs import documented
from ._evaluate import Call, differentiable
from ._layer_calls import described_pair
from ._problems.hsic import Hsic
from ._progress import ProgressLike, ends, reporter
from .kernels import FORMULAS, Distance, Estimator, KernelLike, as_estimator, as_kernel, encode

__all__ = ["cka", "distance_correlation", "hsic", "median_distance"]


def _problem(function: str, kernel: Any, kernel_y: Any, estimator: Any, form: str) -> Hsic:
    of_x = encode(as_kernel(kernel, function))
    of_y = of_x if kernel_y is None else encode(as_kernel(kernel_y, function, "kernel_y"))
    return Hsic(function, 1, 2, (of_x, of_y), as_estimator(estimator, function), form, False)


_BY_NAME = {  # problems whose options are names, built once
    (function, kernel, estimator): _problem(function, kernel, None, estimator, function)
    for function in ("cka", "hsic")
    for kernel in FORMULAS
    for estimator in get_args(Estimator)
}


def pair(function: str, x: Any, y: Any, kernel: Any, kernel_y: Any, estimator: Any, form: str) -> Call:
    """The call for one pair of representations. form: see `Hsic`."""
    library, (x, y) = checks.read(function, [("x", x), ("y", y)])
    problem = None
    if kernel_y is None and type(kernel) is str and type(estimator) is str:
        problem = _BY_NAME.get((function, kernel, estimator))
    if problem is None:
        problem = _problem(function, kernel, kernel_y, estimator, form)
    checks.same_examples(function, "x", x, "y", y)
    checks.enough_rows(function, "x", x, problem.estimator)
    return Call(library, problem, (x, y), ("x", "y"))


@differentiable
@documented
def hsic(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
    progress: ProgressLike = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Call:
    """Hilbert-Schmidt independence criterion of the rows of x (n, p) with the rows of y (n, q).

    biased: tr(K H L H) / (n - 1)^2, with H = I - 11'/n (Gretton et al. 2005).

    unbiased: [sum K~ L~ + s_K s_L / ((n-1)(n-2)) - 2/(n-2) sum_i r_i^K r_i^L] / (n (n-3)), where K~ and L~
    are K and L with zero diagonals, r are their row sums and s their totals (Song et al. 2012, eq. 5).

    The n x n matrices K and L are stored only as far as they fit the workspace (`set_workspace_limit`).

    Parameters
    ----------
    x, y : array (n, p) and (n, q)
        {similarity_arrays}
    {kernel}
    {kernel_y}
    {estimator}
    {long_pair}

    Returns
    -------
    {scalar}

    Raises
    ------
    {errors}

    Notes
    -----
    Tensors get gradients of their own dtype; a median bandwidth counts as a constant. The gradient of a CKA
    with respect to row i has a length of about 1 / (n |x_i|): in float16 it loses accuracy below 6e-5, for
    example for 256 rows of 512 standard normal numbers, and is 0 below 3e-8. To avoid this, scale the loss,
    as torch.amp.GradScaler does, or pass float32 or bfloat16. The gradient of an HSIC with linear kernels
    grows with the third power of the rows' lengths, and is inf in float16 for long rows, for example for 256
    rows of 16 columns with a length of 1e3.

    References
    ----------
    Gretton, Bousquet, Smola and Schoelkopf 2005, "Measuring statistical dependence with Hilbert-Schmidt
    norms". Song, Smola, Gretton, Bedo and Borgwardt 2012, "Feature selection via dependence maximization",
    JMLR 13.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> y = rng.randn(100, 10) + x
    >>> round(hsic(x, y), 9)
    9.895955787
    """
    call = pair("hsic", x, y, kernel, kernel_y, estimator, "hsic")
    if progress is False and checkpoint is None:
        return call
    return described_pair(call, kernel, kernel_y, progress, checkpoint)


@differentiable
@documented
def cka(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
    progress: ProgressLike = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Call:
    """Centered kernel alignment of the rows of x (n, p) with the rows of y (n, q).

    cka = hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)), with the same estimator of HSIC in all three places
    (Kornblith et al. 2019). The default, "unbiased", gives the debiased CKA, which may be slightly negative;
    "biased" tends to 1 for p >> n for any data (Murphy et al. 2024). Values are not clamped.

    Parameters
    ----------
    x, y : array (n, p) and (n, q)
        {similarity_arrays}
    {kernel}
    {kernel_y}
    {estimator}
    {long_pair}

    Returns
    -------
    {scalar}
        A degenerate input, such as constant rows, gives NaN and one RuntimeWarning.

    Raises
    ------
    {errors}

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited",
    arXiv:1905.00414. Murphy, Zylberberg and Fyshe 2024, "Correcting biased centered kernel alignment measures
    in biological and artificial neural networks", arXiv:2405.01012.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> y = rng.randn(100, 10) + x
    >>> round(cka(x, y), 9)
    0.51345649
    >>> round(cka(x, 3 * x + 1000), 9)
    1.0
    """
    call = pair("cka", x, y, kernel, kernel_y, estimator, "cka")
    if progress is False and checkpoint is None:
        return call
    return described_pair(call, kernel, kernel_y, progress, checkpoint)


@differentiable
@documented
def distance_correlation(x: Any, y: Any, *, exponent: float = 1.0, bias_corrected: bool = False) -> Call:
    """Distance correlation of the rows of x (n, p) with the rows of y (n, q), which detects any dependence.

    R = sqrt(dcov^2(x, y) / sqrt(dcov^2(x, x) dcov^2(y, y))), where dcov^2(x, y) is the mean of A_ij B_ij, and
    A and B are the n x n distances |x_i - x_j|^exponent and |y_i - y_j|^exponent with their row and column
    means removed. In the limit of many rows, R is 0 only if x and y are independent; Pearson's correlation is
    also 0 for many dependent variables. R is the root of the biased `cka` with the kernel
    `Distance(exponent)`, and needs O(n) memory beyond the workspace.

    Parameters
    ----------
    x, y : array (n, p) and (n, q)
        {host_arrays}
    exponent : float
        Above 0 and at most 2; with 2, R detects only linear dependence.
    bias_corrected : bool
        With many columns R tends to 1 even for independent rows. True returns the bias-corrected R^2, an
        unbiased `cka`: about 0 for independent rows, and possibly negative, so that it has no root.

    Returns
    -------
    {scalar}
        It equals dcor's `distance_correlation`; with bias_corrected, dcor's `u_distance_correlation_sqr` and
        `bcdcor` of the R package energy. A constant input gives NaN and one RuntimeWarning; dcor gives 0.

    Raises
    ------
    {host_errors}

    References
    ----------
    Szekely, Rizzo and Bakirov 2007, "Measuring and testing dependence by correlation of distances", Annals of
    Statistics 35. Szekely and Rizzo 2013, "The distance correlation t-test of independence in high
    dimension", Journal of Multivariate Analysis 117.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 101)[:, None]
    >>> round(distance_correlation(x, x**2), 6), round(distance_correlation(x, 3 * x + 1), 6)
    (0.491526, 1.0)
    """
    function = "distance_correlation"
    exponent = positive(function, "exponent", exponent, "a number")
    if exponent > 2:
        raise ValueError(f"{function}: exponent must be at most 2 but is {exponent!r}")
    chosen = ("unbiased", "cka") if bias_corrected else ("biased", "root")
    return pair(function, x, y, Distance(exponent), None, *chosen)


@documented
def median_distance(x: Any, *, include_diagonal: bool = False, progress: ProgressLike = False) -> Any:
    """The exact median Euclidean distance between the rows of x (n, d), without n x n memory.

    sqrt(median over i != j of |x_i - x_j|^2); for an even count, the mean of the two middle squares. It is
    the bandwidth of `RBF()`. The squared distances are counted in bins, and few are stored.

    If more than half of the distances are 0 up to rounding, the median is taken over the others, because a
    bandwidth of 0 would make all rows equally far apart; one RuntimeWarning states the share of distances
    that were left out (a GPU gives no warning). The median of equal rows is 0. A distance counts as 0 in two
    cases: its square is at most 16 units of rounding of |x_i|^2 + |x_j|^2 of the centred rows; or it is at
    most 8 units of rounding of the numbers as stored, and at most an eighth as many distances lie between
    that limit and eight times it (not on a GPU). The latter condition keeps the distances of coarsely rounded
    data, such as float32 at an offset of 1e6.

    Parameters
    ----------
    x : array (n, d), n >= 2
        {similarity_arrays}
    include_diagonal : bool
        True takes the median over all n^2 pairs, including the n zeros of the diagonal, as in the code
        published with Kornblith et al. (2019). False (default) takes it over the off-diagonal pairs.
    {progress}

    Returns
    -------
    {scalar}

    Raises
    ------
    {errors}

    Examples
    --------
    >>> import numpy as np
    >>> median_distance(np.array([[0.0], [1.0], [3.0]]))
    2.0
    """
    function = "median_distance"
    library, (x,) = checks.read(function, [("x", x)])
    if x.shape[0] < 2:
        raise ValueError(f"{function}: at least 2 rows are needed but x has {x.shape[0]}")
    with_diagonal = as_flag(function, "include_diagonal", include_diagonal)
    report = reporter(function, progress)
    (read,) = library.detached(function, ["x"], [x])
    with ends(report):
        value = backend_of(library, x, function).median_distance(read, with_diagonal, report)
    return library.result(value, computed_in(library, [x]))
