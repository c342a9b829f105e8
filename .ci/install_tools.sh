#!/usr/bin/env bash
# Installs the packages of the extras bench, docs, peers and dev, except gramless, which README's commands have installed.
set -euo pipefail
mapfile -t tools < <(python - <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
print("\n".join(tool for extra in ("bench", "docs", "peers", "dev") for tool in extras[extra] if not tool.startswith("gramless")))
PYTHON
)
pip install --quiet -c constraints.txt "${tools[@]}"
pip check
