"""The functions of the code published with Kornblith et al. 2019, without its Gram matrices."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._alignment import aligned
from .._arrays import checks
from .._arrays.frames import check_row_labels
from .._masked import check_unmasked
from ..hsic import cka as cka_of_rows
from ..kernels import RBF, Estimator, Kernel, Linear
from ..reference.gram import gram as reference_gram
from ..reference.hsic import ESTIMATORS, LEAST_ROWS
from ._paragraphs import documented


@dataclass(frozen=True, eq=False)
class Gram:
    """A Gram matrix that is not computed: rows x (n, d) and a kernel.

    `cka` reads the rows. `numpy.asarray` computes the matrix (n, n), in float64.

    Parameters
    ----------
    x : array (n, d)
        The rows; a table keeps its labels.
    kernel : kernel
        Such as `gramless.RBF()`.

    Raises
    ------
    ValueError
        By `cka`: if x does not have two dimensions or is empty.
    TypeError
        By `cka`: if x does not hold real numbers.

    Examples
    --------
    >>> gram_linear(np.array([[1.0, 2.0], [3.0, 4.0]]))
    Gram(2 x 2, Linear())
    >>> np.asarray(gram_linear(np.array([[1.0, 2.0], [3.0, 4.0]])))
    array([[ 5., 11.],
           [11., 25.]])
    """

    x: Any = field(repr=False)  # a table stays one, for its row labels
    kernel: Kernel

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"Gram({rows} x {columns}, {self.kernel!r})"

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)"""
        return len(self.x), len(self.x)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The matrix itself, n x n float64."""
        x = np.asarray(_arrays.without_tensors("Gram", "x", self.x), np.float64)
        matrix = x @ x.T if isinstance(self.kernel, Linear) else reference_gram(x, self.kernel)
        return matrix.astype(np.float64 if dtype is None else dtype, copy=False)


def gram_linear(x: Any) -> Gram:
    """The Gram matrix x x' of the rows of x (n, d) for `cka`, which is not computed.

    Parameters
    ----------
    x : array (n, d)
        One row for each example.

    Returns
    -------
    Gram
        `numpy.asarray` of it computes the matrix.

    Raises
    ------
    ValueError
        If x does not have two dimensions or is empty.
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> np.asarray(gram_linear([[1.0, 2.0], [3.0, 4.0]]))
    array([[ 5., 11.],
           [11., 25.]])
    """
    return _promised("gram_linear", x, Linear())


def gram_rbf(x: Any, threshold: float = 1.0) -> Gram:
    """The Gram matrix exp(-|x_i - x_j|^2 / (2 threshold^2 median |x_i - x_j|^2)) for `cka`, not computed.

    The median is exact, over all n^2 entries including the zeros of the diagonal, as in the published code.

    Parameters
    ----------
    x : array (n, d)
        One row for each example.
    threshold : float
        The bandwidth as a multiple of the median distance; above 0.

    Returns
    -------
    Gram
        `numpy.asarray` of it computes the matrix.

    Raises
    ------
    ValueError
        If x does not have two dimensions or is empty, or threshold is not positive.
    TypeError
        If x does not hold real numbers, or threshold is not a number.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 4))
    >>> round(cka(gram_rbf(x, 0.5), gram_rbf(2 * x, 0.5)), 6)
    1.0
    """
    return _promised("gram_rbf", x, RBF(scale=threshold, include_diagonal=True))


@documented
def cka(gram_x: Any, gram_y: Any, debiased: bool = False) -> float:
    """CKA of two Gram matrices of the same n examples.

    Parameters
    ----------
    gram_x, gram_y : Gram, or array (n, n)
        Results of `gram_linear` or `gram_rbf`, whose matrices are not computed if both are such, or matrices,
        which are used in float64.
    debiased : bool
        False is the biased estimator, the default of the published code; True is the unbiased one (Song et
        al. 2012), the default of `gramless.cka`.

    Returns
    -------
    float
        NaN with a RuntimeWarning if a Gram matrix is constant.

    Raises
    ------
    ValueError
        If shapes differ, a matrix is not square, or there are fewer than 2 rows, for debiased=True 4.
    TypeError
        If an argument does not hold real numbers.

    References
    ----------
    {kornblith}
    Song, Smola, Gretton, Bedo and Borgwardt 2012, "Feature selection via dependence maximization", JMLR 13.

    Examples
    --------
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> y = rng.randn(100, 10) + x
    >>> round(cka(gram_linear(x), gram_linear(y), debiased=True), 9)
    0.51345649
    """
    estimator: Estimator = "unbiased" if debiased else "biased"
    if isinstance(gram_x, Gram) and isinstance(gram_y, Gram):
        return float(
            cka_of_rows(gram_x.x, gram_y.x, kernel=gram_x.kernel, kernel_y=gram_y.kernel, estimator=estimator)
        )
    named = [("gram_x", gram_x), ("gram_y", gram_y)]
    check_row_labels("cka", [(name, gram.x if isinstance(gram, Gram) else gram) for name, gram in named])
    k, l = (_matrix(name, gram) for name, gram in named)
    if k.shape != l.shape:
        raise ValueError(f"cka: gram_x has shape {k.shape} but gram_y has {l.shape}")
    if len(k) < LEAST_ROWS[estimator]:
        raise ValueError(
            f"cka: the {estimator} estimator needs at least {LEAST_ROWS[estimator]} rows "
            f"but gram_x has {len(k)}"
        )
    of = ESTIMATORS[estimator]
    xx, yy = of(k, k), of(l, l)
    if xx <= 0 or yy <= 0:
        warnings.warn(
            "cka: the CKA is NaN, because a Gram matrix is constant: its HSIC with itself is not positive",
            RuntimeWarning,
            stacklevel=2,
        )
        return float("nan")
    return float(aligned(float(of(k, l)), xx, yy))


@documented
def feature_space_linear_cka(features_x: Any, features_y: Any, debiased: bool = False) -> float:
    """Linear CKA of the rows of features_x (n, p) with those of features_y (n, q).

    It is computed from sums over features or over examples, whichever takes less time.

    Parameters
    ----------
    features_x, features_y : array (n, p) and (n, q)
        {similarity_arrays}
    debiased : bool
        False is the biased estimator, the default of the published code; True is the unbiased one (Song et
        al. 2012), the default of `gramless.cka`.

    Returns
    -------
    float
        NaN with a RuntimeWarning if an input is constant.

    Raises
    ------
    {errors}

    References
    ----------
    {kornblith}

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 4))
    >>> round(feature_space_linear_cka(x, x + 1), 6)
    1.0
    """
    estimator: Estimator = "unbiased" if debiased else "biased"
    return float(cka_of_rows(features_x, features_y, estimator=estimator))


def _promised(function: str, x: Any, kernel: Kernel) -> Gram:
    _, (rows,) = checks.read(function, [("x", x)])
    return Gram(x if hasattr(x, "columns") else rows, kernel)


def _matrix(name: str, gram: Any) -> npt.NDArray[np.float64]:
    check_unmasked("cka", name, gram)
    gram = _arrays.without_tensors("cka", name, gram)
    try:
        matrix = np.asarray(gram, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"cka: {name} must hold real numbers but is {type(gram).__name__} ({error})"
        ) from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"cka: {name} must be a square matrix but has shape {matrix.shape}")
    return matrix
