#!/usr/bin/env bash
# gpu_rehearsal.sh [PYTHON]: every step of the GPU run, without a GPU: on the CPU, and over the emulated kernels that
# .ci/cuda_tests.sh has built; then the reader on what they left. Fails where a step cannot run. PYTHON: of another
# environment, such as one with the torch of the machine with the GPU, to which its own versions belong.
set -euo pipefail
python=$(command -v "${1:-python}")
export PYTHON=$python
"$python" -c 'import scikit_build_core' 2>/dev/null || "$python" -m pip install --quiet -c constraints.txt scikit-build-core
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
rehearse() {
  local name=$1 script
  mkdir "$results/$name"
  for script in correctness speed; do
    OUT=$results/$name "benchmarks/gpu/$script.sh" --rehearse >"$results/$name.log" 2>&1 || { cat "$results/$name.log"; return 1; }
    tail -n 1 "$results/$name.log"
  done
  # A rehearsal on a CPU has nothing to compare kernels with, but every step ran and every file can be read.
  "$python" -m benchmarks.gpu.read "$results/$name" --out "$results/$name.json" >"$results/$name.md" || { cat "$results/$name.md"; return 1; }
  [ "$(find "$results/$name" -type f | wc -l)" -le 8 ]
  [ -z "$(find "$results/$name" -type f -size +16M)" ]
}
modules=${GRAMLESS_CUDA_MODULES:-build/cuda_modules}
unset GRAMLESS_CUDA_MODULES
rehearse cpu
GRAMLESS_CUDA_MODULES=$(cd "$modules" && pwd)
export GRAMLESS_CUDA_MODULES
rehearse emulated
