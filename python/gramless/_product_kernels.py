"""The kernel functions of the dot product of two rows: frozen value objects.

`value_flops` of a kernel: what a value costs beside its dot product, for `estimate`.
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

    Wherever gramless uses it, columns are centred first, which changes neither HSIC nor CKA.

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
    """The cosine of the angle between two rows, from the origin.

    k(a, b) = <a, b> / (|a| |b|)

    It is the linear kernel of rows scaled to length 1, and is computed as that: over features where they are
    fewer than rows. The length of a row plays no part, where the origin is does: columns are not centred
    before. Rows are scaled in float64 and centred afterwards, so that rows which all lie far from the origin,
    in nearly one direction, cost no digits. Where all rows are in one direction but for the rounding of the
    numbers as they are stored, there is no CKA, as for constant rows. A row of zeros has no direction; its
    cosine with every row is 0, as in scikit-learn's `cosine_similarity`, and so is its gradient. On a GPU it
    is refused.

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
    """A power of the dot product of two rows, from the origin.

    k(a, b) = (gamma <a, b> + coef0)^degree

    It is scikit-learn's `polynomial_kernel`. With the defaults the unbiased `mmd` is the kernel inception
    distance (KID) of all rows. Columns are not centred before: where the origin is, and the unit of the data,
    are part of the kernel. With degree 1 HSIC is gamma times that of a linear kernel, whatever coef0 is.

    Rows far from the origin cost no digits. Products are those of centred rows; what the column means add to
    them is added per row, from float64, and what depends on one of the two rows alone, which changes no HSIC,
    CKA or MMD, is left out. Where float32 would lose digits, all is computed in float64. On a GPU it is
    refused.

    Parameters
    ----------
    degree : int
        From 1 to 32.
    gamma : float, optional
        What dot products are multiplied by, positive; None is 1 / d for rows of d features, each input's own.
    coef0 : float
        What is added to them, finite. With one below 0 the kernel may have negative eigenvalues, and the MMD
        be below 0.

    Raises
    ------
    ValueError
        For numbers out of range.
    TypeError
        For values of another type.

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
        if not -math.inf < coef0 < math.inf:  # which torch.compile can trace
            raise ValueError(f"Polynomial: coef0 must be finite but is {coef0!r}")
        object.__setattr__(self, "coef0", coef0)


ProductKernel: TypeAlias = Linear | Cosine | Polynomial
ProductName: TypeAlias = Literal["linear", "cosine", "polynomial"]
