# Sourced by .ci/run and .ci/full: makes a clean copy of the tree to work in, and defines every stage and its purpose.
#
# A stage is a function; `stage` prints its purpose and the seconds it took. Everything ends at the first failure.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
second= # the process of the second list of stages while it runs
cleanup() {
  [ -z "$second" ] || { kill "$second" || true; wait "$second" || true; cat "$work.beside"; }
  rm -rf "$work" "$work.ccache" "$work.beside" "$work.gpu"
}
trap cleanup EXIT
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  [ ! -f "$file" ] || cp --parents "$file" "$work"
done
cd "$work"
export PATH="$work/.venv/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1
unset GRAMLESS_BACKEND GRAMLESS_NUM_THREADS PYTHONPATH

# Several stages compile the same sources in the same way: a compiler cache, empty at first, makes that seconds. Paths
# are relative to it, so that what is compiled from an sdist elsewhere is found, too.
if command -v ccache >/dev/null || apt-get install -qq -y ccache >/dev/null 2>&1; then
  export CCACHE_DIR="$work.ccache" CCACHE_BASEDIR="$(dirname "$work")"
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi
export CXX="${CXX:-g++}" SKBUILD_CMAKE_DEFINE='CMAKE_COMPILE_WARNING_AS_ERROR=ON' # in README's commands, too

cpu_seconds() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%d", ($16 + $17) / hz }' "/proc/$1/stat"; } # of ended children
# stage NAME...: runs stages one after the other.
stage() {
  local name started cpu shell=$BASHPID
  for name; do
    started=$SECONDS cpu=$(cpu_seconds "$shell")
    printf '\n=== %s: %s\n' "$name" "${purpose[$name]}"
    "$name"
    printf -- '--- %s: %d s, %d s of CPU\n' "$name" $((SECONDS - started)) $(($(cpu_seconds "$shell") - cpu))
  done
}
# together STAGES STAGES: runs two lists, each on one core; the output of the second list is printed at the end.
together() {
  stage $2 >"$work.beside" 2>&1 & second=$!
  stage $1
  wait "$second" || { second= && cat "$work.beside" && return 1; }
  second=
  cat "$work.beside"
}
finish() { printf '\nall of it holds, after %d s\n' "$SECONDS"; }

declare -A purpose=(
  [demo]="README's first command works in a fresh environment"
  [tests]="README's second command passes"
  [tools]='the other tools of development are installed'
  [pinned]='every installed package has its version in constraints.txt'
  [peers]='losses agree with those of other packages'
  [types]='mypy'
  [format]='Python and C++ are formatted, and ruff finds nothing'
  [texts]='words are spelled correctly, and files for the public host are valid'
  [cpp]='C++ tests for vectors of 64 bytes and for a matrix unit'
  [weak_symbols]='no code of one instruction set has a name that others share'
  [cpu_code]='machine code of the loops, and instructions of small calls, are within their budgets'
  [cpp_address]='C++ tests without memory errors and undefined behaviour'
  [cpp_threads]='no race in the thread pool, the walk over tiles and calls on several threads'
  [cuda]='CUDA kernels are right in the emulator, and its tests notice planted faults'
  [cuda_code]='CUDA kernels compile for compute capability 9.0 without spills and within their budgets'
  [cuda_python]='the Python half of CUDA with the CPU core and with the emulated kernels'
  [gpu_run_emulated]='both scripts of the GPU run work with torch 2.11 and the newest numpy over the emulated kernels'
  [faults]='tests notice the planted faults that are quick to try'
  [docs]='the documentation builds without a warning, and its notebook has the outputs that it gives'
  [valgrind]='no memory error with the extension in its stack'
  [wheel]='an sdist, and a wheel of it that works in a clean environment'
  [interrupts]='calls end soon after an interrupt, with no other stage running'
  [operations]='single operations, as benchmarks call them'
  [examples]='every example runs, at small sizes'
  [benchmarks]='all contenders of the benchmarks have right answers'
  [portable]="clang compiles the core for macOS"
)

mapfile -t readme < <(awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md | head -n 2)
case "${readme[0]}|${readme[1]}" in
  *'gramless demo|'*'pytest -n auto') ;;
  *) echo "README.md does not begin with the demo's and the tests' command" >&2; exit 1 ;;
