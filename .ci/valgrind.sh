#!/usr/bin/env bash
# Runs small calls of every operation under valgrind and fails if it finds an error with the extension in its stack; errors
# of the interpreter are ignored. Does nothing where valgrind is missing.
set -euo pipefail
if ! command -v valgrind >/dev/null; then
  echo 'skipped: valgrind not installed on this machine'
  exit
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1 GRAMLESS_NUM_THREADS=2 \
  valgrind -q --num-callers=40 --log-file="$log" python tests/valgrind_calls.py
errors=$(grep -c '^==[0-9]*== [A-Z]' "$log" || true)
if grep -q 'gramless/_core' "$log"; then
  grep -B12 -A4 -m 3 'gramless/_core' "$log"
  exit 1
fi
echo "no error with the extension in its stack, $errors in the interpreter's own code"
