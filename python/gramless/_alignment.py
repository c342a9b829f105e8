"""CKA as the ratio of HSIC values, defined once for all functions and for arrays of any library."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from .kernels import Encoded, has_bandwidth

_PACKAGES = ("gramless", "torch")  # a warning points to the first frame outside these
_CONSTANT = "its rows are constant, equal but for one, or all equally far apart"
_TOO_NARROW = "its kernel is too narrow to tell its rows apart"
NO_HSIC = f"{_CONSTANT}, or {_TOO_NARROW}"


def warn_undefined(
    function: str, layers: Iterable[tuple[str, float, Encoded, float]], of: str = "CKA"
) -> None:
    """Warn once, with a RuntimeWarning at the user's call, if CKA is not defined for some of the layers.

    layers: (name, HSIC with itself, kernel, mean of the kernel over different rows).
    of: "CKA", or "RSA", whose HSIC is a covariance of squared distances.
    """
    names: dict[str, list[str]] = {}
    for name, hsic, kernel, mean in layers:
        if hsic <= 0:
            names.setdefault("" if of == "RSA" else f": {_reason(kernel, mean)}", []).append(name)
    if names:
        which = "; ".join(f"{', '.join(of_reason)}{reason}" for reason, of_reason in names.items())
        why = (
            "distances do not vary" if of == "RSA" else "a representation's HSIC with itself is not positive"
        )
        warn_caller(f"{function}: not defined, because {why} ({which})")


def warn_caller(message: str) -> None:
    """Issue a RuntimeWarning that points to the line of the user's code that called gramless."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def _reason(kernel: Encoded, mean: float) -> str:
    if not has_bandwidth(kernel):
        return "its rows are constant, or equal but for one"
    return _TOO_NARROW if mean < 0.1 else _CONSTANT


def aligned(
    xy: Any, xx: Any, yy: Any, undefined: float = math.nan, where: Callable[..., Any] = np.where
) -> Any:
    """xy / sqrt(xx yy), and `undefined` where xx or yy is not positive.

    xy: a number, or an array of any shape. xx, yy: numbers, or arrays of the shape of xy, or for a matrix one
        value for each of its rows and one for each of its columns.
    where: `numpy.where`, or the function of that name in the library of these arrays.

    One root of the product makes the CKA of a representation with itself exactly 1. Where the product is
    outside the range of float64, the product of the two roots takes its place.
    """
    if isinstance(xy, float):
        return ratio(xy, float(xx), float(yy), undefined)
    if xy.ndim == 2 and xx.ndim == 1:
        xx, yy = xx[:, None], yy[None, :]
    with (
        np.errstate(all="ignore") if where is np.where else nullcontext()
    ):  # torch.compile traces no errstate
        has_none = (xx <= 0) | (yy <= 0)
        xx, yy = where(xx <= 0, 1.0, xx), where(yy <= 0, 1.0, yy)
        product = xx * yy
        in_range = (product > 0) & (product < math.inf)
        root = where(in_range, where(in_range, product, 1.0) ** 0.5, xx**0.5 * yy**0.5)
        return where(has_none, undefined, xy / root)


def in_units(values: Any, exponent_x: Any, exponent_y: Any) -> Any:
    """Convert HSIC of rescaled rows to the units of the data; 0 or inf only outside the range of float64.

    values: a number, or (Lx, Ly) with exponents (Lx,) and (Ly,); the rows were divided by powers of 2.
    """
    if isinstance(exponent_x, int):
        exponent = exponent_x + exponent_y
        return values if exponent == 0 else float(times_power(np.float64(values), exponent))
    return times_power(values, exponent_x[:, None] + exponent_y[None, :])


def times_power(values: Any, exponent: Any) -> Any:
    """values 2^exponent; 0 or inf only where that is outside the range of float64."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(values, exponent)


def ratio(xy: float, xx: float, yy: float, undefined: float) -> float:
    """xy / sqrt(xx yy) for floats, and `undefined` where xx or yy is not positive; see `aligned`."""
    if xx <= 0 or yy <= 0:
        return undefined
    product = xx * yy
    root = math.sqrt(product) if 0 < product < math.inf else math.sqrt(xx) * math.sqrt(yy)
    return xy / root
