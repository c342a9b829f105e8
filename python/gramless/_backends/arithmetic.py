"""Arithmetic that both backends share, on results: float64 arrays of numpy or of a device's library."""

from __future__ import annotations

from typing import Any

from .._arrays.namespaces import Array, Arrays, Library, Wanted
from .._losses import as_temperature


class Arithmetic:
    """Methods of both backends; each backend adds its own `placed`, `wide`, `total`, `count` and `dtype`."""

    here: bool  # whether results are computed when a call returns
    library: Library  # of the inputs
    xp: Library  # of the results
    device: Any  # where they are
    dtype: Any  # of the gradients with respect to some arrays
    placed: Any  # labels or saved arrays, on the device where the backend computes

    def empty(self, *shape: int, dtype: str = "float64") -> Array:
        return self.xp.empty(shape, dtype, self.device)

    def zeros(self, *shape: int, dtype: str = "float64") -> Array:
        return self.xp.zeros(shape, dtype, self.device)

    def full(self, n: int, value: Any) -> Array:
        found = self.empty(n)
        found[:] = value
        return found

    def stacked(self, x: Array, y: Array) -> tuple[Any, Array]:
        """The rows of x (n, d) above those of y (m, d), copied, and which of them are of x: (n + m, 1)."""
        n, m, dtype = x.shape[0], y.shape[0], self.library.dtype(x)
        both = self.library.empty((n + m, x.shape[1]), dtype, self.device)
        both[:n], both[n:] = x, y
        return both, self.indicator(n, m, dtype)

    def indicator(self, n: int, m: int, dtype: str) -> Array:
        """1 for each of n rows, 0 for each of m below them: (n + m, 1)."""
        group = self.library.zeros((n + m, 1), dtype, self.device)
        group[:n] = 1
        return group

    def copied(self, x: Array) -> Array:
        """A contiguous float64 copy."""
        found = self.empty(*x.shape)
        found[...] = x
        return found

    def temperature(self, function: str, value: Any) -> Any:
        """A number, checked to be finite and not 0; a value on a device is not read."""
        if not self.here and self.library.owns(value):
            return self.library.cotangent(self, value, ()).reshape(1)
        return as_temperature(function, value if isinstance(value, float) else value.item())

    def number(self, value: Any) -> float:
        """An input of a problem as a number; waits for a device."""
        return value if isinstance(value, float) else float(value.item())

    def gradients(self, arrays: Arrays, wanted: Wanted) -> list[Any]:
        """Uninitialised arrays for the wanted gradients, None for others."""
        empty, *place = self.library.empty, self.dtype(arrays), self.device
        return [empty(x.shape, *place) if want else None for x, want in zip(arrays, wanted, strict=True)]

    def as_gradient(self, values: Array, arrays: Arrays) -> Array:
        """A float64 gradient with respect to one of the arrays, in the dtype in which a launch returns it."""
        return self.xp.cast(values, self.dtype(arrays))

    def scattered(self, grad: Array, rows: Array, count: int) -> Array:
        """Expands a gradient of some rows of an array of `count` rows to a gradient of all rows."""
        of_rows = self.placed(grad)
        found = self.zeros(count, of_rows.shape[1], dtype=self.xp.dtype(of_rows))
        found[rows] = of_rows
        return found
