"""Kernel functions as frozen value objects, and the names users may write instead of them.

Knows nothing of arrays, devices or the compiled core, so that every other module can import it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, cast, get_args

from ._counts import as_number, at_least

__all__ = [
    "FORMULAS",
    "RBF",
    "Encoded",
    "Estimator",
    "Kernel",
    "KernelLike",
    "Laplace",
    "Linear",
    "OfDistance",
    "as_estimator",
    "as_kernel",
    "encode",
    "has_bandwidth",
    "wants_median",
    "with_sigma",
]


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


def _positive(kernel: str, name: str, value: Any, wanted: str) -> float:
    number = as_number(kernel, name, value, wanted)
    if not 0 < number < math.inf:  # which torch.compile can trace
        raise ValueError(f"{kernel}: {name} must be positive and finite but is {number!r}")
    return number


@dataclass(frozen=True)
class OfDistance:
    """What kernels of the distance between two rows have in common: a bandwidth, given or found."""

    has_bandwidth: ClassVar = True

    sigma: float | None = None
    scale: float = 1.0
    include_diagonal: bool = False
    median_rows: int | None = None

    def __post_init__(self) -> None:
        kernel = type(self).__name__
        if self.sigma is not None:
            object.__setattr__(self, "sigma", _positive(kernel, "sigma", self.sigma, "a number or None"))
        object.__setattr__(self, "scale", _positive(kernel, "scale", self.scale, "a number"))
        object.__setattr__(self, "include_diagonal", bool(self.include_diagonal))
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


Kernel: TypeAlias = Linear | RBF | Laplace
Encoded: TypeAlias = "tuple[str, float | None, float, bool, int | None]"
KernelLike: TypeAlias = Linear | RBF | Laplace | Literal["linear", "rbf", "laplace"]
Estimator: TypeAlias = Literal["unbiased", "biased", "debiased"]

_ESTIMATORS = get_args(Estimator)
FORMULAS: dict[str, type[Kernel]] = {kernel.formula: kernel for kernel in get_args(Kernel)}
_CALLS = [f"{cls.__name__}({'...' if cls.has_bandwidth else ''})" for cls in FORMULAS.values()]
_NAMES = [f'"{formula}"' for formula in FORMULAS]
_ALLOWED_KERNELS = f"{', '.join([*_CALLS, *_NAMES[:-1]])} or {_NAMES[-1]}"


def as_kernel(kernel: object, function_name: str, argument: str = "kernel") -> Kernel:
    """The kernel object that a user's `kernel` argument means; errors name the function and the argument.

    Raises ValueError for an unknown name and TypeError for anything that is neither a kernel nor a string.

    >>> as_kernel("linear", "hsic")
    Linear()
    >>> as_kernel("cosine", "hsic")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: hsic: kernel must be Linear(), RBF(...), Laplace(...), "linear", "rbf" or "laplace" but is ...
    """
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str):
        raise TypeError(f"{function_name}: {argument} must be {_ALLOWED_KERNELS} but is {kernel!r}")
    if kernel not in FORMULAS:
        raise ValueError(f"{function_name}: {argument} must be {_ALLOWED_KERNELS} but is {kernel!r}")
    return FORMULAS[kernel]()


def encode(kernel: Kernel) -> Encoded:
    """(formula, sigma or None, scale, include_diagonal, median_rows or None): a kernel as plain data.

    It is the one form in which a kernel reaches the compiled core, the CUDA module and torch's operators. The
    formula is the kernel's shorthand; without a bandwidth the rest is None, 1.0, False and None.

    >>> encode(RBF(scale=0.5))
    ('rbf', None, 0.5, False, None)
    >>> encode(Linear())
    ('linear', None, 1.0, False, None)
    """
    if isinstance(kernel, Linear):
        return (kernel.formula, None, 1.0, False, None)
    return (kernel.formula, kernel.sigma, kernel.scale, kernel.include_diagonal, kernel.median_rows)


def has_bandwidth(encoded: Encoded) -> bool:
    """Whether the kernel is a function of the distance in units of a bandwidth.

    >>> has_bandwidth(encode(RBF())), has_bandwidth(encode(Linear()))
    (True, False)
    """
    kernel = FORMULAS.get(encoded[0])  # none of those that `rsa` alone has
    return kernel is not None and kernel.has_bandwidth


def wants_median(encoded: Encoded) -> bool:
    """Whether the kernel's bandwidth is the median distance of an input that is still to come.

    >>> wants_median(encode(RBF())), wants_median(encode(RBF(sigma=1.0))), wants_median(encode(Linear()))
    (True, False, False)
    """
    return encoded[1] is None and has_bandwidth(encoded)


def with_sigma(encoded: Encoded, sigma: float) -> Encoded:
    """The kernel with a bandwidth that is known; itself where it has none.

    >>> with_sigma(encode(RBF()), 0.5)
    ('rbf', 0.5, 1.0, False, None)
    """
    formula, _, scale, include_diagonal, median_rows = encoded
    return (formula, sigma, scale, include_diagonal, median_rows) if has_bandwidth(encoded) else encoded


def as_estimator(estimator: object, function_name: str) -> Estimator:
    """`estimator` itself, once it is known to be one; "debiased", another word for "unbiased", is that.

    Raises ValueError for anything else.

    >>> as_estimator("debiased", "hsic")
    'unbiased'
    """
    if not isinstance(estimator, str) or estimator not in _ESTIMATORS:
        raise ValueError(f'{function_name}: estimator must be "unbiased" or "biased" but is {estimator!r}')
    return "unbiased" if estimator == "debiased" else cast(Estimator, estimator)
