#!/usr/bin/env bash
# Compiles the core and its C++ tests for aarch64 and runs them in an emulator, as far as the tools are installed.
set -euo pipefail
compiler=aarch64-linux-gnu-g++ emulator=qemu-aarch64 build=build/aarch64
missing=()
for tool in "$compiler" "$emulator"; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if ! command -v "$compiler" >/dev/null; then
  echo "skipped: ${missing[*]} not installed on this machine"
  exit
fi
mkdir -p build
cmake -S . -B "$build" -G Ninja -DGRAMLESS_PYTHON=OFF -DGRAMLESS_TESTS=ON -DGRAMLESS_TEST_WIDTHS=16 \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_COMPILE_WARNING_AS_ERROR=ON >build/aarch64.log 2>&1 ||
  { cat build/aarch64.log; exit 1; }
cmake --build "$build" -- --quiet
if [ ${#missing[@]} -gt 0 ]; then
  echo "compiled, not run: ${missing[*]} not installed on this machine"
  exit
fi
# The emulator kills a forked child that starts a thread, so the test of it is left out.
run() { timeout 600 "$emulator" "$build/tests/cpp/$1" "$2" >"$build/$1$2.log" 2>&1; }
slowest=hsic_of_every_kernel
run test_tiles_16 "$slowest" & first=$!
run test_common -a_forked_child && run test_tiles_16 "-$slowest" && wait "$first" || { cat "$build"/test_*.log; exit 1; }
tail -qn 1 "$build"/test_*.log
