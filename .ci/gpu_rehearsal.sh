#!/usr/bin/env bash
# gpu_rehearsal.sh [PYTHON] [emulated]: every step of the GPU run without a GPU, on the CPU and with the emulated kernels
# that .ci/cuda_tests.sh has built, or with these alone; then reads their results. Fails if a step cannot run.
# PYTHON: that of another environment, such as one with the torch of the machine with the GPU.
set -euo pipefail
PYTHON=$(command -v "${1:-python}")
export PYTHON
"$PYTHON" -c 'import scikit_build_core' 2>/dev/null || "$PYTHON" -m pip install --quiet -c constraints.txt scikit-build-core
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
modules=${GRAMLESS_CUDA_MODULES:-build/cuda_modules}
modules=$(cd "$modules" && pwd)
unset GRAMLESS_CUDA_MODULES

script() { # script FOLDER NAME ARGUMENTS...
  local folder=$1 name=$2
  shift 2
  OUT=$folder "benchmarks/gpu/$name.sh" --rehearse "$@" >"$folder.log" 2>&1 || { cat "$folder.log"; return 1; }
  tail -n 1 "$folder.log"
}
rehearse() { # rehearse NAME [--wheel FILE]
  local folder=$results/$1
  shift
  script "$folder" correctness "$@"
  script "$folder" speed --wheel "$results"/*/gramless-*.whl
  "$PYTHON" -m benchmarks.gpu.read "$folder" --out "$folder.json" >"$folder.md" || { cat "$folder.md"; return 1; }
  [ "$(find "$folder" -type f | wc -l)" -le 8 ] && [ -z "$(find "$folder" -type f -size +16M)" ]
}
if [ "${2:-}" = emulated ]; then
  GRAMLESS_CUDA_MODULES=$modules rehearse emulated
  exit
fi
rehearse cpu
GRAMLESS_CUDA_MODULES=$modules rehearse emulated --wheel "$results"/cpu/gramless-*.whl
