"""The library of an array: numpy, cupy, torch, or another one whose arrays one of these reads.

Beside the methods of `Numpy`, the library of a device has `owns`, `imported`, `stream` (the current stream,
read at every launch), `address`, `strides` in bytes, `itemsize` and `upload`. Its results are on the device,
and no method waits for the device. torch's library is imported by name when a tensor is first seen.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from .. import _arrays
from .._losses import OfRows, ignored_among
from .cuda_status import cuda_module
from .namespaces import NUMPY, Array, Arrays, Library, Named, Numpy, Values


class Cupy(Numpy):
    """cupy, or a stand-in for it: numpy's interface on a device."""

    rank = 1
    allow_tf32 = False

    def __init__(self, module: Any) -> None:
        self.module = module

    def owns(self, x: object) -> bool:
        return isinstance(x, self.module.ndarray)

    def read(self, function: str, name: str, x: Any) -> Array:
        return x if self.owns(x) else read_by(self, function, name, x)

    def imported(self, x: Any) -> Array:
        """Another library's array on the device as an array of this library, in place."""
        is_described = hasattr(x, "__cuda_array_interface__")
        return self.module.asarray(x) if is_described else self.module.from_dlpack(x)

    def check(self, function: str, named: Named, arrays: Arrays) -> None:
        for (name, _), x in zip(named, arrays, strict=True):
            size, strides = self.itemsize(x), self.strides(x)
            if any(stride % size for stride in strides) or self.address(x) % size:
                raise ValueError(
                    f"{function}: {name} must have elements that are aligned to their size {size} "
                    f"but has strides {strides} at address {self.address(x)}"
                )

    def on_device(self, x: Array) -> bool:
        return True

    def device(self, x: Array) -> Any:
        return int(x.device.id)

    def device_index(self, x: Array) -> Any:
        return self.device(x)

    def dtype(self, x: Array) -> str:
        return str(x.dtype.name)

    def stream(self, device: int) -> int:
        return int(self.module.cuda.get_current_stream(device).ptr)

    def address(self, x: Array) -> int:
        return int(x.data.ptr)

    def strides(self, x: Array) -> tuple[int, ...]:
        return tuple(x.strides)

    def itemsize(self, x: Array) -> int:
        return int(x.itemsize)

    def empty(self, shape: Sequence[int], dtype: str, device: Any = None) -> Array:
        with self.module.cuda.Device(device):
            return self.module.empty(shape, dtype)

    def arange(self, count: int, device: Any = None) -> Array:
        with self.module.cuda.Device(device):
            return self.module.arange(count, dtype="int32")

    def upload(self, values: Values, device: Any) -> Array:
        with self.module.cuda.Device(device):
            return self.module.asarray(values)

    def where(self, which: Array, x: Any, y: Array) -> Array:
        return self.module.where(which, x, y)

    def result(self, value: Any, dtype: str = "float64") -> Any:
        return self.cast(value, dtype)

    def gradient(self, value: Any, like: Any, dtype: str) -> Any:
        return value if value.ndim == 2 else self.cast(value.reshape(-1)[0], dtype)

    def cotangent(self, backend: Any, grad: Any, shape: tuple[int, ...]) -> Any:
        if self.owns(grad):
            return self.cast(grad, "float64")
        given = np.array(_arrays.wide_on_host(grad))  # a copy: no writable view of the user's array
        uploaded = self.upload(np.atleast_1d(given), backend.device)
        return uploaded if shape else uploaded[0]

    def labels(self, what: OfRows, labels: Any, ignored: Any = None) -> tuple[Any, int | None]:
        if not self.owns(labels):
            return super().labels(what, labels, ignored)
        what.check(labels, labels.dtype.kind in "biu")
        return labels, ignored_among(self.dtype(labels), ignored)

    def beside(self, function: str, name: str, values: Any, x: Array) -> Array:
        if self.owns(values):
            return values
        return self.upload(np.array(NUMPY.read(function, name, values)), self.device(x))

    def why_not_in_parts(self, layers: Sequence[Array]) -> str | None:
        return "are for layers in the CPU's memory; copy them there"


_known: dict[type, Library] = {np.ndarray: NUMPY, float: NUMPY, int: NUMPY, list: NUMPY}


def register(cls: type, library: Library) -> Library:
    """Assigns arrays of exactly this type to the library."""
    _known[cls] = library
    return library


def library_of(function: str, named: Named, number: Any = None) -> Library:
    """The library that computes with all of these arrays; a number counts where it is a tensor."""
    best: Library = NUMPY
    for name, x in named:
        found = _known.get(type(x)) or _first_seen(function, name, x)
        if found.rank > best.rank:
            best = found
    return torch_library() if best.rank < 2 and _arrays.is_tensor(number) else best


def _first_seen(function: str, name: str, x: Any) -> Library:
    if _arrays.is_tensor(x):  # of a subclass, or the first tensor
        return register(type(x), torch_library())
    if not _arrays.is_on_device(x):
        return NUMPY
    cuda_module(function)
    library = _reader_of(function, name, x)
    return register(type(x), library) if type(x).__module__.partition(".")[0] == "cupy" else library


def torch_library() -> Library:
    """torch's library of arrays. Its modules lie above this one, and load when a tensor is first seen."""
    _load("gramless.torch._namespace")
    return _arrays.tensors


def _load(module: str) -> None:
    import_module(module)


# What torch.compiler.assume_constant_result sets: torch.compile may be tracing when a tensor is first seen.
_load._dynamo_marked_constant = True  # type: ignore[attr-defined]


def read_by(library: Library, function: str, name: str, x: Any) -> Array:
    """An array on a device as an array of the library, in place; raises TypeError if another one reads it."""
    if _reader_of(function, name, x) is not library:
        raise TypeError(f"{function}: {name} and another array are of two libraries; convert one of them")
    try:
        return library.imported(x)
    except (TypeError, ValueError, RuntimeError, BufferError, AttributeError) as error:
        raise TypeError(f"{function}: {name} is a {type(x).__name__} that cannot be read ({error})") from None


@cache
def _cupy() -> Library | None:
    """cupy's library, or None where cupy is not installed."""
    return None if importlib.util.find_spec("cupy") is None else Cupy(import_module("cupy"))


def _reader_of(function: str, name: str, x: Any) -> Library:
    """The library that reads an array of a device."""
    if type(x).__module__.partition(".")[0] == "torch":
        return torch_library()
    cupy = _cupy()
    if cupy is not None:
        return cupy
    if importlib.util.find_spec("torch") is not None:
        return torch_library()
    raise RuntimeError(
        f"{function}: {name} is a {type(x).__name__} on a GPU, which is read through cupy or torch, "
        "but neither is installed"
    )
