"""The rows of one array above those of another, as one array of the core: both are read in place."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._arrays.namespaces import Array, Library, computed_in


class Stacked:
    """x (n, d) above y (m, d), in the CPU's memory.

    If the two differ in dtype or column stride, each that is not in C order or not of the dtype of the
    computation is copied.
    """

    def __init__(self, library: Library, x: Array, y: Array) -> None:
        self.view: Any = _core.stacked_rows(library.view(x), library.view(y))
        if self.view is None:
            plain = library.empty((1, x.shape[1]), computed_in(library, [x, y]))
            x, y = (_fitting(library, part, plain) for part in (x, y))
            self.view = _core.stacked_rows(library.view(x), library.view(y))
        self.parts = x, y  # held while they are read
        self.dtype = x.dtype  # of both
        self.shape = x.shape[0] + y.shape[0], x.shape[1]


def _fitting(library: Library, x: Array, plain: Array) -> Array:
    """x if the core can read its rows and those of `plain` as one array, else a copy that fits."""
    if _core.stacked_rows(library.view(x), library.view(plain)) is not None:
        return x
    found = library.empty(tuple(x.shape), library.dtype(plain))
    found[:] = x
    return found
