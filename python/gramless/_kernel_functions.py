"""The kernel functions: frozen value objects. `kernels` has their names and how they are encoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ._counts import as_flag, as_number, at_least, positive


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


@dataclass(frozen=True)
class OfDistance:
    """The base of kernels of the distance between two rows, with a bandwidth that is given or found."""

    has_bandwidth: ClassVar = True
    on_gpu: ClassVar = True

    sigma: float | None = None
    scale: float = 1.0
    include_diagonal: bool = False
    median_rows: int | None = None

    def __post_init__(self) -> None:
        kernel = type(self).__name__
        if self.sigma is not None:
            object.__setattr__(self, "sigma", positive(kernel, "sigma", self.sigma, "a number or None"))
        object.__setattr__(self, "scale", positive(kernel, "scale", self.scale, "a number"))
        object.__setattr__(
            self, "include_diagonal", as_flag(kernel, "include_diagonal", self.include_diagonal)
        )
        if self.median_rows is not None:
            object.__setattr__(
                self,
                "median_rows",
                at_least(2, kernel, "median_rows", self.median_rows, "an integer or None"),
            )


@dataclass(frozen=True)
class RBF(OfDistance):
    """The Gaussian of the distance between two rows.

    k(a, b) = exp(-|a - b|^2 / (2 sigma^2))

    Parameters
    ----------
    sigma : float, optional
        The bandwidth, in the units of the data. None takes sigma^2 = scale^2 * median |a - b|^2, separately
        for every input of the kernel, so that the units of the data do not matter. Where more than half of
        the distances are 0, or no larger than their rounding, the median is that of the others, with one
        RuntimeWarning; on a GPU without one.
    scale : float
        Multiplies the median distance; unused when sigma is given.
    include_diagonal : bool
        Whether that median is over all n^2 entries, the n zeros of the diagonal included, as the code
        published with Kornblith et al. (2019) has it; by default it is over the off-diagonal pairs.
    median_rows : int, optional
        None is the exact median of all rows, however many; a number takes that of a seeded sample of so many
        rows where there are more, which is faster and not exact.

    Raises
    ------
    ValueError
        For a sigma or scale that is not positive and finite and for median_rows below 2.
    TypeError
        For values of another type.

    Examples
    --------
    >>> RBF(scale=0.5)
    RBF(sigma=None, scale=0.5, include_diagonal=False, median_rows=None)
    >>> RBF(sigma=0)
    Traceback (most recent call last):
    ValueError: RBF: sigma must be positive and finite but is 0.0
    """

    formula: ClassVar = "rbf"


@dataclass(frozen=True)
class Laplace(OfDistance):
    """The exponential of the distance between two rows, a kernel with heavier tails than `RBF`.

    k(a, b) = exp(-|a - b| / sigma)

    The distance |a - b| is Euclidean; scikit-learn's `laplacian_kernel` has the sum of absolute differences
    (L1) in its place. The kernel has no derivative where two rows are equal; such pairs add 0 to gradients.
    Distances of rows near each other are computed from their differences, where those from dot products would
    be rounding. On a GPU there are values and no gradients.

    Parameters
    ----------
    sigma : float, optional
        The bandwidth, in the units of the data. None takes scale * the median distance between rows,
        separately for every input of the kernel, exactly as `RBF` does.
    scale : float
        Multiplies the median distance; unused when sigma is given.
    include_diagonal, median_rows
        Of which distances the median is; as in `RBF`.

    Raises
    ------
    ValueError
        For a sigma or scale that is not positive and finite and for median_rows below 2.
    TypeError
        For values of another type.

    Examples
    --------
    >>> Laplace(sigma=2)
    Laplace(sigma=2.0, scale=1.0, include_diagonal=False, median_rows=None)
    >>> Laplace(scale=0)
    Traceback (most recent call last):
    ValueError: Laplace: scale must be positive and finite but is 0.0
    """

    formula: ClassVar = "laplace"


@dataclass(frozen=True)
class Distance:
    """The distance between two rows itself: HSIC and CKA are distance covariance and distance correlation.

    k(a, b) = -|a - b|^exponent

    Unbiased CKA is the bias-corrected squared distance correlation, biased CKA the squared distance
    correlation; unbiased HSIC is the bias-corrected squared distance covariance, and biased HSIC
    n^2 / (n - 1)^2 times the squared distance covariance. In the package dcor they are
    `u_distance_correlation_sqr`, `distance_correlation_sqr`, `u_distance_covariance_sqr` and
    `distance_covariance_sqr`. With exponents below 2 they are 0 only for independent rows; with 2 they are
    those of a linear kernel, HSIC 4 times as large. CKA does not depend on the unit of the data, and there is
    no bandwidth.

    Distances of rows near each other are computed from their differences. The kernel has no derivative where
    two rows are equal; such pairs add 0 to gradients. With exponents below 0.5 all is computed in float64. On
    a GPU it is refused.

    Parameters
    ----------
    exponent : float
        Above 0 and at most 2.

    Raises
    ------
    ValueError
        For an exponent out of that range.
    TypeError
        For values of another type.

    References
    ----------
    Szekely, Rizzo and Bakirov 2007, "Measuring and testing dependence by correlation of distances". Szekely
    and Rizzo 2014, "Partial distance correlation with methods for dissimilarities". Sejdinovic,
    Sriperumbudur, Gretton and Fukumizu 2013, "Equivalence of distance-based and RKHS-based statistics in
    hypothesis testing".

    Examples
    --------
    >>> Distance()
    Distance(exponent=1.0)
    >>> Distance(exponent=3)
    Traceback (most recent call last):
    ValueError: Distance: exponent must be at most 2 but is 3.0
    """

    formula: ClassVar = "distance"
    has_bandwidth: ClassVar = False
    on_gpu: ClassVar = False

    exponent: float = 1.0

    def __post_init__(self) -> None:
        exponent = positive("Distance", "exponent", self.exponent, "a number")
        if exponent > 2:
            raise ValueError(f"Distance: exponent must be at most 2 but is {exponent!r}")
        object.__setattr__(self, "exponent", exponent)


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

    degree: int = 3
    gamma: float | None = None
    coef0: float = 1.0

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
