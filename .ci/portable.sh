#!/usr/bin/env bash
# portable.sh [--quick]: compiles the core with another compiler, the clang of the package ziglang, and for other systems.
# --quick compiles it for macOS on aarch64 without optimisation. Without --quick it is compiled for Linux and macOS on
# aarch64 with optimisation, and the C++ tests are built for this machine and run.
set -euo pipefail
python -c 'import ziglang' 2>/dev/null || pip install --quiet -c constraints.txt ziglang
root=$PWD
mkdir -p build/portable
export ZIG_GLOBAL_CACHE_DIR="$root/build/portable/cache" ZIG_LOCAL_CACHE_DIR="$root/build/portable/cache"
mapfile -t sources < <(find "$root"/csrc/{support,engine,ops} -name '*.cpp')

compile() { # compile TARGET FLAGS...
  local target=$1
  shift
  mkdir -p "build/portable/$target"
  (cd "build/portable/$target" && printf '%s\0' "${sources[@]}" | xargs -0 -P 2 -n 4 python -m ziglang c++ -c \
    -target "$target" -std=gnu++20 -ffp-contract=fast -Wall -Wextra -Wshadow -Wconversion -Werror -Wno-sign-conversion \
    -Wno-bitwise-conditional-parentheses -DGRAMLESS_ISA=baseline -I"$root/csrc" "$@")
  echo "$target: ${#sources[@]} sources compiled"
}

if [ "${1:-}" = --quick ]; then
  compile aarch64-macos -O0
  exit
fi
compile aarch64-macos -O3
compile aarch64-linux-gnu -O3
for tool in c++ ar ranlib; do
  printf '#!/bin/sh\nexec python -m ziglang %s "$@"\n' "$tool" >"build/portable/$tool"
  chmod +x "build/portable/$tool"
done
tools="$root/build/portable"
.ci/cpp_tests.sh portable-tests -DCMAKE_CXX_COMPILER="$tools/c++" -DCMAKE_AR="$tools/ar" -DCMAKE_RANLIB="$tools/ranlib" \
  -DGRAMLESS_TEST_WIDTHS='32;64' -DCMAKE_COMPILE_WARNING_AS_ERROR=ON
