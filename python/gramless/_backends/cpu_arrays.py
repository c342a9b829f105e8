"""Arithmetic of the CPU backend: float64 arrays of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _arrays
from .._arrays.namespaces import NUMPY, Arrays, Library, Values, computed_in
from .arithmetic import Arithmetic
from .stacked import Stacked


class CpuArrays(Arithmetic):
    """The arrays of one library, in the CPU's memory. Results are computed when a call returns."""

    here = True
    xp = NUMPY
    device = None
    wide = staticmethod(_arrays.wide_on_host)

    def __init__(self, library: Library) -> None:
        self.library = library

    def dtype(self, arrays: Arrays) -> str:
        """The dtype of the computation."""
        return computed_in(self.library, arrays)

    def full(self, n: int, value: Any) -> Values:
        found = np.empty(n)
        found.fill(value)
        return found

    def placed(self, x: Any) -> Values:
        return x if type(x) is np.ndarray else _arrays.to_host(x)

    def total(self, x: Values) -> float:
        return float(np.add.reduce(x))

    def count(self, flags: Values) -> int:
        """How many are true, at least 1."""
        return max(int(np.count_nonzero(flags)), 1)

    def views(self, arrays: Arrays) -> list[Any]:
        """The arrays in the form that the core reads."""
        view = self.library.view
        return [None if x is None else x.view if type(x) is Stacked else view(x) for x in arrays]