esac
demo() { bash -euo pipefail -c "${readme[0]}"; test -s gramless-demo/demo.png; }
tests() { bash -euo pipefail -c "${readme[1]}"; }
tools() {
  .ci/install_tools.sh
  # Tools only, without what their packages would bring: CuTe's headers need none of it.
  pip install --quiet --no-deps nvidia-cuda-cuobjdump==13.5.37 nvidia-cuda-nvdisasm==13.5.37 nvidia-cutlass==4.2.0.0
}
pinned() { .ci/pinned.py; }
peers() { pytest -q tests/test_contrastive_peers.py; }
types() { mypy; }
format() {
  ruff format --check --quiet .
  ruff check .
  find csrc tests -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh' | xargs clang-format --dry-run -Werror
}
texts() {
  codespell
  zizmor --offline --quiet .github
  check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
  check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
  check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
  check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
  check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
}
cpp() { .ci/cpp_tests.sh plain -DGRAMLESS_TEST_WIDTHS=64 -DCMAKE_COMPILE_WARNING_AS_ERROR=ON; }
weak_symbols() { .ci/weak_symbols.sh build/plain; }
cpu_code() { .ci/cpu_code.py build/plain; }
cpp_sanitized() { # cpp_sanitized NAME SANITIZERS [CMAKE OPTIONS]
  .ci/cpp_tests.sh "$1" -DGRAMLESS_SANITIZE="$2" -DGRAMLESS_BASELINE_ONLY=ON -DGRAMLESS_TEST_MATRIX_UNIT=OFF "${@:3}"
}
cpp_address() { cpp_sanitized address address,undefined -DGRAMLESS_TEST_WIDTHS=32; }
cpp_threads() {
  cpp_sanitized thread thread -DGRAMLESS_TEST_WIDTHS=
  for call in nt_xent_512 cka_median_512 cka_linear_64 matrix_rbf_64; do
    build/thread/tests/cpp/small_calls "$call" 4
  done
}
cuda() { .ci/cuda.sh plain; }
cuda_code() { # cuda_code [ARCHITECTURE...]
  command -v nvcc >/dev/null || { echo 'SKIPPED: there is no nvcc, so no kernel was compiled for a GPU'; return; }
  .ci/cuda_code.py --objects build/cuda_code --architectures "${@:-90a}"
  python -m benchmarks.machine_code --objects build/cuda_code --check # costs of the most expensive kernels
}
cuda_python() { .ci/cuda_tests.sh; }
gpu_run() { # with torch of the version on machines with a GPU, the newest numpy, and no other packages
  python -m venv "$work.gpu"
  "$work.gpu/bin/pip" install --quiet torch==2.11.0 numpy
  "$work.gpu/bin/pip" install --quiet -c constraints.txt cmake ninja pybind11 pytest scikit-build-core
  .ci/gpu_rehearsal.sh "$work.gpu/bin/python" "$@"
}
gpu_run_emulated() { gpu_run emulated; }
faults() { python tests/mutation --quick; }
docs() {
  python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
  pytest -q tests/test_notebook.py
}
valgrind() { .ci/valgrind.sh; }
wheel() { .ci/wheels.sh; }
interrupts() { pytest -q --slow tests/test_robustness.py tests/test_compare.py -k interrupt; }
operations() { pytest -q benchmarks/bench_kernels.py --benchmark-disable; }
examples() {
  python examples/saved_activations_to_heatmap.py --rows 500 --out heatmap.png
  python examples/independence_test.py --rows 200 --permutations 200
  python examples/million_rows_from_disk.py --rows 100000 --columns 32 --layers 3 --checkpoint sweep.npz
  python examples/sanity_check.py --quick --out sanity.png
  python examples/block_structure.py --quick --out blocks.png
  python examples/depth_pathology.py --quick --out depth.png
  python examples/colour_distortion.py --quick --out colours.png
  python examples/hard_negatives.py --quick --out negatives.png
  python examples/batch_and_temperature.py --quick --out batches.png
  python examples/loss_functions.py --quick --out losses.png
  python examples/dj_mix.py --quick --out mix.png
  python examples/simclr_fashion_mnist.py --quick --out simclr.png
  python examples/simclr_v2_distillation.py --quick --out steps.png
  python examples/cka_distillation.py --quick
}
benchmarks() { python -m benchmarks --quick --budget 0.3; }
portable() { .ci/portable.sh --quick; }

core() {
  stage demo tests tools pinned cpp
  together 'weak_symbols cpu_code cpp_threads' 'peers types format texts docs'
  together 'cpp_address' 'cuda'
  together 'cuda_python' 'wheel valgrind portable'
  together 'gpu_run_emulated benchmarks cuda_code' 'faults examples operations'
  stage interrupts
}
