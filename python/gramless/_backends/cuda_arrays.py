"""Arithmetic of the CUDA backend: float64 arrays of the inputs' library, filled asynchronously."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, TypeAlias

import numpy as np

from .. import _arrays
from .._arrays.cuda_status import cuda_module
from .._arrays.namespaces import Array, Arrays, Library
from .arithmetic import Arithmetic

# The form that both extension modules read, strides in bytes.
ArrayView: TypeAlias = tuple[int, int, int, int, int, str]

SCRATCH_ALIGNMENT = 256


@dataclass(frozen=True)
class CudaArrays(Arithmetic):
    """One device of one library; errors of a launch name `function`."""

    library: Library
    device: int
    function: str

    here = False

    @property
    def xp(self) -> Library:
        return self.library

    @cached_property
    def module(self) -> Any:
        """The extension module that computes on the device."""
        return cuda_module(self.function, self.device)

    def cpu_only(self, what: str, inputs: str) -> NoReturn:
        raise NotImplementedError(f"{self.function}: {what} on the CPU only; copy {inputs} there")

    def run(self, operation: str, *arguments: Any) -> None:
        """Enqueues an operation on the current stream; the library allocates its scratch memory."""
        library, held = self.library, []

        def allocate(size: int) -> Any:
            held.append(self.empty(size + SCRATCH_ALIGNMENT, dtype="uint8"))
            address = library.address(held[-1])
            return address + -address % SCRATCH_ALIGNMENT

        launch = getattr(self.module, operation)
        try:
            launch((self.device, library.stream(self.device), allocate), *arguments)
        except RuntimeError as error:
            raise RuntimeError(f"{self.function}: {error}") from None

    def address(self, x: Array | None) -> Any:
        return 0 if x is None else self.library.address(x)

    def given(self, temperature: Any) -> tuple[float, int]:
        """The argument of a launch: a number, or the address of one."""
        return (temperature, 0) if isinstance(temperature, float) else (math.nan, self.address(temperature))

    def view(self, x: Array) -> ArrayView:
        library, (rows, columns) = self.library, x.shape
        row_stride, column_stride = library.strides(x)
        return library.address(x), int(rows), int(columns), row_stride, column_stride, library.dtype(x)

    def dtype(self, arrays: Arrays) -> str:
        """The dtype that all arrays have."""
        return str(self.library.dtype(arrays[0]))

    def placed(self, x: Any) -> Array:
        """x on the device, copied if it is on the host."""
        if self.library.owns(x):
            return x
        return self.library.upload(np.ascontiguousarray(_arrays.to_host(x)), self.device)

    def total(self, x: Array) -> Array:
        return x.sum()

    def count(self, flags: Array) -> Array:
        """How many are true, at least 1."""
        return self.wide(flags).sum().clip(1)

    def wide(self, x: Array) -> Array:
        """The values of an array in float64."""
        return self.library.cast(x, "float64")
