"""The kernel functions of the distance between two rows: frozen value objects.

`value_flops`: the floating-point operations of one kernel value beside its dot product, for `estimate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ._counts import as_flag, at_least, positive
from ._paragraphs import documented_bandwidth

__all__ = ["RBF", "Distance", "Laplace", "RationalQuadratic"]

Floats: TypeAlias = npt.NDArray[np.float64]


def option(default: Any, text: str, name: str | None = None) -> Any:
    """A field of a kernel with its default, and the help and, where it differs, the name of its option on the
    command line.
    """
    return field(default=default, metadata={"help": text, "option": name})


@dataclass(frozen=True)
class OfDistance:
    """Base class of kernels of the distance between two rows, with a given bandwidth or a median one."""

    has_bandwidth: ClassVar = True
    on_gpu: ClassVar = True

    sigma: float | None = option(None, "Bandwidth itself, in the units of the activations.")
    scale: float = option(1.0, "Bandwidth as a multiple of the median distance.  [default: 1]")
    include_diagonal: bool = False
    median_rows: int | None = option(
        None, "Compute the median from a sample of this many rows.  [default: all rows]"
    )

    def __post_init__(self) -> None:
        kernel = type(self).__name__
        if self.sigma is not None:
            object.__setattr__(self, "sigma", positive(kernel, "sigma", self.sigma, "a number or None"))
        object.__setattr__(self, "scale", positive(kernel, "scale", self.scale, "a number"))
        diagonal = as_flag(kernel, "include_diagonal", self.include_diagonal)
        object.__setattr__(self, "include_diagonal", diagonal)
        if self.median_rows is not None:
            rows = at_least(2, kernel, "median_rows", self.median_rows, "an integer or None")
            object.__setattr__(self, "median_rows", rows)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters of the kernel other than its bandwidth."""
        return ()

    def _with_bandwidth(self, factor: float, *numbers: float) -> Self:
        """This kernel with its bandwidth times `factor`, and with `numbers` for its other parameters."""
        sigma = None if self.sigma is None else self.sigma * factor
        return type(self)(sigma, self.scale * factor, self.include_diagonal, self.median_rows, *numbers)


@documented_bandwidth
@dataclass(frozen=True)
class RBF(OfDistance):
    """The Gaussian of the distance between two rows.

    k(a, b) = exp(-|a - b|^2 / (2 sigma^2))

    Parameters
    ----------
    sigma : float, optional
        The bandwidth, in the units of the data. None sets sigma^2 = scale^2 * median |a - b|^2,
        {tied}
        The result then does not depend on the units of the data.
    {median}

    Raises
    ------
    ValueError
        If sigma or scale is not positive and finite, or median_rows is below 2.
    TypeError
        If a value has another type.

    Examples
    --------
    >>> RBF(scale=0.5)
    RBF(sigma=None, scale=0.5, include_diagonal=False, median_rows=None)
    >>> RBF(sigma=0)
    Traceback (most recent call last):
    ValueError: RBF: sigma must be positive and finite but is 0.0
    """

    formula: ClassVar = "rbf"
    value_flops: ClassVar = 15.0

    @staticmethod
    def of_squared_distance(distance2: Floats, sigma: float) -> Floats:
        """Its values."""
        return np.asarray(np.exp(-distance2 / (2 * sigma**2)))

    def squared(self) -> RBF:
        """The kernel whose values are the squares of these."""
        return self._with_bandwidth(2**-0.5)


@documented_bandwidth
@dataclass(frozen=True)
class Laplace(OfDistance):
    """The exponential of the distance between two rows, a kernel with heavier tails than `RBF`.

    k(a, b) = exp(-|a - b| / sigma)

    The distance |a - b| is Euclidean; scikit-learn's `laplacian_kernel` uses the sum of absolute differences
    (L1) instead. The kernel has no derivative where two rows are equal; such pairs add 0 to gradients.
    Distances between nearby rows are computed from their differences, because those from dot products would
    consist of rounding errors. A GPU computes values but no gradients.

    Parameters
    ----------
    sigma : float, optional
        The bandwidth, in the units of the data. None sets it to scale * the median distance between rows,
        {tied}
    {median}

    Raises
    ------
    ValueError
        If sigma or scale is not positive and finite, or median_rows is below 2.
    TypeError
        If a value has another type.

    Examples
    --------
    >>> Laplace(sigma=2)
    Laplace(sigma=2.0, scale=1.0, include_diagonal=False, median_rows=None)
    >>> Laplace(scale=0)
    Traceback (most recent call last):
    ValueError: Laplace: scale must be positive and finite but is 0.0
    """

    formula: ClassVar = "laplace"
    value_flops: ClassVar = 270.0

    @staticmethod
    def of_squared_distance(distance2: Floats, sigma: float) -> Floats:
        """Its values."""
        return np.asarray(np.exp(-np.sqrt(distance2) / sigma))

    def squared(self) -> Laplace:
        """The kernel whose values are the squares of these."""
        return self._with_bandwidth(0.5)


