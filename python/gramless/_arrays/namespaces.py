"""Array libraries: what an array is. numpy and cupy are here; torch's is loaded when a tensor is first seen.

A library is the only thing that touches arrays of its own: it reads, allocates, casts and hands results out.
Where arrays of several meet, that of the highest rank computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .. import _arrays
from .._losses import as_labels, as_temperature, check_labels, ignored_rows, numbered, whole_number
from .cuda_status import cuda_module
from .frameworks import Framework, framework_of, torch_library

Array: TypeAlias = Any
Arrays: TypeAlias = Sequence[Any]
Wanted: TypeAlias = Sequence[bool]  # for each of some arrays, whether its gradient is
Library: TypeAlias = Any  # Numpy, Cupy, or gramless.torch._namespace.Torch

_SHORT = {char: np.dtype(char).name for char in "efd?bhilqBHILQ"}  # which numpy takes 3 us each to spell


class Numpy:
    """numpy, and whatever it reads."""

    rank = 0

    def read(self, function: str, name: str, x: Any) -> Array:
        """x as an array of this library, in place where that is possible."""
        if type(x) is np.ndarray:
            return x
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(
                f"{function}: {name} is a masked array, whose mask would be ignored; fill or drop first"
            )
        if x is None or isinstance(x, (str, bytes, Mapping)):
            raise TypeError(f"{function}: {name} must be a two-dimensional array but is {type(x).__name__}")
        try:
            return np.asarray(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f"{function}: {name} must be a two-dimensional array but is {type(x).__name__} ({error})"
            ) from None

    def check(self, function: str, name: str, x: Array) -> None:
        """Raises TypeError or ValueError where the backend cannot read an array of this library."""
        if not x.dtype.isnative:
            raise TypeError(f"{function}: {name} must have native byte order but has dtype {x.dtype.str}")

    def on_device(self, x: Array) -> bool:
        """Whether the CUDA backend computes with x."""
        return False

    def device(self, x: Array) -> Any:
        """What arrays of one place have in common."""
        return None

    def dtype(self, x: Array) -> str:
        return _SHORT.get(x.dtype.char) or str(x.dtype.name)

    def view(self, x: Array) -> Any:
        """x as the core reads it, in place; the caller holds x meanwhile."""
        return x

    def host(self, x: Array) -> np.ndarray[Any, Any]:
        """The values of an array in the CPU's memory, in place."""
        return np.asarray(x)

    def bits(self, x: Array) -> np.ndarray[Any, Any]:
        """The same, or as integers where numpy lacks the dtype."""
        return self.host(x)

    def wide(self, x: Any) -> np.ndarray[Any, Any]:
        """The values of an array in the CPU's memory in float64."""
        return np.asarray(x, np.float64)

    def empty(self, shape: Sequence[int], dtype: str) -> Array:
        return np.empty(shape, dtype)

    def result(self, value: Any, dtype: str = "float64") -> Any:
        """A number or an array of the backend as the user gets it."""
        return value if getattr(value, "ndim", 0) else float(value)

    def gradient(self, value: Any, like: Any, dtype: str) -> Any:
        """A gradient of the backend as the user gets it; `like` is what it is the gradient of."""
        return self.result(value, dtype)

    def cotangent(self, backend: Any, grad: Any, shape: tuple[int, ...]) -> Any:
        """What a user gives as the derivative by a value of this shape, as the backend reads it."""
        given = _arrays.to_host(grad.double() if _arrays.is_tensor(grad) else grad)
        return np.ascontiguousarray(given, np.float64) if shape else float(given)

    def temperature(self, function: str, value: Any) -> Any:
        """A temperature as an input of a problem."""
        return as_temperature(function, value)

    def constant(self, function: str, value: Any, name: str) -> float:
        """A temperature as a number, which is a field of a problem."""
        return as_temperature(function, value, name)

    def labels(self, function: str, labels: Any, rows: int, ignore_index: Any) -> tuple[Any, int | None]:
        """The labels of rows as an input of a problem, and which of them, then integers, is ignored."""
        found = as_labels(function, labels, rows)
        ignored = ignored_rows(found, ignore_index)
        if ignored is None:
            return found, None
        groups = numbered(found)
        return groups, int(groups[ignored][0])

    def beside(self, function: str, name: str, values: Any, x: Array) -> Array:
        """Values that belong to the rows of x, as an array of this library where x is."""
        return self.read(function, name, values)

    def detached(self, function: str, names: Sequence[str | None], inputs: Sequence[Any]) -> Sequence[Any]:
        """The same without gradients, for a backend that is called past autograd and its transforms."""
        return inputs

    def why_not_in_parts(self, layers: Sequence[Array]) -> str | None:
        """What keeps a sweep over these from being cut into parts."""
        return None


