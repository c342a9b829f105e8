"""Whether this process can compute on a GPU, and in one sentence why not. Loads the CUDA module then."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["CudaDevice", "CudaStatus", "cuda_status"]


@dataclass(frozen=True)
class CudaDevice:
    """One GPU the driver shows to this process."""

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    reason: str | None  # why the kernels cannot run on it, in one sentence


@dataclass(frozen=True)
class CudaStatus:
    """Whether CUDA arrays can be computed with: `bool(status)`, and if not, the reason in one sentence."""

    built: bool
    toolkit: str | None  # the CUDA version of this build
    driver: str | None  # the newest CUDA version the driver knows
    devices: tuple[CudaDevice, ...]
    reason: str | None
    architectures: tuple[str, ...] = ()  # those that this build has code for, in CMake's notation

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user of this build should know, a sentence each: which kernels `GRAMLESS_HOPPER=1` gives."""
        if self.reason is not None or not any(d.compute_capability == (9, 0) for d in self.devices):
            return ()
        if not any(architecture.startswith("90a") for architecture in self.architectures):
            return (
                "GRAMLESS_HOPPER=1 changes nothing, because this build has no code for 90a, only for "
                f"{', '.join(self.architectures) or 'unknown architectures'}",
            )
        return ("the kernels of GRAMLESS_HOPPER=1 are unverified: no GPU has run them",)

    def __bool__(self) -> bool:
        return self.reason is None


_module: ModuleType | None = None  # once it is known to be usable
_devices: tuple[CudaDevice, ...] = ()  # that it found


def cuda_status() -> CudaStatus:
    """The state of CUDA on this machine: gramless's build, driver, devices, what is missing.

    Asks the driver anew at every call; that starts CUDA in this process, after which a fork must not use it.

    >>> status = cuda_status()
    >>> bool(status) == (status.reason is None)
    True
    """
    try:
        module: Any = import_module("gramless._cuda")
    except ImportError as error:
        return CudaStatus(False, None, None, (), _why_not_loaded(error))
    driver, runtime, found, failure = module.devices()
    devices = tuple(CudaDevice(name, (major, minor), *more) for name, major, minor, *more in found)
    reason = _why_not_usable(driver, runtime, devices, failure)
    versions = _version(runtime), _version(driver) if driver else None
    return CudaStatus(True, *versions, devices, reason, tuple(module.architectures.split()))


def cuda_module(function: str, device: int | None = None) -> Any:
    """The extension module with the kernels; raises RuntimeError where it cannot run, or not on a device."""
    global _module, _devices
    if _module is None:
        status = cuda_status()
        if not status:
            raise RuntimeError(f"{function}: CUDA arrays cannot be used here, because {status.reason}")
        _module, _devices = import_module("gramless._cuda"), status.devices
    if device is not None and device < len(_devices) and _devices[device].reason is not None:
        one = _devices[device]
        raise RuntimeError(f"{function}: device {device}, {one.name}, cannot be used, because {one.reason}")
    return _module


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _why_not_loaded(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "this installation was built without CUDA (build it with GRAMLESS_CUDA=ON, or pypi)"
    return f"the module gramless._cuda cannot be loaded ({error})"


def _why_not_usable(driver: int, runtime: int, devices: tuple[CudaDevice, ...], error: str) -> str | None:
    if driver == 0:
        return "no NVIDIA driver was found"
    if driver // 1000 < runtime // 1000:
        return (
            f"the NVIDIA driver knows CUDA {_version(driver)} but this build is of CUDA {_version(runtime)}; "
            "driver 580 or newer is needed"
        )
    if error:
        return f"the NVIDIA driver shows no GPU ({error})"
    if not devices:
        return "the NVIDIA driver shows no GPU"
    if all(device.reason for device in devices):
        return "; ".join(f"{device.name}: {device.reason}" for device in devices)
    return None
