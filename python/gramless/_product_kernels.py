"""The kernel functions of the dot product of two rows: frozen value objects.

`value_flops`: the floating-point operations of one kernel value beside its dot product, for `estimate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from ._counts import as_number, at_least, positive
from ._distance_kernels import option

__all__ = ["Cosine", "Linear", "Polynomial"]


@dataclass(frozen=True)
class Linear:
    """The dot product of two rows.

    k(a, b) = <a, b>

    All functions centre the columns first, which changes neither HSIC nor CKA.

    Examples
    --------
    >>> Linear() == Linear()
    True
    """

    formula: ClassVar = "linear"
    has_bandwidth: ClassVar = False
    on_gpu: ClassVar = True
    value_flops: ClassVar = 5.0


@dataclass(frozen=True)
class Cosine:
    """The cosine of the angle between two rows as vectors from the origin.

    k(a, b) = <a, b> / (|a| |b|)

    It is the linear kernel of rows scaled to length 1, and it is computed as such: from products of features
    if these are fewer than the rows. The length of a row does not matter, but the origin does, so that
    columns are not centred before the scaling. Rows are scaled in float64 and then centred, so that rows far
    from the origin, all in nearly the same direction, lose no accuracy. If all rows have the same direction
    within the rounding error of their dtype, CKA is not defined, as for constant rows. A row of zeros has no
    direction: its cosine with every row is 0, as in scikit-learn's `cosine_similarity`, and its gradient is
    0. For arrays of a GPU, this kernel raises NotImplementedError.

    Examples
    --------
    >>> Cosine() == Cosine()
    True
    """

    formula: ClassVar = "cosine"
    has_bandwidth: ClassVar = False
    on_gpu: ClassVar = False
    value_flops: ClassVar = 5.0


@dataclass(frozen=True)
class Polynomial:
    """A power of the dot product of two rows as vectors from the origin.

    k(a, b) = (gamma <a, b> + coef0)^degree

    It equals scikit-learn's `polynomial_kernel`. With the defaults the unbiased `mmd` is the kernel inception
    distance (KID) of all rows. Columns are not centred: the result depends on the origin and on the unit of
    the data. With degree 1, HSIC is gamma times that of a linear kernel for any coef0.

    Rows far from the origin lose no accuracy: dot products are computed from centred rows, the contribution
    of the column means is added in float64, and terms of one row alone, which change no HSIC, CKA or MMD, are
    left out. Data that float32 cannot resolve are computed in float64. For arrays of a GPU, this kernel
    raises NotImplementedError.

    Parameters
    ----------
    degree : int
        The power, from 1 to 32.
    gamma : float, optional
        The positive factor of the dot products. None (default) is 1 / d, where d is the number of features of
        each input.
    coef0 : float
        The finite number added to the scaled dot products. If it is below 0, the kernel may have negative
        eigenvalues, so that the MMD may be negative.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    TypeError
        If a parameter has another type.

    References
    ----------
    Binkowski, Sutherland, Arbel and Gretton 2018, "Demystifying MMD GANs", arXiv:1801.01401.

    Examples
    --------
    >>> Polynomial()
    Polynomial(degree=3, gamma=None, coef0=1.0)
    >>> Polynomial(degree=0)
    Traceback (most recent call last):
    ValueError: Polynomial: degree must be at least 1 but is 0
    """

    formula: ClassVar = "polynomial"
    has_bandwidth: ClassVar = False
    on_gpu: ClassVar = False
    value_flops: ClassVar = 15.0

    degree: int = option(3, "Of --kernel polynomial.  [default: 3]")
    gamma: float | None = option(None, "Of --kernel polynomial.  [default: 1 / features]")
    coef0: float = option(1.0, "Of --kernel polynomial.  [default: 1]")

    def __post_init__(self) -> None:
        degree = at_least(1, "Polynomial", "degree", self.degree, "an integer")
        if degree > 32:
            raise ValueError(f"Polynomial: degree must be at most 32 but is {degree}")
        object.__setattr__(self, "degree", degree)
        if self.gamma is not None:
            gamma = positive("Polynomial", "gamma", self.gamma, "a number or None")
            object.__setattr__(self, "gamma", gamma)
        coef0 = as_number("Polynomial", "coef0", self.coef0)
        if not -math.inf < coef0 < math.inf:  # torch.compile traces this, unlike math.isfinite
            raise ValueError(f"Polynomial: coef0 must be finite but is {coef0!r}")
        object.__setattr__(self, "coef0", coef0)


ProductKernel: TypeAlias = Linear | Cosine | Polynomial
ProductName: TypeAlias = Literal["linear", "cosine", "polynomial"]
