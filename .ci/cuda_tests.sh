#!/usr/bin/env bash
# The Python half of CUDA without a GPU: its bindings with the CPU core, and with the kernels in their emulator.
set -euo pipefail
build=build/cuda_modules
python=$(command -v python)
mkdir -p build
cmake -S . -B "$build" -G Ninja -DGRAMLESS_CUDA=OFF -DGRAMLESS_CUDA_ON_HOST=ON \
  -DCMAKE_COMPILE_WARNING_AS_ERROR=ON -DPython_EXECUTABLE="$python" \
  -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >"$build.log" || { cat "$build.log"; exit 1; }
cmake --build "$build" --target cuda_test_modules -- --quiet
export GRAMLESS_CUDA_MODULES="$build"
pytest -q tests/test_cuda_arrays.py tests/test_cuda_guards.py tests/test_cuda_status.py tests/test_cuda_torch.py \
  tests/test_cuda_functions.py tests/test_cuda_refusals.py tests/test_cuda_losses.py tests/test_cuda_operators.py

# The CPU's tests of tensors, with tensors on a device. Left out are warnings and errors of the CPU that would have to wait
# for a device, integers, which kernels do not read, and exclude_easiest, which a GPU does not compute.
export TORCHINDUCTOR_FORCE_DISABLE_CACHES=1 # code compiled for the CPU must not be used here
pytest -q --tensors-on host -k 'not easiest' tests/test_torch_transforms.py tests/test_torch_operators.py tests/test_torch_losses.py \
  tests/test_torch_loss_errors.py tests/test_torch_lightly.py tests/test_torch_similarity.py \
  tests/test_torch_distributed.py tests/test_metric.py tests/test_compare_models.py tests/test_compare_batches.py \
  --deselect tests/test_torch_similarity.py::test_degenerate_representations_have_finite_gradients \
  --deselect tests/test_torch_loss_errors.py::test_a_learned_temperature_of_0_is_refused \
  --deselect tests/test_torch_losses.py::test_only_what_needs_a_gradient_gets_one
