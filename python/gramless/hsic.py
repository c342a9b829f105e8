"""HSIC and CKA as users call them: each call becomes a problem, which is evaluated."""

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


_BY_NAME = {  # problems whose options are names, made once
    (function, kernel, estimator): _problem(function, kernel, None, estimator, function)
    for function in ("cka", "hsic")
    for kernel in FORMULAS
    for estimator in get_args(Estimator)
}


def pair(function: str, x: Any, y: Any, kernel: Any, kernel_y: Any, estimator: Any, form: str) -> Call:
    """The problem of one pair of representations; `form` as in `Hsic`."""
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

    unbiased: [sum K~ L~ + s_K s_L / ((n-1)(n-2)) - 2/(n-2) sum_i r_i^K r_i^L] / (n (n-3)), the diagonals
    of K~ and L~ zero, r their row sums, s their totals (Song et al. 2012, eq. 5).

    No n x n memory is used beyond the workspace (`set_workspace_limit`).

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
    Tensors get gradients, of their own dtype; a bandwidth that is a median is a constant for them. Those of
    a CKA with respect to row i have a length of about 1 / (n |x_i|): in float16 they lose digits below 6e-5,
    as those of 256 rows of 512 standard normal numbers do, and are 0 below 3e-8. Scale the loss, as
    torch.amp.GradScaler does, or pass float32 or bfloat16. Those of an HSIC grow with the third
    power of the rows' lengths, with linear kernels, and are inf in float16 for long rows.

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

    cka = hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)), the same estimator in all three places (Kornblith et al.
    2019). "unbiased", the default, is the debiased CKA, which may be slightly negative; "biased" tends to 1
    for p >> n whatever the data (Murphy et al. 2024). Nothing is clamped.

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
        A degenerate input, such as a constant one, gives NaN and one RuntimeWarning.

    Raises
    ------
    {errors}

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited",
    arXiv:1905.00414. Murphy, Zylberberg and Fyshe 2024, arXiv:2405.01012.

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
    """Distance correlation of the rows of x (n, p) with the rows of y (n, q): of any dependence.

    R = sqrt(dcov^2(x, y) / sqrt(dcov^2(x, x) dcov^2(y, y))), dcov^2 the mean of A_ij B_ij, A and B the n x n
    distances |x_i - x_j|^exponent and |y_i - y_j|^exponent with their row and column means removed. In the
    limit of many rows it is 0 only where x and y are independent, which Pearson's is of much else. It is the
    root of the biased `cka` with the kernel `Distance(exponent)`, in O(n) memory beyond the workspace.

    Parameters
    ----------
    x, y : array (n, p) and (n, q)
        {similarity_arrays}
        In the CPU's memory.
    exponent : float
        Above 0 and below 2; with 2 it is about linear dependence alone.
    bias_corrected : bool
        R tends to 1 as columns grow in number, also of independent rows. True gives the bias-corrected
        square of it, an unbiased `cka`, about 0 of those and perhaps negative, which has no root.

    Returns
    -------
    {scalar}
        dcor's `distance_correlation`; with bias_corrected its `u_distance_correlation_sqr`, R's `bcdcor`. A
        constant input gives NaN and one RuntimeWarning, where dcor gives 0.

    Raises
    ------
    {errors}
    NotImplementedError
        Where x and y are on a GPU.

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

    sqrt(median over i != j of |x_i - x_j|^2); an even count averages the middle two squares. It is the
    bandwidth of `RBF()`. The squared distances are counted; few are stored.

    Where more than half of the distances are 0 up to rounding, the median is that of the others: a bandwidth
    of 0 compares nothing. Those are squared distances of at most 16 units of rounding in |x_i|^2 + |x_j|^2 of
    the centred rows, or distances of at most 8 units of it in the numbers as they are stored, if those up to
    eight times as large are no more than an eighth of these (not on a GPU): numbers of few digits, such as
    float32 at an offset of 1e6, are taken as they are. One RuntimeWarning has the share of the distances left
    out; on a GPU there is none. Of equal rows it is 0.

    Parameters
    ----------
    x : array (n, d), n >= 2
        {similarity_arrays}
    include_diagonal : bool
        Whether the median is over all n^2 pairs, the n zeros included, as the code published with Kornblith
        et al. (2019) has it.
    progress : bool or callable
        True shows a progress bar, a callable receives (done, total).

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
