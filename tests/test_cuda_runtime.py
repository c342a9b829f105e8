"""Calls of the CUDA runtime by the primitives, counted by a runtime that does nothing: needs no GPU."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CUDA = ROOT / "tests/cuda"
# Only PTX is compiled, and none of it runs.
NVCC = ["nvcc", "-std=c++20", "-gencode", "arch=compute_90a,code=compute_90a", "-cudart", "none"]


@pytest.mark.skipif(not (shutil.which("nvcc") and shutil.which("g++")), reason="needs nvcc and g++")
def test_lookups_are_kept_and_a_launch_returns_its_own_error(tmp_path):
    kernels, runtime, program = tmp_path / "kernels.o", tmp_path / "runtime.o", tmp_path / "program"
    subprocess.run([*NVCC, "-I", ROOT / "csrc", "-c", CUDA / "counted_lookups.cu", "-o", kernels], check=True)
    subprocess.run(["g++", "-c", CUDA / "counting_runtime.cpp", "-o", runtime], check=True)
    subprocess.run(["g++", kernels, runtime, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("0 claims that do not hold\n", 0)


def test_memory_that_the_driver_moves_is_used_nowhere():
    sources = [
        path for folder in ("csrc", "tests/cuda") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    assert len(sources) > 100
    managed = ("cudaMallocManaged", "__managed__", "cudaMemPrefetchAsync")
    assert [path.name for path in sources if any(word in path.read_text() for word in managed)] == []
