#!/usr/bin/env bash
# The CUDA half without a GPU: the kernels in the emulator, plain and under sanitizers, planted faults, and, where there
# is nvcc, every source compiled for every architecture with what must and must not be in the machine code.
set -euo pipefail
emulated() {
  local name=$1
  shift
  mkdir -p build
  cmake -S . -B "build/$name" -G Ninja -DGRAMLESS_PYTHON=OFF -DGRAMLESS_CUDA=OFF -DGRAMLESS_CUDA_EMULATOR=ON \
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "$@" >"build/$name.log" || { cat "build/$name.log"; exit 1; }
  cmake --build "build/$name" --target test_cuda -- --quiet
}
run() { # run BUILD [WORD]: that build's tests, or those whose name contains the word, or after "-" does not
  printf '%s\n' 0/2 1/2 | xargs -P 2 -I PART timeout 600 "build/$1/tests/cuda/test_cuda" "${2:-}" PART
}

# Tools only, without what their packages would bring: CuTe's headers need none of it.
pip install --quiet --no-deps nvidia-cuda-cuobjdump==13.5.37 nvidia-cuda-nvdisasm==13.5.37 nvidia-cutlass==4.2.0.0
cute=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cutlass_library/source/include
toolkit=${CUDA_HOME:-/usr/local/cuda}/include
if [ -f "$cute/cute/tensor.hpp" ] && [ -f "$toolkit/cuda_runtime_api.h" ]; then
  cute="$cute;$toolkit;$toolkit/cccl"
else
  echo 'SKIPPED: fragment maps against CuTe, for the headers of nvidia-cutlass or of CUDA are missing'
  cute=
fi
emulated cuda-plain -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DGRAMLESS_CUTE_INCLUDE="$cute"
run cuda-plain
if [ -n "$cute" ]; then
  cmake --build build/cuda-plain --target test_cute_maps -- --quiet
  build/cuda-plain/tests/cuda/test_cute_maps
fi
# What GPUs recorded of the primitives, and that the script which records it works.
tests/cuda/golden.sh --dry-run build/golden
for recorded in tests/cuda/golden/*.txt; do
  if [ -f "$recorded" ]; then tests/cuda/golden.py build/golden/emulated.txt "$recorded"; fi
done
python tests/mutation --cuda build/cuda-plain --quick # all of them by hand: half an hour
emulated cuda-address -DGRAMLESS_SANITIZE=address,undefined
run cuda-address -as_accurate
emulated cuda-thread -DGRAMLESS_SANITIZE=thread
python tests/mutation --cuda build/cuda-thread --quick & race=$! # one race; others by hand: a minute each
printf '%s\n' contrastive_losses_have_no gradients_of_hsic_have contrastive_losses_on_hopper_have_the_same \
  contrastive_losses_have_the_same_bits_in contrastive_losses_have_tiles hsic_on_hopper_has hsic_matrix_has_the_same \
  hsic_has_the_same distillation_has_the_same median_of_integers |
  xargs -P 2 -I NAME timeout 600 build/cuda-thread/tests/cuda/test_cuda NAME
wait "$race"

if ! command -v nvcc >/dev/null; then
  echo 'SKIPPED: there is no nvcc, so no kernel was compiled for a GPU'
  exit
fi
.ci/cuda_code.py --objects build/cuda_code
python -m benchmarks.machine_code --objects build/cuda_code --check # what the kernels that take the time cost
