"""python -m benchmarks.costs [--out FILE]: CPU time of one thread and peak memory against n and d, as JSON.

CPU time, because it hardly notices what else runs; `python -m benchmarks` measures time on all cores. Every
point is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gramless as gl

from .__main__ import RESULTS, conditions
from .measure import peak_while
from .problems import Problem
from .rivals import RIVALS, Rival

ROWS = [512, 1024, 2048, 4096, 8192, 16_384, 32_768]
COLUMNS = [16, 64, 256, 1024, 4096]
LARGEST_MATRIX = 8192  # rows up to which the n x n code of torch is measured: it holds several matrices
CURVES = {
    "rbf_rows": [Problem("costs", "pair", n, 64) for n in ROWS],
    "linear_rows": [Problem("costs", "pair", n, 64, kernel="linear") for n in ROWS],
    "nt_xent_rows": [Problem("costs", "nt_xent", n, 128) for n in ROWS],
    "rbf_columns": [Problem("costs", "pair", 2048, d) for d in COLUMNS],
    "nt_xent_columns": [Problem("costs", "nt_xent", 2048, d) for d in COLUMNS],
}
SECONDS = 1.0  # a call is repeated for this long, at least three times


def rivals_of(problem: Problem) -> list[Rival]:
    """Ours, and plain torch where its matrices fit."""
    wanted = ("gramless", "torch eager") if problem.n <= LARGEST_MATRIX else ("gramless",)
    return [rival for rival in RIVALS if rival.name in wanted and rival.takes(problem)]


def measure_here(problem: Problem, rival: Rival) -> dict[str, float]:
    """The least CPU seconds of a call, and the bytes it needs above its inputs."""
    gl.set_num_threads(1)
    if rival.package == "torch" or problem.kind == "nt_xent":
        import torch

        torch.set_num_threads(1)
    small = replace(problem, n=64)
    rival.run(small, rival.prepare(small.inputs()))
    prepared = rival.prepare(problem.inputs())
    peak_bytes = peak_while(lambda: rival.run(problem, prepared))
    seconds: list[float] = []
    started = time.perf_counter()
    while len(seconds) < 3 or time.perf_counter() - started < SECONDS:
        before = time.process_time()
        rival.run(problem, prepared)
        seconds.append(time.process_time() - before)
    return {"cpu_seconds": min(seconds), "peak_bytes": peak_bytes}


def measure_alone(problem: Problem, rival: Rival) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.costs", "--one", json.dumps(asdict(problem)), rival.name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    return {"rival": rival.name, "n": problem.n, "d": problem.d, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "costs.json", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.one:
        problem = Problem(**json.loads(arguments.one[0]))
        rival = next(r for r in rivals_of(problem) if r.name == arguments.one[1])
        print(json.dumps(measure_here(problem, rival)))
        return
    found = conditions() | {"threads": 1, "curves": {}}
    for name, problems in CURVES.items():
        points = [measure_alone(problem, rival) for problem in problems for rival in rivals_of(problem)]
        found["curves"][name] = points
        print(name, *points, sep="\n", flush=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
