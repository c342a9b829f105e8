"""Arithmetic of the CUDA backend: float64 arrays of the library of the inputs, yet to be filled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._arrays.cuda_status import cuda_module
from .._arrays.frameworks import Array, Described, Framework
from .._arrays.namespaces import Arrays, Library, Wanted
from .._losses import as_temperature

SCRATCH_ALIGNMENT = 256


@dataclass(frozen=True)
class CudaArrays:
    """One device of one library; errors of a launch name `function`."""

    library: Library
    device: int
    function: str

    here = False

    @cached_property
    def module(self) -> Any:
        """The extension module that computes on the device."""
        return cuda_module(self.function)

    @property
    def framework(self) -> Framework:
        """What allocates and does the few sums around a launch."""
        return self.library.framework

    def run(self, operation: str, *arguments: Any) -> None:
        """Enqueues an operation on the stream that is current now; its scratch is the framework's."""
        framework, held = self.framework, []

        def allocate(size: int) -> Any:
            held.append(framework.empty((size + SCRATCH_ALIGNMENT,), "uint8", self.device))
            address = framework.address(held[-1])
            return address + -address % SCRATCH_ALIGNMENT

        try:
            getattr(self.module, operation)(
                (self.device, framework.stream(self.device), allocate), *arguments
            )
        except RuntimeError as error:
            raise RuntimeError(f"{self.function}: {error}") from None

    def empty(self, *shape: int, dtype: str = "float64") -> Array:
        return self.framework.empty(shape, dtype, self.device)

    def zeros(self, *shape: int, dtype: str = "float64") -> Array:
        return self.framework.zeros(shape, dtype, self.device)

    def gradients(self, arrays: Arrays, wanted: Wanted) -> list[Any]:
        """Where gradients are written."""
        dtype = self.framework.dtype
        return [
            self.empty(*x.shape, dtype=dtype(x)) if want else None
            for x, want in zip(arrays, wanted, strict=True)
        ]

    def address(self, x: Array | None) -> Any:
        return 0 if x is None else self.framework.address(x)

    def described(self, x: Array) -> Described:
        size, framework = self.framework.itemsize(x), self.framework
        row_stride, column_stride = (stride // size for stride in framework.strides(x))
        rows, columns = x.shape
        return framework.address(x), int(rows), int(columns), row_stride, column_stride, framework.dtype(x)

    def where(self, which: Array, x: Any, y: Array) -> Array:
        return self.framework.where(which, x, y)

    def arange(self, n: int) -> Array:
        return self.framework.arange(n, self.device)

    def full(self, n: int, value: Any) -> Array:
        found = self.zeros(n)
        found[:] = value
        return found

    def saved(self, x: Array) -> Array:
        return x

    def temperature(self, function: str, value: Any) -> Any:
        """A number once it is known that one can divide by it; what the device holds is not read."""
        if isinstance(value, float):
            return as_temperature(function, value)
        if not self.library.on_device(value):
            return as_temperature(function, value.item())
        return self.library.cotangent(self, value, ()).reshape(1)

    def total(self, x: Array) -> Array:
        return x.sum()

    def count(self, flags: Array) -> Array:
        """How many are true, at least 1."""
        return self.framework.cast(flags, "float64").sum().clip(1)

    def wide(self, x: Array) -> Array:
        """The values of an array in float64."""
        return self.framework.cast(x, "float64")

    def at_least(self, x: Array, least: float) -> Array:
        return x.clip(least)

    def softplus(self, x: Array) -> Array:
        """log(1 + exp(x))"""
        return self.framework.softplus(x)

    def sigmoid(self, x: Array) -> Array:
        """The derivative of `softplus`."""
        return self.framework.sigmoid(x)

    def copied(self, x: Array) -> Array:
        """The same values, contiguous."""
        found = self.empty(*x.shape)
        found[...] = x
        return found

    def as_gradient(self, values: Array, x: Array, arrays: Arrays) -> Array:
        """A gradient in float64 by x as a launch would have returned it."""
        framework = self.framework
        return framework.cast(values, framework.dtype(x))

    def rows_without(self, labels: Any, ignored: int) -> Array:
        """The numbers of the rows that have another label; waits until they are counted."""
        return self.framework.flatnonzero(self._placed(labels) != ignored)

    def labels_of(self, labels: Any, rows: Array) -> Array:
        """Those of some rows."""
        return self._placed(labels)[rows]

    def _placed(self, labels: Any) -> Array:
        """Labels on the device; those of the host are copied."""
        framework = self.framework
        if framework.owns(labels):
            return labels
        return framework.upload(np.ascontiguousarray(self.library.host(labels)), self.device)

    def scattered(self, grad: Array, rows: Array, count: int) -> Array:
        """A gradient by some rows of an array of `count` rows, as that by all of it."""
        dtype = self.framework.dtype(grad)
        found = self.zeros(count, grad.shape[1], dtype=dtype)
        found[rows] = grad
        return found
