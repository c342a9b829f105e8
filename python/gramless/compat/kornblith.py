"""The functions of the code published with Kornblith et al. 2019, without the Gram matrices they pass."""

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


@dataclass(frozen=True, eq=False)
class Gram:
    """A promise of a Gram matrix: rows x (n, d) and a kernel. `cka` reads the rows; numpy gets the matrix.

    Examples
    --------
    >>> gram_linear(np.array([[1.0, 2.0], [3.0, 4.0]]))
    Gram(2 x 2, Linear())
    >>> np.asarray(gram_linear(np.array([[1.0, 2.0], [3.0, 4.0]])))
    array([[ 5., 11.],
           [11., 25.]])
    """

    x: Any = field(repr=False)  # a table as it was given, for its row labels
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
    """The Gram matrix x x' of the rows of x (n, d), as a promise for `cka`.

    Raises
    ------
    ValueError
        Where x is no such array.
    TypeError
        Where x is no such array.
    """
    return _promised("gram_linear", x, Linear())


def gram_rbf(x: Any, threshold: float = 1.0) -> Gram:
    """exp(-|x_i - x_j|^2 / (2 threshold^2 median |x_i - x_j|^2)), as a promise for `cka`.

    The median is over all n^2 entries, the zeros of the diagonal included, as in the published code, and
    exact.

    Raises
    ------
    ValueError
        Where x is no array (n, d) or threshold not positive.
    TypeError
        Where x is no array (n, d) or threshold not positive.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 4))
    >>> round(cka(gram_rbf(x, 0.5), gram_rbf(2 * x, 0.5)), 6)
    1.0
    """
    return _promised("gram_rbf", x, RBF(scale=threshold, include_diagonal=True))


def cka(gram_x: Any, gram_y: Any, debiased: bool = False) -> float:
    """CKA of two Gram matrices, as promises of `gram_linear` and `gram_rbf` or as arrays (n, n).

    debiased=False is the biased estimator, their default; True is ours, "unbiased" (Song et al. 2012).
    Promises are never made into matrices; arrays are used as they are, in float64.

    Raises
    ------
    ValueError
        Where shapes do not fit.

    References
    ----------
    Kornblith et al. 2019, arXiv:1905.00414.

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
            "cka: the CKA is NaN where a Gram matrix is constant, its HSIC with itself not positive",
            RuntimeWarning,
            stacklevel=2,
        )
        return float("nan")
    return float(aligned(float(of(k, l)), xx, yy))


def feature_space_linear_cka(features_x: Any, features_y: Any, debiased: bool = False) -> float:
    """Linear CKA of the rows of features_x (n, p) with those of features_y (n, q).

    Feature space or example space, whichever costs less; otherwise as `cka` of `gram_linear`.

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
