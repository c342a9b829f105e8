"""python -m benchmarks [--quick] [--only NAME ...] [--out FILE]: measure every problem, write JSON."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import subprocess
import warnings
from pathlib import Path
from typing import Any

from .measure import cpu_count, measure, use_all_cores
from .peak import active_isa
from .problems import PROBLEMS, quick_problems

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "gramless",
    "numpy",
    "torch",
    "scipy",
    "pytorch-cka",
    "ckatorch",
    "repsim",
    "hyppo",
    "thingsvision",
    "scikit-learn",
    "pykeops",
    "lightly",
    "infonce",
    "pytorch-metric-learning",
    "optax",
    "jax",
    "info-nce-pytorch",
)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    command = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short=10", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def conditions() -> dict[str, Any]:
    """What one must know to compare: machine, versions, commit, date. No host name, no path."""
    machine = {"cpu": _cpu_model(), "cores": cpu_count(), "isa": active_isa(), "system": platform.system()}
    return {
        "machine": machine,
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--only", action="append", metavar="NAME", help="a problem, or a group of them")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--budget", type=float, default=8.0, metavar="S", help="seconds a problem may repeat")
    parser.add_argument("--out", type=Path, default=RESULTS / "quick.json", metavar="FILE")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    use_all_cores()
    wanted = arguments.only
    chosen = [p for p in PROBLEMS.values() if not wanted or p.name in wanted or p.group in wanted]
    if not chosen:
        parser.error(f"no problem or group is called {', '.join(wanted)}; there are {', '.join(PROBLEMS)}")
    found = conditions() | {"problems": []}
    for problem in quick_problems(chosen) if arguments.quick else chosen:
        entry = measure(
            problem, rounds=arguments.rounds, budget_s=arguments.budget, small_sizes=arguments.quick
        )
        found["problems"].append(entry)
        times = {name: rival.get("median_ms", rival.get("failed")) for name, rival in entry["rivals"].items()}
        print(problem.name, f"floor {entry['floor_ms']:.4g} ms", times, flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
