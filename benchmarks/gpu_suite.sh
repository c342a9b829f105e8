#!/usr/bin/env bash
# gpu_suite.sh [--dry-run] [--only STEP ...] [--out FILE]: everything one needs a GPU for, meant for 15 minutes.
#
# Expects Python 3.11 or newer with torch, cupy, pybind11, scikit-build-core, cmake, ninja and pytest, nvcc 13, and no
# network. Every step has its own limit in seconds; a step that fails is recorded and does not stop the others.
# --dry-run: the same steps on small sizes and the CPU, as far as they go without a GPU.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
dry=0 out='' only=()
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=1 ;;
    --only) only+=("${2:?--only needs a step}") && shift ;;
    --out) out=${2:?--out needs a file} && shift ;;
    --help) usage && exit ;;
    *) echo "gpu_suite.sh: unknown argument $1" >&2 && exit 2 ;;
  esac
  shift
done

python=${PYTHON:-python}
if [ "$dry" = 0 ]; then
  gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || true
  if [ -z "${gpu:-}" ]; then
    echo "gpu_suite.sh: there is no GPU here; --dry-run tries what can be tried without" >&2
    exit 1
  fi
  name=$(tr -cs '[:alnum:]' '-' <<<"${gpu,,}")
  out=${out:-benchmarks/results/${name%-}.json}
else
  out=${out:-$(mktemp -d)/dry-run.json}
fi
logs=${out%.json}-logs
mkdir -p "$logs"
: >"$logs/steps.tsv"

# step NAME LIMIT COMMAND...: runs it unless --only names others, and writes down how it went.
step() {
  local name=$1 limit=$2 started=$SECONDS status
  shift 2
  if [ ${#only[@]} -gt 0 ] && [[ " ${only[*]} " != *" $name "* ]]; then return; fi
  printf '=== %s: %s\n' "$name" "$*"
  timeout --kill-after=10 "$limit" "$@" >"$logs/$name.log" 2>&1
  status=$?
  printf '%s\t%s\t%s\n' "$name" "$status" $((SECONDS - started)) >>"$logs/steps.tsv"
  tail -n 3 "$logs/$name.log"
  printf -- '--- %s: status %s after %s s\n' "$name" "$status" $((SECONDS - started))
}

tests=(tests/test_cuda_arrays.py tests/test_cuda_guards.py tests/test_cuda_torch.py)
build=("$python" -m pip install --no-build-isolation --no-deps --quiet .)
small=("$python" -m benchmarks.gpu_small)
if [ "$dry" = 1 ]; then
  device=cpu
  step golden 120 tests/cuda/golden.sh --dry-run "$logs/golden"
  step tests 120 "$python" -m pytest -q "${tests[@]}"
  step graphs-and-streams 60 "$python" -m pytest -q tests/test_cuda_gpu.py
  step small 60 "${small[@]}" --device cpu
  step benchmarks 300 "$python" -m benchmarks.gpu --device cpu --quick --rounds 1 --only nt-xent-8192-128 \
    --only cka-grad-8192-512 --only median-8192-512 --only sweep-linear --out "$logs/benchmarks.json"
else
  device=cuda
  export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
  step build 240 env GRAMLESS_CUDA=AUTO "${build[@]}" # for this machine's GPU
  step status 30 "$python" -c 'import gramless, sys; s = gramless.cuda_status(); print(s.reason or s); sys.exit(not s)'
  step golden 120 tests/cuda/golden.sh "$logs/golden"
  step tests 240 "$python" -m pytest -q -m cuda "${tests[@]}"
  step graphs-and-streams 60 "$python" -m pytest -q tests/test_cuda_gpu.py
  hopper=(env GRAMLESS_HOPPER=1) # tiles of compute capability 9.0; no difference elsewhere
  step hopper-tests 120 "${hopper[@]}" "$python" -m pytest -q -m cuda -k 'hsic or cka or halves or loss' "${tests[@]}" tests/test_cuda_gpu.py
  step hopper-memcheck 60 "${hopper[@]}" compute-sanitizer --tool memcheck --error-exitcode 9 "${small[@]}" --device cuda
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 "${small[@]}" --device cuda
  done
  step benchmarks 420 "$python" -m benchmarks.gpu --out "$logs/benchmarks.json"
fi

"$python" -m benchmarks.gpu_report "$logs" --device "$device" --out "$out"
