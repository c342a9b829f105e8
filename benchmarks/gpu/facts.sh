#!/usr/bin/env bash
# facts.sh [--rehearse]: the GPU, its clocks, and the versions of compilers and packages.
set -uo pipefail
python=${PYTHON:-python3}
if [ "${1:-}" != --rehearse ]; then
  nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.sm,clocks.max.sm,clocks.max.mem,power.limit \
    --format=csv || exit
  nvcc --version | tail -n 2
  for tool in compute-sanitizer ncu; do command -v "$tool" || echo "$tool: not here"; done
fi
c++ --version | head -n 1
cmake --version | head -n 1
exec "$python" - <<'PYTHON'
import importlib.metadata
import platform

print("python", platform.python_version())
for package in ("torch", "numpy", "cupy", "cupy-cuda13x", "scikit-build-core", "pybind11", "ninja", "pytest"):
    try:
        print(package, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        print(package, "not here")
PYTHON
