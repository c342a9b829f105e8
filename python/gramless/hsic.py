"""HSIC and CKA as users call them. Sums come from the core; what is left here is the formula and the edge."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from . import _arrays, _core
from ._alignment import aligned, in_units, why_no_hsic
from ._sums import Progress, core_progress
from .kernels import Estimator, Kernel, KernelLike, as_estimator, as_kernel, encode

__all__ = ["cka", "hsic", "median_distance"]


def _options(
    function: str, kernel: KernelLike, kernel_y: KernelLike | None, estimator: Estimator
) -> tuple[tuple[Kernel, Kernel], Estimator]:
    of_x = as_kernel(kernel, function)
    of_y = of_x if kernel_y is None else as_kernel(kernel_y, function, "kernel_y")
    return (of_x, of_y), as_estimator(estimator, function)


def _pair(
    function: str, x: Any, y: Any, kernel: KernelLike, kernel_y: KernelLike | None, estimator: Estimator
) -> tuple[tuple[float, float, float, int, int, float, float], list[_arrays.Described]]:
    described_x, described_y = _arrays.describe(function, "x", x), _arrays.describe(function, "y", y)
    (kernel_of_x, kernel_of_y), estimator = _options(function, kernel, kernel_y, estimator)
    _arrays.check_rows(function, "x", described_x, "y", described_y)
    _arrays.check_enough_rows(function, "x", described_x, estimator)
    values = _core.hsic_pair(
        described_x, described_y, encode(kernel_of_x), encode(kernel_of_y), estimator, "auto"
    )
    return values, [described_x, described_y]


def hsic(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
) -> Any:
    """Hilbert-Schmidt independence criterion of the rows of x (n, p) with the rows of y (n, q).

    biased: tr(K H L H) / (n - 1)^2, with H = I - 11'/n (Gretton et al. 2005); n >= 2.
    unbiased: [sum K~ L~ + s_K s_L / ((n-1)(n-2)) - 2/(n-2) sum_i r_i^K r_i^L] / (n (n-3)), the diagonals
    of K~ and L~ zero, r their row sums, s their totals (Song et al. 2012, eq. 5); n >= 4.

    kernel: `Linear()`, `RBF(...)`, `Laplace(...)` or one of their names, "linear", "rbf" and "laplace";
        kernel_y, if given, is the kernel of y.
    x, y: numpy arrays of any layout and real dtype, memory-mapped ones included, torch tensors, or arrays of
    a GPU, such as cupy's, in a floating-point dtype; read in place, computed in float64 if either is float64
    or a wide integer, else in float32. No n x n memory.

    Returns a float, or for tensors and arrays of a GPU a 0-d one, where they live. NaN and inf in the data
    propagate. Raises ValueError where shapes or options do not fit and TypeError where types do not.

    >>> import numpy as np
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> y = rng.randn(100, 10) + x
    >>> round(hsic(x, y), 9)
    9.895955787
    """
    if _arrays.is_followed(x, y):
        from .torch import similarity

        return similarity.hsic(x, y, kernel, kernel_y, estimator)
    if _arrays.any_on_device(x, y):
        from ._device import hsic as device

        return device.hsic("hsic", x, y, *_options("hsic", kernel, kernel_y, estimator))
    (hsic_xy, _, _, *exponents, _, _), described = _pair("hsic", x, y, kernel, kernel_y, estimator)
    return _arrays.wrap(in_units(hsic_xy, *exponents), x, described)


def cka(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
) -> Any:
    """Centered kernel alignment of the rows of x (n, p) with the rows of y (n, q).

    cka = hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)), the same estimator in all three places
    (Kornblith et al. 2019, arXiv:1905.00414). With "unbiased" this is the debiased CKA, which may be slightly
    negative; "biased" tends to 1 for p >> n whatever the data (Murphy et al. 2024). Nothing is clamped.

    Arguments, returns and errors as in `hsic`. A degenerate input, such as a constant one, gives NaN and one
    RuntimeWarning.

    >>> import numpy as np
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> y = rng.randn(100, 10) + x
    >>> round(cka(x, y), 9)
    0.51345649
    >>> round(cka(x, 3 * x + 1000), 9)
    1.0
    """
    if _arrays.is_followed(x, y):
        from .torch import similarity

        return similarity.cka(x, y, kernel, kernel_y, estimator)
    if _arrays.any_on_device(x, y):
        from ._device import hsic as device

        return device.cka("cka", x, y, *_options("cka", kernel, kernel_y, estimator))
    (hsic_xy, hsic_xx, hsic_yy, _, _, *means), described = _pair("cka", x, y, kernel, kernel_y, estimator)
    if hsic_xx <= 0 or hsic_yy <= 0:
        kernels, _ = _options("cka", kernel, kernel_y, estimator)
        return _arrays.wrap(_degenerate((hsic_xx, hsic_yy), kernels, means), x, described)
    return _arrays.wrap(aligned(hsic_xy, hsic_xx, hsic_yy), x, described)


def _degenerate(hsics: tuple[float, float], kernels: Sequence[Kernel], means: Sequence[float]) -> float:
    reasons = why_no_hsic(zip(("x", "y"), hsics, kernels, means, strict=True))
    warnings.warn(
        f"cka: not defined, because a representation's HSIC with itself is not positive ({reasons})",
        RuntimeWarning,
        stacklevel=3,
    )
    return math.nan


def median_distance(x: Any, *, include_diagonal: bool = False, progress: Progress = False) -> Any:
    """The exact median Euclidean distance between the rows of x (n, d), without n x n memory.

    sqrt(median over i != j of |x_i - x_j|^2); an even count averages the middle two squares. It is the
    bandwidth of `RBF()`. include_diagonal=True takes the median over all n^2 pairs, the n zeros included, as
    the code published with Kornblith et al. (2019) does. The squared distances are counted, not stored.

    Where more than half of the distances are 0 up to rounding, at most 16 units of it in |x_i|^2 + |x_j|^2 of
    the centred rows, the median is that of the others: a bandwidth of 0 compares nothing. That is said in one
    RuntimeWarning, with the share of the distances left out; on a GPU it is not said. All rows equal: 0.

    Arguments, returns and errors as in `hsic`; n >= 2.

    >>> import numpy as np
    >>> median_distance(np.array([[0.0], [1.0], [3.0]]))
    2.0
    """
    if _arrays.is_on_device(x):
        from ._device import hsic as device

        return device.median_distance("median_distance", x, bool(include_diagonal))
    described = _arrays.describe("median_distance", "x", x)
    if _arrays.rows_of(described) < 2:
        raise ValueError(
            f"median_distance: at least 2 rows are needed but x has {_arrays.rows_of(described)}"
        )
    report = core_progress("median_distance", progress)
    value = _core.median_distance(described, bool(include_diagonal), report)
    return _arrays.wrap(value, x, [described])
