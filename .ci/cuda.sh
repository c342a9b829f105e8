#!/usr/bin/env bash
# cuda.sh plain|sanitizers: the CUDA kernels in the emulator. plain: their tests, the emulator compared with CuTe and with
# recordings of GPUs, and planted faults, one for each group of tests. sanitizers: the tests with AddressSanitizer and
# UndefinedBehaviorSanitizer and some with ThreadSanitizer, with one planted race.
set -euo pipefail
emulated() {
  local name=$1
  shift
  mkdir -p build
  cmake -S . -B "build/$name" -G Ninja -DGRAMLESS_PYTHON=OFF -DGRAMLESS_CUDA=OFF -DGRAMLESS_CUDA_EMULATOR=ON \
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON "$@" >"build/$name.log" || { cat "build/$name.log"; exit 1; }
  cmake --build "build/$name" --target test_cuda -- --quiet
}
run() { # run BUILD [WORD]: the build's tests, or those whose name contains WORD; -WORD: those whose name does not
  printf '%s\n' 0/2 1/2 | xargs -P 2 -I PART timeout 600 "build/$1/tests/cuda/test_cuda" "${2:-}" PART
}

plain() {
  local cute toolkit recorded
  cute=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cutlass_library/source/include
  toolkit=${CUDA_HOME:-/usr/local/cuda}/include
  if [ -f "$cute/cute/tensor.hpp" ] && [ -f "$toolkit/cuda_runtime_api.h" ]; then
    cute="$cute;$toolkit;$toolkit/cccl"
  else
    echo 'SKIPPED: fragment maps against CuTe, because the headers of nvidia-cutlass or of CUDA are missing'
    cute=
  fi
  emulated cuda-plain -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DGRAMLESS_CUTE_INCLUDE="$cute"
  run cuda-plain
  if [ -n "$cute" ]; then
    cmake --build build/cuda-plain --target test_cute_maps -- --quiet
    build/cuda-plain/tests/cuda/test_cute_maps
  fi
  # Compares the primitives with recordings of GPUs, and checks that the recording script works.
  tests/cuda/golden.sh --dry-run build/golden
  for recorded in tests/cuda/golden/*.txt; do
    if [ -f "$recorded" ]; then tests/cuda/golden.py build/golden/emulated.txt "$recorded"; fi
  done
  python tests/mutation --cuda build/cuda-plain --quick
}

sanitizers() {
  emulated cuda-address -DGRAMLESS_SANITIZE=address,undefined
  run cuda-address -as_accurate
  emulated cuda-thread -DGRAMLESS_SANITIZE=thread
  python tests/mutation --cuda build/cuda-thread --quick & local race=$!
  printf '%s\n' contrastive_losses_have_no gradients_of_hsic_have contrastive_losses_on_hopper_have_the_same \
    contrastive_losses_have_the_same_bits_in contrastive_losses_have_tiles hsic_on_hopper_has hsic_matrix_has_the_same \
    hsic_has_the_same distillation_has_the_same median_of_integers |
    xargs -P 2 -I NAME timeout 600 build/cuda-thread/tests/cuda/test_cuda NAME
  wait "$race"
}

case "${1:-}" in
  plain | sanitizers) "$1" ;;
  *) echo 'cuda.sh plain|sanitizers' >&2 && exit 2 ;;
esac
