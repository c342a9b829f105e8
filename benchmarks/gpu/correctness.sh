#!/usr/bin/env bash
# OUT=FOLDER benchmarks/gpu/correctness.sh [--rehearse] [--wheel FILE]: whether the CUDA kernels are right on the GPU of
# this machine.
#
# Builds them, compares values and gradients with float64 at sizes of many tiles, records the results of primitives, and
# runs the tests. Needs Python with torch, numpy, pybind11, scikit-build-core, cmake, ninja and pytest, and nvcc 13; no
# network, no git. Takes at most 300 s. Writes $OUT/correctness.tgz and, for speed.sh, $OUT/gramless-*.whl.
# --rehearse: the same steps without a GPU, on the CPU or, if GRAMLESS_CUDA_MODULES names their folder, with the emulated
# kernels; fails if a step cannot run.
name=correctness budget=300
. "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

export GRAMLESS_CUDA=ON CUDAARCHS=90a-real CUDAFLAGS=-lineinfo
rehearsed=()
if [ $rehearse = 1 ]; then
  export GRAMLESS_CUDA=OFF
  rehearsed=(--rehearse)
fi
step facts 15 benchmarks/gpu/facts.sh "${rehearsed[@]}"
step build 150 benchmarks/gpu/build.sh "$scratch/site" "$wheel" || finish
if [ -z "$wheel" ]; then cp "$scratch"/gramless-*.whl "$out"; fi
export PYTHONPATH=$scratch/site

step status 20 "$python" -m benchmarks.gpu.status --device "$device" || finish
step accuracy 110 "$python" -m benchmarks.gpu.accuracy --device "$device" --seconds 100 --out "$logs/accuracy.jsonl"
golden=("$logs/golden")
if [ $rehearse = 1 ]; then golden=(--dry-run "$logs/golden"); fi
step golden 60 tests/cuda/golden.sh "${golden[@]}"
rm -f "$logs"/golden/{emulated,recorded}{,.o} # removes the programs and keeps their output
step first-capture 30 "$python" -m benchmarks.gpu.first_capture --device "$device"
tests=("$python" -m pytest -q -p no:cacheprovider -W ignore)
step graphs 45 "${tests[@]}" tests/test_cuda_gpu.py
step graphs-hopper 30 env GRAMLESS_HOPPER=1 "${tests[@]}" tests/test_cuda_gpu.py -k 'nt_xent or cka'
chosen=(-m cuda)
if [ $rehearse = 1 ]; then chosen=(-k 'nt_xent and not graph'); fi
step tests 60 "${tests[@]}" --maxfail=5 "${chosen[@]}" tests/test_cuda_arrays.py tests/test_cuda_guards.py \
  tests/test_cuda_losses.py tests/test_cuda_operators.py tests/test_cuda_torch.py
finish
