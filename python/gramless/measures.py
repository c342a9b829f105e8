"""Measures of one embedding: uniformity, alignment of its pairs, participation ratio, Vendi score."""

from __future__ import annotations

from typing import Any

from ._arrays import checks
from ._arrays.namespaces import Array, Library
from ._counts import as_flag, as_number, positive
from ._docs import documented
from ._evaluate import Call, differentiable
from ._problems.measures import Alignment, CosineDiversity, PairMean, ParticipationRatio
from .kernels import Cosine, Encoded, KernelLike, OfDistance, as_kernel, encode

__all__ = ["alignment", "participation_ratio", "uniformity", "vendi_score"]


@differentiable
@documented
def uniformity(x: Any, t: float = 2.0, *, normalize: bool = True) -> Call:
    """How evenly the rows of x (n, d) are spread over the unit sphere; the lower, the more evenly.

    log of the mean over i < j of exp(-t |x_i - x_j|^2)  (Wang and Isola 2020, eq. 6)

    Rows are first divided by their lengths, as in the paper; with normalize=False this is the authors'
    `uniform_loss`, which expects rows of length 1. The value is 0 if all rows are equal, and about -2 t for
    random directions in many dimensions. The mean is that of an RBF kernel with sigma = 1 / sqrt(2 t): it
    needs one pass over tiles and O(n) memory beyond the workspace.

    Parameters
    ----------
    x : array (n, d), n >= 2
        {host_arrays}
    t : float
        The factor of the squared distances, above 0.
    normalize : bool
        Whether to divide each row by its length first, however small that is; a row of zeros stays 0.

    Returns
    -------
    {host_scalar}
        Differentiable with respect to x, for tensors and by `value_and_grad`. If the mean is below 1e-297 (a
        uniformity of -684), the value is -inf and its gradient is NaN. NaN and inf in the data give NaN.

    Raises
    ------
    {host_errors}

    References
    ----------
    Wang and Isola 2020, "Understanding contrastive representation learning through alignment and uniformity
    on the hypersphere", ICML, arXiv:2005.10242.

    Examples
    --------
    >>> import numpy as np
    >>> round(uniformity(np.array([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])), 6)  # log((2 e^-4 + e^-8) / 3)
    -4.396349
    """
    function = "uniformity"
    t = positive(function, "t", t)
    library, (x,) = _read(function, x)
    formula = "rbf of unit rows" if as_flag(function, "normalize", normalize) else "rbf"
    kernel: Encoded = (formula, (0.5 / t) ** 0.5, 1.0, False, None, ())
    return Call(library, PairMean(function, kernel, "log"), (x,), ("x",))


@differentiable
@documented
def alignment(x: Any, y: Any, alpha: float = 2.0, *, normalize: bool = True) -> Call:
    """Mean distance between positive pairs: row i of x (n, d) and row i of y (n, d) are a pair.

    mean_i |x_i - y_i|^alpha  (Wang and Isola 2020, eq. 5)

    Rows are first divided by their lengths, as in the paper; with normalize=False this is the authors'
    `align_loss`, which expects rows of length 1. It needs O(n) memory and O(n d) time.

    Parameters
    ----------
    x, y : array (n, d)
        {host_arrays}
    alpha : float
        The power of the distances, above 0. Pairs of equal rows add 0 to gradients, even if the power has no
        derivative there.
    normalize : bool
        Whether to divide each row by its length first, however small that is; a row of zeros stays 0.

    Returns
    -------
    {host_scalar}
        0 if all pairs are equal. Differentiable with respect to x and y, for tensors and by
        `value_and_grad`. NaN in the data gives NaN; inf gives NaN, or without normalisation inf or NaN.

    Raises
    ------
    {host_errors}

    References
    ----------
    Wang and Isola 2020, "Understanding contrastive representation learning through alignment and uniformity
    on the hypersphere", ICML, arXiv:2005.10242.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 0.0], [0.0, 3.0]])
    >>> round(alignment(x, x[:, ::-1]), 6), alignment(x, 2 * x)
    (2.0, 0.0)
    """
    function, named = "alignment", [("x", x), ("y", y)]
    alpha = positive(function, "alpha", alpha)
    library, arrays = checks.read(function, named)
    checks.sides(function, named, arrays)
    return Call(
        library,
        Alignment(function, alpha, as_flag(function, "normalize", normalize)),
        tuple(arrays),
        ("x", "y"),
    )


