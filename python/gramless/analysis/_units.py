"""Rows in units in which their squares neither overflow nor underflow, whatever the unit of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._checks import Floats


def in_own_units(values: Floats, axis: int | None = None) -> tuple[Floats, Any]:
    """values / 2^exponent, of which the largest is from 0.5 to 1, and the exponent; or both along an axis."""
    largest = np.abs(values).max(axis=axis, keepdims=axis is not None, initial=0)
    exponent = np.frexp(largest)[1]
    return np.ldexp(values, -exponent), exponent


def unit_rows(rows: Floats) -> Floats:  # (n, d)
    """Every row divided by its length. Rows of zeros stay zero; infinity becomes NaN, which propagates."""
    with np.errstate(invalid="ignore"):
        scaled, _ = in_own_units(rows, axis=1)
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        np.divide(scaled, lengths, out=scaled, where=lengths != 0)
    return scaled
