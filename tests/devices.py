"""Devices for the tests of the CUDA half: a real GPU, or a stand-in on this machine's memory.

"host" is the bindings over the CPU core, which shows that the Python half is right; "emulated" is the
bindings over the kernels themselves, compiled for the CPU. .ci/cuda_tests.sh builds both into the folder that
GRAMLESS_CUDA_MODULES names.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

import gramless
import numpy as np
import pytest
from gramless import _arrays
from gramless._arrays import cuda_status as status
from gramless._arrays import libraries

FOLDER = os.environ.get("GRAMLESS_CUDA_MODULES")
MODULES = {"host": "_cuda_on_host", "emulated": "_cuda_emulated"}


class DeviceArray(np.ndarray):
    """The interface of a GPU array library's arrays, with addresses of the host."""

    number = 0  # of its device

    @property
    def __cuda_array_interface__(self):
        return self.__array_interface__ | {"version": 3, "stream": None}

    def __array_finalize__(self, other):
        self.number = getattr(other, "number", 0)


class HostLibrary(libraries.Cupy):
    """numpy in place of cupy. Empty arrays hold NaN, so that reading them shows."""

    def __init__(self):
        super().__init__(np)
        self.streams, self.allocated = [], []

    def owns(self, x):
        return isinstance(x, DeviceArray)

    def device(self, x):
        return x.number

    def stream(self, device):
        self.streams.append(len(self.streams))
        return 0

    def address(self, x):
        return x.ctypes.data

    def empty(self, shape, dtype, device=None):
        self.allocated.append((shape, dtype))
        found = np.empty(shape, dtype)
        found.view(np.uint8)[...] = 255
        return found.view(DeviceArray)

    def zeros(self, shape, dtype, device=None):
        return np.zeros(shape, dtype).view(DeviceArray)

    def arange(self, count, device=None):
        return np.arange(count, dtype=np.int32).view(DeviceArray)

    def upload(self, values, device):
        return values.view(DeviceArray)

    def where(self, which, x, y):
        return np.where(which, x, y).view(DeviceArray)


@cache
def extension(kind):
    """The extension module of that kind, or None if it was not built."""
    found = sorted(Path(FOLDER).glob(f"**/{MODULES[kind]}.*.so")) if FOLDER else []
    if not found:
        return None
    spec = importlib.util.spec_from_file_location(MODULES[kind], found[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def has_gpu():
    """Whether this process can compute on a GPU and has the libraries for arrays on it."""
    wanted = all(importlib.util.find_spec(package) for package in ("torch", "cupy"))
    return bool(wanted and gramless.cuda_status())


def present():
    """The parameters of a test that runs on every available device."""
    kinds = [kind for kind in MODULES if extension(kind) is not None]
    kinds += [pytest.param("cuda", marks=pytest.mark.cuda)] if has_gpu() else []
    reason = "no GPU here, and .ci/cuda_tests.sh did not build what stands in for one"
    return kinds or [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


class Device:
    """One device, with conversions of values to it and back."""

    def __init__(self, kind, library=None):
        self.kind, self.library = kind, library

    def array(self, values):
        """As an array of cupy or of its stand-in."""
        if self.kind == "cuda":
            import cupy

            return cupy.asarray(values)
        return np.array(values, copy=True).view(DeviceArray)

    def in_place(self, values):
        """The same memory, if that of the host stands in for the device's."""
        return values.view(DeviceArray)

    def tensor(self, values, **options):
        import torch

        x = torch.as_tensor(values).to("cuda" if self.kind == "cuda" else "cpu")
        return x.detach().requires_grad_(options.get("requires_grad", False))

    def numpy(self, x):
        """The values, on the host."""
        if type(x).__module__.startswith("torch"):
            return x.detach().cpu().numpy()
        return np.asarray(x.get() if hasattr(x, "get") else x)

    def is_here(self, x):
        """Whether x lives on this device."""
        if type(x).__module__.startswith("torch"):
            return x.is_cuda == (self.kind == "cuda")
        return self.kind == "cuda" or isinstance(
            x, (DeviceArray, np.generic)
        )  # numpy's 0-d arrays are scalars


def device(kind, monkeypatch):
    """The device of that kind; where it is this machine's memory, for as long as the test runs."""
    if kind == "cuda":
        return Device("cuda")
    library = HostLibrary()
    monkeypatch.setattr(status, "_module", extension(kind))
    monkeypatch.setattr(status, "_devices", ())
    monkeypatch.setattr(libraries, "_cupy", lambda: library)
    if importlib.util.find_spec("torch") is not None:
        import torch
        from gramless.torch._tensors import Tensors

        monkeypatch.setattr(_arrays, "TENSOR_DEVICES", frozenset(["cpu"]))
        monkeypatch.setattr(Tensors, "stream", lambda self, device: 0)
        monkeypatch.setattr(Tensors, "_on", lambda self, device: torch.device("cpu"))
    return Device(kind, library)
