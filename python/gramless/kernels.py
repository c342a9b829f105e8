"""Kernel functions as frozen value objects, and the names that users may pass instead.

This module does not depend on arrays, devices or the compiled core, so that every other module can import it.
"""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Literal, TypeAlias, cast, get_args

from . import _distance_kernels, _product_kernels
from ._counts import made_first, shown
from ._distance_kernels import *
from ._distance_kernels import DistanceKernel, DistanceName, OfDistance
from ._product_kernels import *
from ._product_kernels import ProductKernel, ProductName

__all__ = [
    "DISTANCE_KERNELS",
    "FORMULAS",
    "KERNEL_NAMES",
    "Encoded",
    "Estimator",
    "Kernel",
    "KernelLike",
    "OfDistance",
    "as_estimator",
    "as_kernel",
    "encode",
    "has_bandwidth",
    "is_on_gpu",
    "wants_median",
    "with_sigma",
]
__all__ += _distance_kernels.__all__
__all__ += _product_kernels.__all__

Kernel: TypeAlias = ProductKernel | DistanceKernel
Numbers: TypeAlias = "tuple[float | None, ...]"
Encoded: TypeAlias = "tuple[str, float | None, float, bool, int | None, Numbers]"
KernelLike: TypeAlias = Kernel | ProductName | DistanceName
Estimator: TypeAlias = Literal["unbiased", "biased", "debiased"]

_ESTIMATORS = get_args(Estimator)
FORMULAS: dict[str, type[Kernel]] = {kernel.formula: kernel for kernel in get_args(Kernel)}
DISTANCE_KERNELS: dict[str, type[DistanceKernel]] = {
    kernel.formula: kernel for kernel in get_args(DistanceKernel)
}
_CALLS = [f"{cls.__name__}({'...' if fields(cls) else ''})" for cls in FORMULAS.values()]
_NAMES = [f'"{formula}"' for formula in FORMULAS]
KERNEL_NAMES = f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"
_ALLOWED_KERNELS = f"{', '.join(_CALLS)}, {KERNEL_NAMES}"


def as_kernel(kernel: object, function_name: str, argument: str = "kernel") -> Kernel:
    """The kernel for a user's `kernel` argument, an object or a name; errors name function and argument.

    Raises ValueError for an unknown name, and TypeError for a value that is neither a kernel nor a string.

    >>> as_kernel("linear", "hsic")
    Linear()
    >>> as_kernel("sigmoid", "hsic")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: hsic: kernel must be Linear(), Cosine(), Polynomial(...), RBF(...), ...
    """
    if isinstance(kernel, Kernel):
        return kernel
    if not isinstance(kernel, str):
        found = f"{shown(kernel)}{made_first(function_name, kernel)}"
        raise TypeError(f"{function_name}: {argument} must be {_ALLOWED_KERNELS} but is {found}")
    if kernel not in FORMULAS:
        raise ValueError(f"{function_name}: {argument} must be {_ALLOWED_KERNELS} but is {kernel!r}")
    return FORMULAS[kernel]()


def encode(kernel: Kernel) -> Encoded:
    """A kernel as plain data: (formula, sigma, scale, include_diagonal, median_rows, numbers).

    The compiled core, the CUDA module and torch's operators receive kernels in this form. The formula is the
    kernel's name. A kernel without a bandwidth has None, 1.0, False, None for the next four. numbers are the
    kernel's other parameters.

    >>> encode(RBF(scale=0.5))
    ('rbf', None, 0.5, False, None, ())
    >>> encode(Distance())
    ('distance', None, 1.0, False, None, (1.0,))
    """
    if not isinstance(kernel, OfDistance):
        return (kernel.formula, None, 1.0, False, None, astuple(kernel))
    return (
        kernel.formula,
        kernel.sigma,
        kernel.scale,
        kernel.include_diagonal,
        kernel.median_rows,
        kernel.numbers,
    )


def has_bandwidth(encoded: Encoded) -> bool:
    """Whether the kernel has a bandwidth.

    >>> has_bandwidth(encode(RBF())), has_bandwidth(encode(Linear()))
    (True, False)
    """
    kernel = FORMULAS.get(encoded[0])  # None for the kernels that only `rsa` uses
    return kernel is not None and kernel.has_bandwidth


def is_on_gpu(formula: str) -> bool:
    """Whether the CUDA module computes the kernel.

    >>> is_on_gpu("rbf"), is_on_gpu("distance")
    (True, False)
    """
    kernel = FORMULAS.get(formula)
    return kernel is not None and kernel.on_gpu


def wants_median(encoded: Encoded) -> bool:
    """Whether the kernel's bandwidth is the median distance of each input.

    >>> wants_median(encode(RBF())), wants_median(encode(RBF(sigma=1.0))), wants_median(encode(Linear()))
    (True, False, False)
    """
    return encoded[1] is None and has_bandwidth(encoded)


def with_sigma(encoded: Encoded, sigma: float) -> Encoded:
    """The kernel with this bandwidth; unchanged if it has no bandwidth.

    >>> with_sigma(encode(RBF()), 0.5)
    ('rbf', 0.5, 1.0, False, None, ())
    """
    return (encoded[0], sigma, *encoded[2:]) if has_bandwidth(encoded) else encoded


def as_estimator(estimator: object, function_name: str) -> Estimator:
    """`estimator`, checked; "debiased" becomes "unbiased".

    Raises ValueError for anything else.

    >>> as_estimator("debiased", "hsic")
    'unbiased'
    """
    if not isinstance(estimator, str) or estimator not in _ESTIMATORS:
        raise ValueError(
            f'{function_name}: estimator must be "unbiased" or "biased" but is {shown(estimator)}'
        )
    return "unbiased" if estimator == "debiased" else cast(Estimator, estimator)
