#!/usr/bin/env bash
# golden.sh [--dry-run] FOLDER: what the primitives of the kernels do on this GPU, one probe each, into FOLDER/recorded.txt,
# beside what the emulator says, FOLDER/emulated.txt; ends with 1 where they differ. What a GPU recorded belongs into
# tests/cuda/golden/NAME.txt: .ci/cuda.sh compares it with the emulator from then on.
# --dry-run: recorded by the emulator, where there is no GPU; nvcc, if it is there, compiles the probes all the same.
set -euo pipefail
cd "$(dirname "$0")/../.."
dry=0
if [ "${1:-}" = --dry-run ]; then dry=1 && shift; fi
folder=${1:?golden.sh: which folder?}
mkdir -p "$folder"
compiler=${CXX:-c++}
${CMAKE_CXX_COMPILER_LAUNCHER:-} "$compiler" -std=c++20 -O1 -Wno-unknown-pragmas -Icsrc -Itests -Itests/cuda -x c++ \
  -c tests/cuda/golden_probes.cu -o "$folder/emulated.o"
"$compiler" "$folder/emulated.o" -o "$folder/emulated"
"$folder/emulated" >"$folder/emulated.txt"
if [ "$dry" = 0 ]; then
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | sed 's/\.//; s/^/sm_/; s/sm_90/sm_90a/')
  nvcc -std=c++20 -O3 -Icsrc -Itests/cuda -arch="$architecture" tests/cuda/golden_probes.cu -o "$folder/recorded"
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1 | sed 's/^/# /' >"$folder/recorded.txt"
  nvcc --version | tail -n 1 | sed 's/^/# /' >>"$folder/recorded.txt"
  "$folder/recorded" >>"$folder/recorded.txt"
else
  if command -v nvcc >/dev/null; then
    for architecture in sm_80 sm_90a; do
      ${CMAKE_CUDA_COMPILER_LAUNCHER:-} nvcc -std=c++20 -O3 -Icsrc -Itests/cuda -Werror all-warnings -arch=$architecture \
        -c tests/cuda/golden_probes.cu -o "$folder/recorded.o"
    done
  fi
  "$folder/emulated" >"$folder/recorded.txt"
fi
"${PYTHON:-python3}" tests/cuda/golden.py "$folder/emulated.txt" "$folder/recorded.txt"
