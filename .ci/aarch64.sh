#!/usr/bin/env bash
# Compiles the core for aarch64 where a cross compiler is installed. It runs nothing.
set -euo pipefail
compiler=aarch64-linux-gnu-g++
if ! command -v "$compiler" >/dev/null; then
  echo "skipped: $compiler is not installed on this machine"
  exit
fi
for source in csrc/{engine,support,ops}/*.cpp; do
  "$compiler" -std=gnu++20 -O2 -Wall -Wextra -Werror -Wno-psabi -Icsrc -DGRAMLESS_ISA=baseline -c "$source" -o /dev/null
done
echo 'compiled'
