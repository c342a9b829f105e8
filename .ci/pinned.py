#!/usr/bin/env python3
"""Fails if the environment holds a package whose version constraints.txt does not fix."""

import re
import sys
from importlib.metadata import distributions

# gramless, the installer, and packages whose versions torch's builds with CUDA fix.
IGNORED = re.compile(r"gramless|pip|(nvidia|cuda)-.*|triton")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


with open("constraints.txt", encoding="utf-8") as file:
    pinned = {normal(line.split("==")[0]) for line in file if "==" in line}
installed = {normal(found.metadata["Name"]): found.version for found in distributions()}
loose = [f"{n}=={v}" for n, v in sorted(installed.items()) if n not in pinned and not IGNORED.fullmatch(n)]
print(f"{len(installed)} packages installed, {len(loose)} not in constraints.txt {' '.join(loose)}")
sys.exit(bool(loose))