class Cupy(Numpy):
    """cupy, or what stands in its place: numpy's interface on a device."""

    rank = 1
    allow_tf32 = False

    def __init__(self, framework: Framework) -> None:
        self.framework = framework

    def read(self, function: str, name: str, x: Any) -> Array:
        if self.framework.owns(x):
            return x
        framework, array = framework_of(function, name, x)
        if type(framework) is not type(self.framework):
            raise TypeError(f"{function}: {name} and another array are of two libraries; convert one of them")
        return array

    def check(self, function: str, name: str, x: Array) -> None:
        size, strides = self.framework.itemsize(x), self.framework.strides(x)
        if any(stride % size for stride in strides) or self.framework.address(x) % size:
            raise ValueError(
                f"{function}: {name} must have elements that are aligned to their size {size} "
                f"but has strides {strides} at address {self.framework.address(x)}"
            )

    def on_device(self, x: Array) -> bool:
        return True

    def device(self, x: Array) -> Any:
        return self.framework.device(x)

    def device_index(self, x: Array) -> Any:
        return self.framework.device(x)

    def dtype(self, x: Array) -> Any:
        return self.framework.dtype(x)

    def result(self, value: Any, dtype: str = "float64") -> Any:
        return self.framework.cast(value, dtype)

    def gradient(self, value: Any, like: Any, dtype: str) -> Any:
        return value if value.ndim == 2 else self.framework.cast(value.reshape(-1)[0], dtype)

    def cotangent(self, backend: Any, grad: Any, shape: tuple[int, ...]) -> Any:
        if self.framework.owns(grad):
            return self.framework.cast(grad, "float64")
        given = np.array(super().cotangent(backend, grad, (1,)))  # no writable view of what a user owns
        uploaded = self.framework.upload(np.atleast_1d(given), backend.device)
        return uploaded if shape else uploaded[0]

    def labels(self, function: str, labels: Any, rows: int, ignore_index: Any) -> tuple[Any, int | None]:
        if not self.framework.owns(labels):
            return super().labels(function, labels, rows, ignore_index)
        check_labels(function, tuple(labels.shape), rows)
        dtype = self.framework.dtype(labels)
        if "int" not in dtype and dtype != "bool":
            raise TypeError(f"{function}: labels must be integers or text but has dtype {dtype}")
        return labels, whole_number(ignore_index)

    def beside(self, function: str, name: str, values: Any, x: Array) -> Array:
        if self.framework.owns(values):
            return values
        return self.framework.upload(np.array(super().read(function, name, values)), self.device(x))

    def why_not_in_parts(self, layers: Sequence[Array]) -> str | None:
        return "are for layers in the CPU's memory; copy them there"


NUMPY = Numpy()
_known: dict[type, Library] = {np.ndarray: NUMPY, float: NUMPY, int: NUMPY, list: NUMPY}


def register(cls: type, library: Library) -> Library:
    """From now on arrays of exactly this type are that library's."""
    _known[cls] = library
    return library


def library_of(function: str, named: Sequence[tuple[str, Any]], *numbers: Any) -> Library:
    """The library that computes with all of these arrays; numbers count where they are tensors."""
    best: Library = NUMPY
    if numbers:
        named = [*named, *[("a number", x) for x in numbers if _arrays.is_tensor(x)]]
    for name, x in named:
        found = _known.get(type(x)) or _first_seen(function, name, x)
        if found.rank > best.rank:
            best = found
    return best


def _first_seen(function: str, name: str, x: Any) -> Library:
    if _arrays.is_tensor(x):  # of a subclass, or the first tensor
        return register(type(x), torch_library())
    if not _arrays.is_on_device(x):
        return NUMPY
    cuda_module(function)
    framework, array = framework_of(function, name, x)
    if _arrays.is_tensor(array):
        return torch_library()
    library = Cupy(framework)
    return register(type(x), library) if type(x).__module__.partition(".")[0] == "cupy" else library


def computed_in(library: Library, arrays: Iterable[Array]) -> str:
    """What these are computed in: float64 where one is float64 or too wide an integer for float32."""
    for x in arrays:
        if library.dtype(x) in _arrays.FLOAT64:
            return "float64"
    return "float32"
