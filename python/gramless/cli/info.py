"""`gramless info`: what this installation is and what it found on this machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import click

import gramless


@click.command()
def info() -> None:
    """Show version, instruction sets, threads, CUDA state and the versions beside it."""
    for name, value in facts().items():
        click.echo(f"{name:<10} {value}")


def facts() -> dict[str, str]:
    """Everything `gramless info` shows, by name."""
    backends = list(gramless.backends())
    return {
        "gramless": gramless.__version__,
        "backend": f"{backends[0]} in use; this CPU can run: {', '.join(backends)}",
        "threads": _threads(),
        "cuda": "not in this build (CPU only)",
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "numpy": _version("numpy"),
        "torch": _version("torch"),
    }


def _threads() -> str:
    setting = os.environ.get("GRAMLESS_NUM_THREADS")
    return f"{gramless.num_threads()}" + (f" (GRAMLESS_NUM_THREADS={setting})" if setting else "")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
