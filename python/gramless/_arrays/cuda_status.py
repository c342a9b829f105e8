"""Whether this process can compute on a GPU and, if not, why. A call loads the CUDA module."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["CudaDevice", "CudaStatus", "cuda_status"]


@dataclass(frozen=True)
class CudaDevice:
    """One GPU that the driver shows to this process.

    Attributes
    ----------
    name : str
        As the driver reports it.
    compute_capability : tuple of int
        Major and minor, such as (9, 0).
    memory_bytes : int
        The GPU's whole memory.
    reason : str or None
        Why the kernels cannot run on it, in one sentence; None if they can.
    """

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    reason: str | None


@dataclass(frozen=True)
class CudaStatus:
    """Whether gramless can compute with CUDA arrays: `bool(status)` is True if it can.

    Attributes
    ----------
    built : bool
        Whether this installation contains the CUDA module.
    toolkit, driver : str or None
        The CUDA version of this build, and the newest CUDA version that the driver supports.
    devices : tuple of CudaDevice
        The GPUs that the driver shows to this process.
    reason : str or None
        Why CUDA arrays cannot be used, in one sentence; None if they can.
    architectures : tuple of str
        The architectures that this build has code for, in CMake's notation.
    """

    built: bool
    toolkit: str | None
    driver: str | None
    devices: tuple[CudaDevice, ...]
    reason: str | None
    architectures: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user of this build should know about `GRAMLESS_HOPPER=1`, one sentence each."""
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


_module: ModuleType | None = None  # set once it is known to be usable
_devices: tuple[CudaDevice, ...] = ()  # the GPUs that it found


def cuda_status() -> CudaStatus:
    """The state of CUDA on this machine: gramless's build, the driver, the GPUs, and what is missing.

    Every call queries the driver, which initialises CUDA in this process. A process that is forked from it
    later cannot use CUDA.

    Returns
    -------
    CudaStatus
        `bool(status)` is True if CUDA arrays can be used; otherwise `status.reason` is one sentence.

    Examples
    --------
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
    """The extension module with the kernels; raises RuntimeError if it cannot run here or on this device."""
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
            f"the NVIDIA driver supports CUDA {_version(driver)} but this build needs CUDA "
            f"{_version(runtime)}; install driver 580 or newer"
        )
    if error:
        return f"the NVIDIA driver shows no GPU ({error})"
    if not devices:
        return "the NVIDIA driver shows no GPU"
    if all(device.reason for device in devices):
        return "; ".join(f"{device.name}: {device.reason}" for device in devices)
    return None
