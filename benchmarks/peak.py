"""The FMA peak of this machine, measured with the small C++ program fma_peak.cpp."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("fma_peak.cpp")


def active_isa() -> str:
    """The name of the backend that gramless runs on."""
    import gramless as gl

    return next(backend.name for backend in gl.backends() if backend.active)


@cache
def _program() -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """The program compiled for this CPU, because the peak is that of the machine and not of a library."""
    folder = tempfile.TemporaryDirectory()
    built = Path(folder.name) / "fma_peak"
    command = [os.environ.get("CXX", "g++"), "-std=c++20", "-O3", "-march=native"]
    subprocess.run([*command, str(SOURCE), "-o", str(built), "-pthread"], check=True)
    return built, folder


def fma_peak(threads: int, seconds: float = 0.03) -> tuple[float, float]:
    """float32 GFLOP/s of `threads` threads that only multiply and add, per CPU time and by the clock."""
    command = [str(_program()[0]), str(threads), str(seconds)]
    by_cpu, by_clock = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(by_cpu), float(by_clock)
