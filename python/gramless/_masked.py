"""Masked arrays of numpy: what reads them as arrays ignores their masks."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_unmasked(function: str, name: str, x: Any) -> None:
    """Raises TypeError for a masked array.

    >>> check_unmasked("cka", "x", np.ma.masked_array([1.0]))
    Traceback (most recent call last):
    TypeError: cka: x is a masked array, whose mask would be ignored; fill or drop first
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{function}: {name} is a masked array, whose mask would be ignored; fill or drop first"
        )
