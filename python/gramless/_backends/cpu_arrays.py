"""Arithmetic of the CPU backend: float64 arrays of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import Floats
from .._arrays.namespaces import Array, Arrays, Library, Wanted, computed_in
from .._losses import as_temperature

Values = npt.NDArray[Any]


class CpuArrays:
    """The arrays of one library, in the CPU's memory. Results are there when a call returns."""

    here = True
    where = staticmethod(np.where)
    arange = staticmethod(np.arange)

    def __init__(self, library: Library) -> None:
        self.library = library

    def dtype(self, arrays: Arrays) -> str:
        """What is computed in."""
        return computed_in(self.library, arrays)

    def full(self, n: int, value: float) -> Floats:
        found = np.empty(n)
        found.fill(value)
        return found

    def saved(self, x: Any) -> Any:
        """What a forward saved, which may come back as an array of the library."""
        return x if type(x) is np.ndarray else self.library.host(x)

    def temperature(self, function: str, value: Any) -> float:
        """A number, or a tensor of one, once it is known that one can divide by it."""
        return as_temperature(function, value if isinstance(value, float) else value.item())

    def total(self, x: Values) -> float:
        return float(np.add.reduce(x))

    def count(self, flags: Values) -> int:
        """How many are true, at least 1."""
        return max(int(np.count_nonzero(flags)), 1)

    def wide(self, x: Any) -> Floats:
        """The values of an array in float64."""
        found: Floats = self.library.wide(x)
        return found

    def at_least(self, x: Floats, least: float) -> Floats:
        return np.maximum(x, least)

    def softplus(self, x: Floats) -> Floats:
        """log(1 + exp(x))"""
        return np.logaddexp(0.0, x)

    def sigmoid(self, x: Floats) -> Floats:
        """The derivative of `softplus`."""
        return np.exp(-np.logaddexp(0.0, -x))

    def copied(self, x: Floats) -> Floats:
        """The same values, contiguous."""
        return np.ascontiguousarray(x)

    def as_gradient(self, values: Floats, x: Array, arrays: Arrays) -> Values:
        """A gradient in float64 by x, one of the arrays of a problem, as the core would have returned it."""
        return values.astype(self.dtype(arrays), copy=False)

    def rows_without(self, labels: Any, ignored: int) -> Values:
        """The numbers of the rows that have another label."""
        return np.flatnonzero(self.saved(labels) != ignored)

    def labels_of(self, labels: Any, rows: Values) -> Values:
        """Those of some rows."""
        found: Values = self.saved(labels)[rows]
        return found

    def scattered(self, grad: Array, rows: Values, count: int) -> Values:
        """A gradient by some rows of an array of `count` rows, as that by all of it."""
        of_rows = self.saved(grad)
        found = np.zeros((count, of_rows.shape[1]), of_rows.dtype)
        found[rows] = of_rows
        return found

    def _targets(self, arrays: Arrays, wanted: Wanted) -> tuple[list[Any], list[Any]]:
        """Where gradients are written, and how the core sees it."""
        dtype = self.dtype(arrays)
        grads = [
            self.library.empty(x.shape, dtype) if w else None for x, w in zip(arrays, wanted, strict=True)
        ]
        return grads, [None if grad is None else self.library.view(grad) for grad in grads]
