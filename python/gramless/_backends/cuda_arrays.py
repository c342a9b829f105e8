"""Arithmetic of the CUDA backend: float64 arrays of the library of the inputs, yet to be filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._arrays.cuda_status import cuda_module
from .._arrays.namespaces import Array, Library
from .._losses import as_temperature
from .launch import DeviceContext


@dataclass(frozen=True)
class CudaArrays:
    """One device of one library; errors of a launch name `function`."""

    library: Library
    device: int
    function: str

    here = False

    @cached_property
    def context(self) -> DeviceContext:
        framework = self.library.framework
        return DeviceContext(self.function, framework, self.device, cuda_module(self.function))

    def where(self, which: Array, x: Any, y: Array) -> Array:
        return self.library.framework.where(which, x, y)

    def arange(self, n: int) -> Array:
        return self.library.framework.arange(n, self.device)

    def full(self, n: int, value: Any) -> Array:
        found = self.context.zeros(n)
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
        return self.library.framework.cast(flags, "float64").sum().clip(1)

    def wide(self, x: Array) -> Array:
        """The values of an array in float64."""
        return self.library.framework.cast(x, "float64")

    def at_least(self, x: Array, least: float) -> Array:
        return x.clip(least)

    def softplus(self, x: Array) -> Array:
        """log(1 + exp(x))"""
        return self.library.framework.softplus(x)

    def sigmoid(self, x: Array) -> Array:
        """The derivative of `softplus`."""
        return self.library.framework.sigmoid(x)

    def copied(self, x: Array) -> Array:
        """The same values, contiguous."""
        found = self.context.empty(*x.shape)
        found[...] = x
        return found

    def as_gradient(self, values: Array, x: Array, arrays: Sequence[Array]) -> Array:
        """A gradient in float64 by x as a launch would have returned it."""
        framework = self.library.framework
        return framework.cast(values, framework.dtype(x))

    def rows_without(self, labels: Any, ignored: int) -> Array:
        """The numbers of the rows that have another label; waits until they are counted."""
        return self.library.framework.flatnonzero(self._placed(labels) != ignored)

    def labels_of(self, labels: Any, rows: Array) -> Array:
        """Those of some rows."""
        return self._placed(labels)[rows]

    def _placed(self, labels: Any) -> Array:
        """Labels on the device; those of the host are copied."""
        framework = self.library.framework
        if framework.owns(labels):
            return labels
        return framework.upload(np.ascontiguousarray(self.library.host(labels)), self.device)

    def scattered(self, grad: Array, rows: Array, count: int) -> Array:
        """A gradient by some rows of an array of `count` rows, as that by all of it."""
        dtype = self.library.framework.dtype(grad)
        found = self.context.zeros(count, grad.shape[1], dtype=dtype)
        found[rows] = grad
        return found
