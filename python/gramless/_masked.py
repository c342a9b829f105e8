"""Masked arrays of numpy are refused, because functions that read them as arrays ignore their masks."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_unmasked(function: str, name: str, x: Any) -> None:
    """Raise TypeError for a masked array.

    >>> check_unmasked("cka", "x", np.ma.masked_array([1.0]))
    Traceback (most recent call last):
    TypeError: cka: x is a masked array, whose mask would be ignored; fill or drop its masked values first
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{function}: {name} is a masked array, whose mask would be ignored; fill or drop its masked "
            "values first"
        )
