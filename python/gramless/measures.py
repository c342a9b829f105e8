"""Measures of one embedding: uniformity, alignment of its pairs, participation ratio, Vendi score."""

from __future__ import annotations

from typing import Any

from ._arrays import checks
from ._arrays.namespaces import Array, Library
from ._counts import as_flag, as_number, positive
from ._evaluate import Call, differentiable
from ._problems.measures import Alignment, CosineDiversity, PairMean, ParticipationRatio
from .kernels import Cosine, Encoded, KernelLike, OfDistance, as_kernel, encode

__all__ = ["alignment", "participation_ratio", "uniformity", "vendi_score"]


@differentiable
def uniformity(x: Any, t: float = 2.0, *, normalize: bool = True) -> Call:
    """How evenly the rows of x (n, d) are spread over the unit sphere; the lower, the more evenly.

    log of the mean over i < j of exp(-t |x_i - x_j|^2)  (Wang and Isola 2020, eq. 6)

    Rows are divided by their lengths first, as the paper has them; the authors' `uniform_loss` leaves that to
    its caller, and is this with normalize=False. It is 0 where all rows are equal, and about -2 t for random
    directions of many dimensions. The mean is that of an RBF kernel with sigma = 1 / sqrt(2 t): one pass over
    tiles, and O(n) memory beyond the workspace.

    Parameters
    ----------
    x : array (n, d), n >= 2
        Of numpy or torch, any layout and real dtype, memory-mapped ones included, in the CPU's memory.
    t : float
        Above 0.
    normalize : bool
        Whether rows are first divided by their length, whatever their unit; a row of zeros stays as it is.

    Returns
    -------
    float, or for tensors a 0-d one
        Differentiable with respect to x, for tensors and by `value_and_grad`. -inf where the mean is below
        1e-297, a uniformity of -684, which float64 has no room for; its gradient is NaN. NaN and infinity in
        the data give NaN.

    Raises
    ------
    ValueError
        Where x has fewer than 2 rows, or t is not positive and finite.
    TypeError
        Where types do not fit.
    NotImplementedError
        Where x is on a GPU.

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
def alignment(x: Any, y: Any, alpha: float = 2.0, *, normalize: bool = True) -> Call:
    """How far apart the rows of positive pairs are: row i of x (n, d) belongs to row i of y (n, d).

    mean_i |x_i - y_i|^alpha  (Wang and Isola 2020, eq. 5)

    Rows are divided by their lengths first, as the paper has them; the authors' `align_loss` leaves that to
    its caller, and is this with normalize=False. Memory is O(n), and time O(n d).

    Parameters
    ----------
    x, y : arrays (n, d)
        Of numpy or torch, any layout and real dtype, memory-mapped ones included, in the CPU's memory.
    alpha : float
        Above 0. Pairs of equal rows add 0 to gradients, also with powers that have no derivative there.
    normalize : bool
        Whether rows are first divided by their length, whatever their unit; a row of zeros stays as it is.

    Returns
    -------
    float, or for tensors a 0-d one
        0 where all pairs are equal. Differentiable with respect to x and y, for tensors and by
        `value_and_grad`. NaN and infinity in the data give NaN, without normalisation perhaps infinity.

    Raises
    ------
    ValueError
        Where shapes differ, or alpha is not positive and finite.
    TypeError
        Where types do not fit.
    NotImplementedError
        Where x and y are on a GPU.

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
def participation_ratio(x: Any) -> Call:
    """In how many dimensions the rows of x (n, d) vary: (sum of eigenvalues)^2 / sum of squared eigenvalues.

    (trace C)^2 / trace(C^2), C the covariance matrix of the columns (d, d)

    It is 1 where all variance is in one direction, and k where it is the same in k of them and 0 in others,
    and so at most the smaller of d and n - 1. Neither the unit of the data nor its mean nor a rotation
    changes it. trace(C^2) is the biased `hsic` of x with itself: it is computed over the d x d products of
    columns or over tiles of the n x n products of rows, whichever costs less, in O(n) memory beyond the
    workspace.

    Parameters
    ----------
    x : array (n, d), n >= 2
        Of numpy or torch, any layout and real dtype, memory-mapped ones included, in the CPU's memory.

    Returns
    -------
    float, or for tensors a 0-d one
        Differentiable with respect to x, for tensors and by `value_and_grad`. NaN, with one RuntimeWarning,
        where all rows are equal up to rounding. NaN and infinity in the data give NaN.

    Raises
    ------
    ValueError
        Where x has fewer than 2 rows.
    TypeError
        Where types do not fit.
    NotImplementedError
        Where x is on a GPU.

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
def vendi_score(x: Any, *, kernel: KernelLike = "cosine", q: float = 2) -> Call:
    """Vendi score of order 2: how many different rows x (n, d) has, in effect.

    n^2 / sum_ij K_ij^2, K the kernel's n x n matrix, whose diagonal is 1

    It is the inverse of the sum of the squared eigenvalues of K / n, from 1, where all rows are equal, to n,
    where the kernel is 0 between any two. K is not made: the square of an RBF kernel is one of sigma /
    sqrt(2), that of a Laplace kernel one of sigma / 2, and that of cosines follows from an `hsic` of rows of
    length 1, over features where they are fewer than rows. O(n) memory beyond the workspace.

    Parameters
    ----------
    x : array (n, d), n >= 2
        Of numpy or torch, any layout and real dtype, memory-mapped ones included, in the CPU's memory.
    kernel : a kernel that is 1 for equal rows, or its name
        `Cosine()`, or one with a bandwidth, such as `RBF()`. A bandwidth that is not given is the median
        distance between rows, which makes the score one of shape, not of scale. Of `Cosine()` a row of zeros
        is like no row, itself included.
    q : 2
        The order. Others need all eigenvalues, which the package vendi_score computes: its default is 1.

    Returns
    -------
    float, or for tensors a 0-d one
        Differentiable with respect to x, for tensors and by `value_and_grad`; a median bandwidth counts as a
        constant. NaN and infinity in the data give NaN, and so do rows that are all zeros with `Cosine()`.

    Raises
    ------
    ValueError
        Where x has fewer than 2 rows, for a kernel that is not 1 for equal rows, and another order.
    TypeError
        Where types do not fit.
    NotImplementedError
        Where x is on a GPU.

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
            f"{function}: q must be 2 but is {order!r}; other orders need all eigenvalues of the kernel's "
            "matrix, which is not stored here: the package vendi_score computes them"
        )
    chosen = as_kernel(kernel, function)
    if not isinstance(chosen, (OfDistance, Cosine)):
        raise ValueError(
            f"{function}: kernel must be 1 for equal rows, as RBF(...), Laplace(...) and Cosine() are, "
            f"but is {chosen!r}"
        )
    library, (x,) = _read(function, x)
    if isinstance(chosen, Cosine):
        return Call(library, CosineDiversity(function), (x,), ("x",))
    return Call(library, PairMean(function, encode(chosen.squared()), "diversity"), (x,), ("x",))


def _read(function: str, x: Any) -> tuple[Library, list[Array]]:
    """The library of x, and x as its array of at least two rows."""
    library, arrays = checks.read(function, [("x", x)])
    if arrays[0].shape[0] < 2:
        raise ValueError(f"{function}: at least 2 rows are needed but x has {arrays[0].shape[0]}")
    return library, arrays
