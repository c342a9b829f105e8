"""python -m benchmarks.gpu.read FOLDER [--out FILE] [--golden FILE]: results of correctness.sh and speed.sh.

FOLDER has correctness.tgz, speed.tgz or both. Prints tables and a verdict for each kernel; --out writes all
of it as JSON, --golden the recorded results of the GPU's primitives, for tests/cuda/golden. Exits with 1 if
anything is wrong or missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..pages.words import table
from .verdicts import faster_tiles, verdicts, wrong_cases

Found = dict[str, Any]
SCRIPTS = ("correctness", "speed")
LAST_LINES = 15  # lines that are shown of the log of a failed step


@dataclass
class Files:
    """The text of every file that a script packed, by its path in the script's folder."""

    script: str
    text: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, script: str) -> Files | None:
        packed = folder / f"{script}.tgz"
        if not packed.exists():
            return None
        found = cls(script)
        with tarfile.open(packed) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isfile() else None
                if stream is not None:
                    name = member.name.partition("/")[2]
                    found.text[name] = stream.read().decode(errors="replace")
        return found

    def lines(self, name: str) -> list[Found]:
        """The JSON objects of a file, one for each line, without a line that is incomplete after a kill."""
        found = []
        for line in self.text.get(name, "").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def steps(self) -> list[Found]:
        """Every step with its status and seconds, and for a failed step the end of its log."""
        rows = [line.split("\t") for line in self.text.get("steps.tsv", "").splitlines()[1:]]
        found = []
        for name, status, seconds, limit in rows:
            said = self.text.get(f"{name}.log", "").splitlines()
            found.append({
                "script": self.script, "name": name, "status": status, "seconds": int(seconds),
                "limit": int(limit), "said": said[-1:] if status == "0" else said[-LAST_LINES:],
            })  # fmt: skip
        return found


def read(folder: Path) -> Found:
    """All results of both scripts, in one dictionary."""
    files = [found for script in SCRIPTS if (found := Files.read(folder, script)) is not None]
    if not files:
        raise SystemExit(f"{folder} has neither correctness.tgz nor speed.tgz")
    by_script = {one.script: one for one in files}
    correct, fast = (by_script.get(script, Files(script)) for script in SCRIPTS)
    run = next((json.loads(one.text["run.json"]) for one in files if "run.json" in one.text), {})
    timings = fast.lines("timings.jsonl")
    found: Found = {
        "rehearsal": bool(run.get("rehearsal")),
        "device": run.get("device"),
        "facts": (correct if "facts.log" in correct.text else fast).text.get("facts.log", "").splitlines(),
        "steps": [step for one in files for step in one.steps()],
        "accuracy": correct.lines("accuracy.jsonl"),
        "ceilings": [line for line in timings if "ceilings" in line],
        "timings": [line for line in timings if "problem" in line],
        "golden": correct.text.get("golden/recorded.txt", ""),
        "sanitizers": {name: fast.text.get(f"{name}.log", "") for name in sanitizer_steps(fast)},
        "ncu": {name: fast.text[name] for name in ("ncu-0.log", "ncu-1.log") if name in fast.text},
    }
    found["verdicts"] = verdicts(found)
    return found


def sanitizer_steps(files: Files) -> list[str]:
    tools = ("memcheck", "racecheck", "synccheck")
    return [step["name"] for step in files.steps() if step["name"].startswith(tools)]


def missing(found: Found) -> list[str]:
    """What is missing for a complete run, and what is wrong."""
    said = [
        f"{s['script']}: {s['name']} ended with {s['status']}" for s in found["steps"] if s["status"] != "0"
    ]
    said += [f"{line['not_reached']} cases of accuracy were not reached" for line in found["accuracy"]
             if "not_reached" in line]  # fmt: skip
    said += [f"{line['contender']}: {line['problem']} was not reached" for line in found["timings"]
             if line.get("not_reached")]  # fmt: skip
    return said + bad_timings(found["timings"]) + wrong_cases(found["accuracy"])


def bad_timings(timings: list[Found]) -> list[str]:
    """Timings of gramless that failed or have a wrong answer; alternatives may fail."""
    said = []
    for line in timings:
        name = f"{line['contender']}: {line['problem']}"
        if line["contender"].startswith("gramless") and "failed" in line:
            said.append(f"{name} failed: {line['failed']}")
        elif line["contender"].startswith("gramless") and line.get("wrong"):
            said.append(f"{name} is wrong: error {line['error_small']:.1e} at a small size")
    return said


def timing_table(found: Found) -> str:
    """A table of milliseconds with a row for each problem."""
    names = list(dict.fromkeys(line["contender"] for line in found["timings"]))
    problems = list(dict.fromkeys(line["problem"] for line in found["timings"]))
    cell = {(line["problem"], line["contender"]): line for line in found["timings"]}

    def shown(problem: str, name: str) -> str:
        line = cell.get((problem, name))
        if line is None:
            return ""
        if "ms" not in line:
            return "not reached" if line.get("not_reached") else "failed"
        return f"{line['ms']:.3g}" + (" (wrong)" if line["wrong"] else "") + ("" if line["graph"] else " *")

    rows = [[problem, *(shown(problem, name) for name in names)] for problem in problems]
    return table(["ms", *names], rows)


def ceiling_table(found: Found) -> str:
    keys = ["product_tflops", "copy_in_l2_tb_s", "copy_tb_s"]
    rows = [
        [line["contender"], *(f"{line['ceilings'][key]:.3g}" for key in keys)] for line in found["ceilings"]
    ]
    return table(["measured by", "TFLOP/s of a product", "TB/s of a copy within L2", "TB/s of a copy"], rows)


def verdict_table(found: Found) -> str:
    rows = [
        [name, of_kernel["accuracy"], of_kernel["sanitizers"], of_kernel["speed"]]
        for name, of_kernel in found["verdicts"].items()
    ]
    return table(["kernel", "accuracy", "sanitizers", "of its peak, as ncu says"], rows)


def report(found: Found) -> str:
    """All results in Markdown."""
    head = (
        "A rehearsal: nothing here is about a GPU." if found["rehearsal"] else "\n".join(found["facts"][:2])
    )
    steps = [
        [s["script"], s["name"], s["status"], f"{s['seconds']}", f"{s['limit']}"] for s in found["steps"]
    ]
    parts = [head, table(["script", "step", "status", "s", "at most"], steps)]
    if found["ceilings"]:
        parts += [ceiling_table(found), timing_table(found), "* without a graph", faster_tiles(found)]
    parts += [verdict_table(found)]
    said = missing(found)
    parts += ["\n".join(["Wrong or missing:", *said])] if said else ["Nothing is wrong or missing."]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.read", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--golden", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = read(arguments.folder)
    if arguments.golden:
        if not found["golden"] or found["rehearsal"]:
            raise SystemExit("no GPU recorded golden vectors in this folder")
        arguments.golden.write_text(found["golden"])
    if arguments.out:
        kept = {name: value for name, value in found.items() if name not in ("golden", "ncu", "sanitizers")}
        arguments.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(report(found))
    sys.exit(1 if missing(found) else 0)


if __name__ == "__main__":
    main()
