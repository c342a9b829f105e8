"""The FMA peak of this machine, measured by a small C++ program of our own. Knows nothing of the problems."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import gramless as gl

FLAGS = {  # as in CMakeLists.txt
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mtune=haswell"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"],
}
FLAGS["amx"] = FLAGS["avx512"]  # the peak is of multiply-adds in float32, which the matrix unit has none of


def active_isa() -> str:
    """The name of the backend that gramless runs on."""
    return next(backend.name for backend in gl.backends() if backend.active)


@cache
def _library(isa: str) -> ctypes.CDLL:
    source = Path(__file__).with_name("fma_peak.cpp")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / f"fma_peak_{isa}.so"
        command = [os.environ.get("CXX", "g++"), "-std=c++20", "-O3", "-fPIC", "-shared", *FLAGS[isa]]
        subprocess.run([*command, str(source), "-o", str(built), "-pthread"], check=True)
        library = ctypes.CDLL(str(built))
    library.fma_peak.restype = ctypes.c_double
    library.fma_peak.argtypes = [ctypes.c_int, ctypes.c_double]
    return library


def fma_peak(threads: int, seconds: float = 0.05, isa: str | None = None) -> float:
    """float32 FLOP/s of `threads` threads doing nothing but fused multiply-adds."""
    return float(_library(isa or active_isa()).fma_peak(threads, seconds))
