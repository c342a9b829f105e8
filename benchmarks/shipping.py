"""python -m benchmarks.shipping [--out FILE]: sizes of sdist and wheel, times to build and install them.

The wheel is built from the sdist alone, without CUDA kernels and without a compiler cache, and installed into
a fresh environment. CPU seconds are of all processes of a step, and depend little on other programs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .environment import RESULTS, ROOT, conditions

REPEATS = 5  # of quick steps
BUILD = os.environ | {"GRAMLESS_CUDA": "OFF", "CCACHE_DISABLE": "1"}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a function and its processes, by the clock and of CPU time."""
    begun, cpu = time.perf_counter(), _cpu_seconds()
    run()
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": _cpu_seconds() - cpu}


def middle(samples: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}


def call(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=BUILD, cwd=ROOT)


class Environment:
    """A virtual environment with nothing in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python = folder, folder / "bin/python"
        call(sys.executable, "-m", "venv", "--clear", folder)

    def pip(self, *arguments: str | Path) -> None:
        call(self.python, "-m", "pip", "-q", "--disable-pip-version-check", *arguments)

    def bytes_of(self, package: str) -> int:
        found = next(self.folder.glob(f"lib/python*/site-packages/{package}"))
        return sum(
            file.stat().st_size for file in found.rglob("*") if file.suffix != ".pyc" and file.is_file()
        )


def measure(folder: Path) -> dict[str, Any]:
    """Sizes in bytes, and times."""
    constraints = ("-c", ROOT / "constraints.txt")
    making = timed(lambda: call(sys.executable, "-m", "build", "-q", "--sdist", "--outdir", folder, ROOT))
    sdist = next(folder.glob("*.tar.gz"))
    environment = Environment(folder / "env")
    building = timed(lambda: environment.pip("wheel", "--no-deps", *constraints, "-w", folder, sdist))
    wheel = next(folder.glob("*.whl"))
    with_numpy = timed(lambda: environment.pip("install", *constraints, wheel))
    alone = [
        timed(lambda: environment.pip("install", "--no-deps", "--force-reinstall", wheel))
        for _ in range(REPEATS)
    ]
    numpy = [timed(lambda: call(environment.python, "-c", "import numpy")) for _ in range(REPEATS)]
    both = [timed(lambda: call(environment.python, "-c", "import gramless")) for _ in range(REPEATS)]
    return {
        "sdist": sdist.name,
        "wheel": wheel.name,
        "bytes": {"sdist": sdist.stat().st_size, "wheel": wheel.stat().st_size}
        | {"installed": environment.bytes_of("gramless")},
        "times": {
            "an sdist from a clone": making,
            "a wheel from the sdist, its build requirements downloaded": building,
            "`pip install` of the wheel and of numpy, downloaded": with_numpy,
            "`pip install --no-deps` of the wheel": middle(alone),
            "a process that imports gramless": middle(both),
            "a process that imports numpy alone": middle(numpy),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shipping", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "shipping.json", metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    found = conditions() | {"shipping": found}
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["shipping"], indent=1))


if __name__ == "__main__":
    main()