@dataclass(frozen=True)
class Distance:
    """The negative distance between two rows: HSIC and CKA are distance covariance and distance correlation.

    k(a, b) = -|a - b|^exponent

    Unbiased CKA is the bias-corrected squared distance correlation, and biased CKA is the squared distance
    correlation; unbiased HSIC is the bias-corrected squared distance covariance, and biased HSIC
    n^2 / (n - 1)^2 times the squared distance covariance. In the package dcor they are
    `u_distance_correlation_sqr`, `distance_correlation_sqr`, `u_distance_covariance_sqr` and
    `distance_covariance_sqr`. With an exponent below 2, the population values are 0 only for independent
    variables. With 2, CKA is that of a linear kernel and HSIC is 4 times as large. CKA does not depend on the
    unit of the data, and there is no bandwidth.

    Distances between nearby rows are computed from their differences. The kernel has no derivative where two
    rows are equal; such pairs add 0 to gradients. Exponents below 0.5 are computed in float64. For arrays of
    a GPU, this kernel raises NotImplementedError.

    Parameters
    ----------
    exponent : float
        The power of the distance, above 0 and at most 2.

    Raises
    ------
    ValueError
        If exponent is outside that range.
    TypeError
        If exponent is not a number.

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
    value_flops: ClassVar = 270.0

    exponent: float = option(1.0, "Of --kernel distance.  [default: 1]")

    def __post_init__(self) -> None:
        exponent = positive("Distance", "exponent", self.exponent, "a number")
        if exponent > 2:
            raise ValueError(f"Distance: exponent must be at most 2 but is {exponent!r}")
        object.__setattr__(self, "exponent", exponent)

    @staticmethod
    def of_squared_distance(distance2: Floats, exponent: float) -> Floats:
        """Its values."""
        return np.asarray(-(distance2 ** (exponent / 2)))


@documented_bandwidth
@dataclass(frozen=True)
class RationalQuadratic(OfDistance):
    """A mixture of Gaussians of different widths, whose tails decay as a power of the distance.

    k(a, b) = (1 + |a - b|^2 / (2 alpha sigma^2))^-alpha

    The kernel still distinguishes rows that are many bandwidths apart, for which an RBF kernel is 0: for
    example in an `mmd` of two samples far from each other. For large alpha it approaches `RBF` with the same
    sigma; alpha = 1 / 2 is an inverse multiquadric. It equals scikit-learn's `RationalQuadratic` with
    length_scale = sigma. Distances between nearby rows are computed from their differences; alpha above 8 is
    computed in float64. For arrays of a GPU, this kernel raises NotImplementedError.

    Parameters
    ----------
    sigma : float, optional
        The bandwidth, in the units of the data. None sets it to scale * the median distance between rows,
        {tied}
    {median}
    alpha : float
        From 0.01 to 100; the smaller alpha is, the heavier the tails are.

    Raises
    ------
    ValueError
        If sigma or scale is not positive and finite, median_rows is below 2, or alpha is out of range.
    TypeError
        If a value has another type.

    References
    ----------
    Rasmussen and Williams 2006, "Gaussian processes for machine learning", eq. 4.19. Binkowski, Sutherland,
    Arbel and Gretton 2018, "Demystifying MMD GANs", arXiv:1801.01401, whose mixture is the sum of the `mmd`
    with alpha = 0.2, 0.5, 1, 2 and 5.

    Examples
    --------
    >>> RationalQuadratic(alpha=0.5)
    RationalQuadratic(sigma=None, scale=1.0, include_diagonal=False, median_rows=None, alpha=0.5)
    >>> RationalQuadratic(alpha=0)
    Traceback (most recent call last):
    ValueError: RationalQuadratic: alpha must be positive and finite but is 0.0
    """

    formula: ClassVar = "rational_quadratic"
    on_gpu: ClassVar = False
    value_flops: ClassVar = 270.0

    alpha: float = option(1.0, "Of --kernel rational_quadratic.  [default: 1]", "kernel_alpha")

    def __post_init__(self) -> None:
        super().__post_init__()
        alpha = positive("RationalQuadratic", "alpha", self.alpha, "a number")
        if not 0.01 <= alpha <= 100:
            raise ValueError(f"RationalQuadratic: alpha must be from 0.01 to 100 but is {alpha!r}")
        object.__setattr__(self, "alpha", alpha)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The parameters of the kernel other than its bandwidth: alpha."""
        return (self.alpha,)

    @staticmethod
    def of_squared_distance(distance2: Floats, sigma: float, alpha: float) -> Floats:
        """Its values."""
        return np.asarray(np.exp(-alpha * np.log1p(distance2 / (2 * alpha * sigma**2))))

    def squared(self) -> RationalQuadratic:
        """The kernel whose values are the squares of these."""
        return self._with_bandwidth(2**-0.5, 2 * self.alpha)


DistanceKernel: TypeAlias = RBF | Laplace | Distance | RationalQuadratic
DistanceName: TypeAlias = Literal["rbf", "laplace", "distance", "rational_quadratic"]
