#!/usr/bin/env bash
# cpp_tests.sh NAME [CMAKE OPTIONS]: builds the C++ tests in build/NAME and runs them.
set -euo pipefail
name=$1
shift
flags=
case "$*" in *SANITIZE*) flags=-Wno-maybe-uninitialized ;; esac # with sanitizers GCC gives false warnings
mkdir -p build
cmake -S . -B "build/$name" -G Ninja -DGRAMLESS_PYTHON=OFF -DGRAMLESS_TESTS=ON -DCMAKE_CXX_FLAGS="$flags" "$@" >"build/$name.log" ||
  { cat "build/$name.log"; exit 1; }
cmake --build "build/$name" -- --quiet
ctest --test-dir "build/$name" --parallel 2 --output-on-failure --no-tests=error --timeout 600
