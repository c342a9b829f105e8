"""Whose memory a device array is: cupy's, torch's, or that of a library they can read.

A framework allocates, names the stream and does the few sums around a launch. What it returns lives on the
device; nothing here waits for it. `NumpyLike` and `gramless.torch._framework.TorchFramework` have:

    owns(x), device(x), address(x), dtype(x), strides(x) in bytes, itemsize(x)
    stream(device)                              that is current now; asked at every launch
    empty(shape, dtype, device), zeros(shape, dtype, device), arange(count, device): 0, 1, ... as int32
    upload(values, device), cast(x, dtype), where(which, x, y), flatnonzero(x): where x (n,) is true
    softplus(x) = log(1 + exp(x)), sigmoid(x)
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, TypeAlias

import numpy.typing as npt

Array: TypeAlias = Any
Framework: TypeAlias = Any  # NumpyLike, or torch's
Described: TypeAlias = tuple[int, int, int, int, int, str]  # as _cuda reads it, strides in elements


class NumpyLike:
    """cupy: numpy's interface, on the device."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def owns(self, x: object) -> bool:
        return isinstance(x, self.xp.ndarray)

    def device(self, x: Array) -> int:
        return int(x.device.id)

    def stream(self, device: int) -> int:
        return int(self.xp.cuda.get_current_stream(device).ptr)

    def address(self, x: Array) -> int:
        return int(x.data.ptr)

    def dtype(self, x: Array) -> str:
        return str(x.dtype.name)

    def strides(self, x: Array) -> tuple[int, ...]:
        return tuple(x.strides)

    def itemsize(self, x: Array) -> int:
        return int(x.itemsize)

    def _on(self, device: int) -> Any:
        return self.xp.cuda.Device(device)

    def empty(self, shape: tuple[int, ...], dtype: str, device: int) -> Array:
        with self._on(device):
            return self.xp.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: str, device: int) -> Array:
        with self._on(device):
            return self.xp.zeros(shape, dtype)

    def arange(self, count: int, device: int) -> Array:
        with self._on(device):
            return self.xp.arange(count, dtype="int32")

    def upload(self, values: npt.NDArray[Any], device: int) -> Array:
        with self._on(device):
            return self.xp.asarray(values)

    def cast(self, x: Array, dtype: str) -> Array:
        return x.astype(dtype, copy=False)

    def where(self, which: Array, x: Any, y: Array) -> Array:
        return self.xp.where(which, x, y)

    def softplus(self, x: Array) -> Array:
        return self.xp.logaddexp(0.0, x)

    def sigmoid(self, x: Array) -> Array:
        return self.xp.exp(-self.xp.logaddexp(0.0, -x))

    def flatnonzero(self, x: Array) -> Array:
        return self.xp.flatnonzero(x)


_known: list[Framework] = []  # those met so far; tests add their own


def framework_of(function: str, name: str, x: Any) -> tuple[Framework, Array]:
    """The framework of a device array, and the array as that framework's, in place."""
    for framework in _known:
        if framework.owns(x):
            return framework, x
    package = type(x).__module__.partition(".")[0]
    if package == "torch":
        return _torch(), x
    if package == "cupy" or importlib.util.find_spec("cupy") is not None:
        cupy = importlib.import_module("cupy")
        _known.append(NumpyLike(cupy))
        read = cupy.asarray if hasattr(x, "__cuda_array_interface__") else cupy.from_dlpack
        return _known[-1], x if package == "cupy" else _read(function, name, x, read)
    if importlib.util.find_spec("torch") is not None:
        torch = importlib.import_module("torch")
        return _torch(), _read(function, name, x, _torch_reader(torch, x))
    raise RuntimeError(
        f"{function}: {name} is a {type(x).__name__} on a GPU, which is read through cupy or torch, "
        "but neither is installed"
    )


def torch_library() -> Any:
    """torch's library of arrays. Its modules lie above this one and load when a tensor is first seen."""
    from ..torch._namespace import TORCH  # a statement, which torch.compile can trace

    return TORCH


def _torch() -> Framework:
    return torch_library().framework


def _torch_reader(torch: Any, x: Any) -> Any:
    if hasattr(x, "__cuda_array_interface__"):
        return lambda array: torch.as_tensor(array, device="cuda")
    return torch.from_dlpack


def _read(function: str, name: str, x: Any, read: Any) -> Array:
    try:
        return read(x)
    except (TypeError, ValueError, RuntimeError, BufferError, AttributeError) as error:
        raise TypeError(f"{function}: {name} cannot be read, a {type(x).__name__} ({error})") from None


def dense_groups(framework: Framework, labels: Array, device: int) -> tuple[Array, Array]:
    """Labels (n,) on the device as int32 from 0, and whether another row has the same. Nothing is counted on
    the host, so that the device is not waited for.
    """
    n = len(labels)
    order = labels.argsort()
    ordered = labels[order]
    differs = ordered[1:] != ordered[:-1]
    ranks = framework.zeros((n,), "int32", device)
    ranks[1:] = framework.cast(differs, "int32").cumsum(0)
    partner = framework.zeros((n,), "bool", device)
    partner[1:] |= ~differs
    partner[:-1] |= ~differs
    groups, counted = framework.zeros((n,), "int32", device), framework.zeros((n,), "bool", device)
    groups[order], counted[order] = framework.cast(ranks, "int32"), partner
    return groups, counted
