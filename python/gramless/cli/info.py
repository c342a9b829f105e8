"""`gramless info`: version and build of this installation, and the state of this machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import click

import gramless

from .terminal import one_sentence_errors, standard_output


@click.command(short_help="Versions, instruction sets, threads, CUDA.")
def info() -> None:
    """Show the version, instruction sets, threads, CUDA state, and versions of Python, numpy and torch."""
    with one_sentence_errors(), standard_output():
        for name, value in facts().items():
            click.echo(f"{name:<10} {value}")


def facts() -> dict[str, str]:
    """The values that `gramless info` shows, by name."""
    backends = gramless.backends()
    active = next(backend.name for backend in backends if backend.active)
    others = ", ".join(
        backend.name + ("" if backend.supported else " (not on this CPU)") for backend in backends
    )
    return {
        "gramless": gramless.__version__,
        "backend": f"{active} in use, of {others}",
        "threads": _threads(),
        "cuda": _cuda(),
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "numpy": _version("numpy"),
        "torch": _version("torch"),
    }


def _cuda() -> str:
    status = gramless.cuda_status()
    if status.reason is not None:
        return f"not usable: {status.reason}"
    devices = ", ".join(f"{device.name} ({device.memory_bytes / 1e9:.0f} GB)" for device in status.devices)
    hopper = any(device.compute_capability == (9, 0) for device in status.devices)
    setting = os.environ.get("GRAMLESS_HOPPER") if hopper else None
    said = f"{status.toolkit}, driver of {status.driver}, on {devices}; not verified on a GPU"
    return said + (f" (GRAMLESS_HOPPER={setting}: {'; '.join(status.notes)})" if setting else "")


def _threads() -> str:
    setting = os.environ.get("GRAMLESS_NUM_THREADS")
    return f"{gramless.get_num_threads()}" + (f" (GRAMLESS_NUM_THREADS={setting})" if setting else "")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
