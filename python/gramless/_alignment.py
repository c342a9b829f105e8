"""CKA of HSIC values: the one ratio that every function divides by. For arrays of any library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def aligned(
    xy: Any, xx: Any, yy: Any, undefined: float = math.nan, where: Callable[..., Any] = np.where
) -> Any:
    """xy / sqrt(xx yy), and `undefined` where xx or yy is not positive.

    xy: a number, or an array of any shape. xx, yy: numbers, or arrays of the shape of xy, or for a matrix one
        value for each of its rows and one for each of its columns.
    where: numpy's, or that of the library whose arrays these are.

    The root is that of the product, which makes the CKA of a representation with itself exactly 1, unless the
    product leaves the range of float64, which its two roots do not.
    """
    if isinstance(xy, float):
        return _of_numbers(xy, float(xx), float(yy), undefined)
    if xy.ndim == 2 and xx.ndim == 1:
        xx, yy = xx[:, None], yy[None, :]
    has_none = (xx <= 0) | (yy <= 0)
    xx, yy = where(xx <= 0, 1.0, xx), where(yy <= 0, 1.0, yy)
    with np.errstate(all="ignore"):
        product = xx * yy
        in_range = (product > 0) & (product < math.inf)
        root = where(in_range, where(in_range, product, 1.0) ** 0.5, xx**0.5 * yy**0.5)
        return where(has_none, undefined, xy / root)


def _of_numbers(xy: float, xx: float, yy: float, undefined: float) -> float:
    if xx <= 0 or yy <= 0:
        return undefined
    product = xx * yy
    root = math.sqrt(product) if 0 < product < math.inf else math.sqrt(xx) * math.sqrt(yy)
    return xy / root