@differentiable
@documented
def participation_ratio(x: Any) -> Call:
    """Effective number of dimensions in which the rows of x (n, d) vary.

    (trace C)^2 / trace(C^2) = (sum of eigenvalues)^2 / sum of squared eigenvalues, where C (d, d) is the
    covariance matrix of the columns

    It is 1 if all variance is in one direction, and k if the variance is the same in k orthogonal directions
    and 0 in the others; it is at most the smaller of d and n - 1. Scaling, translating or rotating the data
    does not change it. trace(C^2) is the biased `hsic` of x with itself, computed from the d x d products of
    columns or from tiles of the n x n products of rows, whichever costs less, with O(n) memory beyond the
    workspace.

    Parameters
    ----------
    x : array (n, d), n >= 2
        {host_arrays}

    Returns
    -------
    {host_scalar}
        Differentiable with respect to x, for tensors and by `value_and_grad`. If all rows are equal up to
        rounding it is NaN, with one RuntimeWarning. NaN and inf in the data give NaN.

    Raises
    ------
    {host_errors}

    References
    ----------
    Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement", bioRxiv 214262.

    Examples
    --------
    >>> import numpy as np
    >>> round(participation_ratio(np.vstack([np.eye(4), -np.eye(4)])), 6)
    4.0
    """
    function = "participation_ratio"
    library, (x,) = _read(function, x)
    return Call(library, ParticipationRatio(function), (x,), ("x",))


@differentiable
@documented
def vendi_score(x: Any, *, kernel: KernelLike = "cosine", q: float = 2) -> Call:
    """Vendi score of order 2: the effective number of distinct rows of x (n, d).

    n^2 / sum_ij K_ij^2, where K (n, n) is the kernel matrix, whose diagonal is 1

    It is the inverse of the sum of the squared eigenvalues of K / n: from 1, if all rows are equal, to n, if
    the kernel is 0 for any two different rows. K is not stored: the square of an RBF kernel is an RBF kernel
    with sigma / sqrt(2), that of a Laplace kernel is one with sigma / 2, and the sum of squared cosines
    follows from an `hsic` of rows of length 1. It needs O(n) memory beyond the workspace.

    Parameters
    ----------
    x : array (n, d), n >= 2
        {host_arrays}
    kernel : a kernel that is 1 for equal rows, or its name
        `Cosine()`, or a kernel with a bandwidth, such as `RBF()`. If no bandwidth is given it is the median
        distance between rows, so that the score does not depend on the scale of the data. For `Cosine()`, the
        similarity of a row of zeros to every row is 0, also to itself.
    q : float
        The order; only 2 is supported. Other orders need all eigenvalues, which the package vendi_score
        computes; its default is 1.

    Returns
    -------
    {host_scalar}
        Differentiable with respect to x, for tensors and by `value_and_grad`; a median bandwidth counts as a
        constant. NaN and inf in the data give NaN, and so do rows that are all 0 with `Cosine()`.

    Raises
    ------
    {host_errors}

    References
    ----------
    Friedman and Dieng 2023, "The Vendi score: a diversity evaluation metric for machine learning", TMLR,
    arXiv:2210.02410. Pasarkar and Dieng 2024, "Cousins of the Vendi score", AISTATS, arXiv:2310.12952 (orders
    other than 1).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat(np.eye(3), 5, axis=0)  # 15 rows of three kinds
    >>> round(vendi_score(x), 6), round(vendi_score(x, kernel="rbf"), 6) < 3
    (3.0, True)
    """
    function = "vendi_score"
    order = as_number(function, "q", q)
    if order != 2:
        raise ValueError(
            f"{function}: q must be 2 but is {order!r}; other orders need all eigenvalues of the kernel "
            "matrix, which is not stored; use the package vendi_score"
        )
    chosen = as_kernel(kernel, function)
    if not isinstance(chosen, (OfDistance, Cosine)):
        raise ValueError(
            f"{function}: kernel must be 1 for equal rows, such as RBF(...), Laplace(...) or Cosine(), "
            f"but is {chosen!r}"
        )
    library, (x,) = _read(function, x)
    if isinstance(chosen, Cosine):
        return Call(library, CosineDiversity(function), (x,), ("x",))
    return Call(library, PairMean(function, encode(chosen.squared()), "diversity"), (x,), ("x",))


def _read(function: str, x: Any) -> tuple[Library, list[Array]]:
    """The library of x, and x as an array of that library, checked to have at least two rows."""
    library, arrays = checks.read(function, [("x", x)])
    if arrays[0].shape[0] < 2:
        raise ValueError(f"{function}: at least 2 rows are needed but x has {arrays[0].shape[0]}")
    return library, arrays
