#!/usr/bin/env bash
# OUT=FOLDER benchmarks/gpu/speed.sh [--rehearse] [--wheel FILE]: how fast the CUDA kernels are on the GPU of this
# machine, and what ncu and the sanitizers find.
#
# --wheel: the wheel that correctness.sh built; without it the kernels are built again. Needs what correctness.sh needs, ncu
# and compute-sanitizer. Takes at most 300 s. Writes $OUT/speed.tgz.
# --rehearse: the same steps without a GPU; if ncu or the sanitizers are missing, their programs run without them.
name=speed budget=300
. "$(dirname "${BASH_SOURCE[0]}")/steps.sh"

export GRAMLESS_CUDA=ON CUDAARCHS=90a-real CUDAFLAGS=-lineinfo
rehearsed=()
if [ $rehearse = 1 ]; then
  export GRAMLESS_CUDA=OFF
  rehearsed=(--rehearse)
fi
step facts 15 benchmarks/gpu/facts.sh "${rehearsed[@]}"
step build 120 benchmarks/gpu/build.sh "$scratch/site" "$wheel" || finish
export PYTHONPATH=$scratch/site
step timings 130 "$python" -m benchmarks.gpu.timing --device "$device" --seconds 120 --out "$logs/timings.jsonl"

# The most expensive kernels, once each. Clocks are not changed.
ncu=(ncu --clock-control none --launch-count 14 --csv
  --kernel-name 'regex:sum_softmax|grad_of_rows|sum_tiles|fill_tiles|multiply_layers'
  --section SpeedOfLight --section WarpStateStats --section MemoryWorkloadAnalysis --section SchedulerStats
  --section Occupancy)
# Only kernels of gramless. Without torch's allocator, the sanitizer knows where each array ends.
sanitizer=(compute-sanitizer --error-exitcode 9 --print-limit 20 --kernel-regex kns=gramless)
if [ $rehearse = 1 ]; then
  command -v ncu >/dev/null || ncu=()
  command -v compute-sanitizer >/dev/null || sanitizer=()
fi
export PYTORCH_NO_CUDA_MEMORY_CACHING=1
small=("$python" -m benchmarks.gpu.small --device "$device")
once=("$python" -m benchmarks.gpu.timing --device "$device" --once)
for hopper in 0 1; do
  export GRAMLESS_HOPPER=$hopper
  step memcheck-$hopper 40 "${sanitizer[@]}" ${sanitizer[@]:+--tool memcheck} "${small[@]}"
  step ncu-$hopper 45 "${ncu[@]}" "${once[@]}"
done
tools=(racecheck synccheck)
if [ ${#sanitizer[@]} = 0 ]; then tools=(); fi # would only repeat the program
for tool in "${tools[@]}"; do
  for hopper in 0 1; do
    export GRAMLESS_HOPPER=$hopper
    step $tool-$hopper 35 "${sanitizer[@]}" ${sanitizer[@]:+--tool $tool} "${small[@]}"
  done
done
finish
