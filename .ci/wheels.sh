#!/usr/bin/env bash
# wheels.sh [PYTHON ...]: builds an sdist, and from it alone a wheel for each interpreter, which must install and work in a
# clean environment. Without arguments it uses the current interpreter. Prints sizes and times.
set -euo pipefail
dist=$(mktemp -d)
trap 'rm -rf "$dist"' EXIT
[ $# -gt 0 ] || set -- python
export GRAMLESS_CUDA=OFF # README's commands have compiled the kernels already
python -m build --quiet --sdist --outdir "$dist" .
sdist=$(ls "$dist"/*.tar.gz)
printf '%s: %d bytes\n' "$(basename "$sdist")" "$(stat -c %s "$sdist")"

for interpreter; do
  env="$dist/env"
  rm -rf "$env" "$dist/wheel"
  "$interpreter" -m venv "$env"
  "$env/bin/pip" wheel --quiet --no-deps --wheel-dir "$dist/wheel" -c constraints.txt "$sdist"
  wheel=$(ls "$dist"/wheel/*.whl)
  printf '%s: %d bytes\n' "$(basename "$wheel")" "$(stat -c %s "$wheel")"
  python -m auditwheel show "$wheel" | tr '\n' ' ' | grep -o 'consistent with.*: *"manylinux[^"]*"'
  started=${EPOCHREALTIME/[.,]/}
  "$env/bin/pip" install --quiet -c constraints.txt "$wheel"
  printf 'installed with numpy in %d ms\n' $(((${EPOCHREALTIME/[.,]/} - started) / 1000))
  "$env/bin/pip" install --quiet -c constraints.txt "${wheel}[cli]" pytest ml_dtypes hypothesis
  (cd "$dist" && "$env/bin/python" -m gramless info && "$env/bin/gramless" --version)
  "$env/bin/python" -m pytest -q -p no:cacheprovider -W error tests/test_oracle.py tests/test_minibatch.py \
    tests/test_contrastive.py
done
