#!/usr/bin/env bash
# build.sh SITE [WHEEL]: builds gramless for the GPU of this machine and installs it into the folder SITE, which may hold
# other packages; or installs WHEEL there. The wheel is written beside SITE. No network is needed.
set -euo pipefail
site=$1 wheel=${2:-}
python=${PYTHON:-python3}
if [ -z "$wheel" ]; then
  export SKBUILD_BUILD_DIR=build/gpu_run # a separate folder, as deep in the tree as others, so that a compiler cache applies
  # Code for newer CPUs takes most of the time to compile, and nothing here needs it.
  "$python" -m pip wheel --no-build-isolation --no-deps --quiet -C cmake.define.GRAMLESS_BASELINE_ONLY=ON \
    --wheel-dir "$(dirname "$site")" .
  wheel=$(ls "$(dirname "$site")"/gramless-*.whl)
fi
"$python" -m pip install --no-deps --no-index --quiet --target "$site" "$wheel"
ls -l "$wheel"
PYTHONPATH=$site "$python" -m gramless info 2>/dev/null || PYTHONPATH=$site "$python" -c 'import gramless; print(gramless.cuda_status())'
