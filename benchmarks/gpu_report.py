"""python -m benchmarks.gpu_report LOGS --out FILE: one JSON of what benchmarks/gpu_suite.sh found."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .environment import conditions
from .gpu import gpu_facts

LAST_LINES = 15  # of the log of a step that failed


def steps(logs: Path) -> list[dict[str, Any]]:
    """Every step with its exit status and seconds; of one that failed, the end of what it said."""
    found = []
    for line in (logs / "steps.tsv").read_text().splitlines():
        name, status, seconds = line.split("\t")
        entry: dict[str, Any] = {"name": name, "status": int(status), "seconds": int(seconds)}
        said = (logs / f"{name}.log").read_text(errors="replace").splitlines()
        entry["said"] = said[-1:] if status == "0" else said[-LAST_LINES:]
        found.append(entry)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_report", description=__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    measured = arguments.logs / "benchmarks.json"
    found = (
        json.loads(measured.read_text()) if measured.exists() else conditions() | gpu_facts(arguments.device)
    )
    found["steps"] = steps(arguments.logs)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    failed = [step["name"] for step in found["steps"] if step["status"] != 0]
    print(
        f"{arguments.out}: {len(found['steps'])} steps" + (f", FAILED: {', '.join(failed)}" if failed else "")
    )
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
