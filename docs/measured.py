"""What pages say of measurements, from the committed results: no page holds any other number."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks/results"
SECTIONS = ("nt_xent", "linear", "rbf", "linear_sweeps", "rbf_sweeps", "small", "field", "large")
UNKNOWN = "(not measured yet)"
Found = dict[str, Any]


def _read(name: str) -> Found:
    return dict(json.loads((RESULTS / name).read_text(encoding="utf-8")))


def _error(error: float | None) -> str:
    return "no number" if error is None else f"{error:.1e}"


def _machine(found: Found) -> str:
    versions = {name: version for name, version in found["versions"].items() if version}
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    machine = found["machine"]
    return f"{machine['cpu']}, {machine['isa']}; {names}; commit {found['commit']}, {found['date']}"


def _panel(accuracy: Found, name: str) -> str:
    """The errors of one plot as a table."""
    panel = next(panel for panel in accuracy["panels"] if panel["name"] == name)
    lines = [f"| {panel['against']} | " + " | ".join(f"{value:g}" for value in panel["values"]) + " |"]
    lines.append("|---|" + "---:|" * len(panel["values"]))
    for name, errors in panel["errors"].items():
        lines.append(f"| {name} | " + " | ".join(map(_error, errors)) + " |")
    return "\n".join(lines)


def _more_accurate(accuracy: Found) -> str:
    """Everywhere an alternative is nearer to the truth, by more than half."""
    rows = []
    for panel in accuracy["panels"]:
        ours = panel["errors"]["gramless"]
        for name, errors in panel["errors"].items():
            wins = [
                f"{value:g}"
                for value, own, theirs in zip(panel["values"], ours, errors, strict=True)
                if theirs is not None and own is not None and theirs < own / 1.5
            ]
            if wins:
                pairs = zip(ours, errors, strict=True)
                worst = max((own / max(theirs, 1e-17) for own, theirs in pairs if own and theirs), default=1)
                most = "more than 1,000" if worst > 1000 else f"{worst:.2g}"
                rows.append(f"| {panel['title']} | {name} | {panel['against']} {', '.join(wins)} | {most} |")
    head = "| errors of | what is nearer | where | at most, times |\n|---|---|---|---:|\n"
    return head + "\n".join(rows) if rows else "None, in what was measured."


def _problems() -> list[Found]:
    """All problems whose times were measured."""
    files = [RESULTS / f"{name}.json" for name in SECTIONS]
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    return [problem for section in found for problem in section["problems"] if "peak_gflops" in problem]


def _costs() -> list[Found]:
    """Problems of the curves of costs."""
    file = RESULTS / "costs.json"
    found = json.loads(file.read_text(encoding="utf-8"))["problems"] if file.exists() else []
    return [problem for problem in found if "peak_gflops" in problem]


def _best(one: Found, by: str, threads: tuple[str, ...] | None = None) -> float | None:
    """The least milliseconds of a contender: "wall_ms", or "cpu_ms" of a number of threads."""
    runs = [run for name, run in one.get("times", {}).items() if threads is None or name in threads]
    return min((run[by]["median"] for run in runs if by in run), default=None)


def _wall(name: str, one: Found) -> float | None:
    """Ours as it comes, an alternative with the threads that are best for it."""
    return _best(one, "wall_ms", ("default",) if name == "gramless" else None)


def _cpu(name: str, one: Found) -> float | None:
    return _best(one, "cpu_ms", ("1",))


def _memory(name: str, one: Found) -> float | None:
    found: float | None = one.get("peak_bytes")
    return found


Cost = Callable[[str, Found], float | None]


def _ahead(problems: list[Found], cost: Cost) -> Iterator[tuple[Found, str, float, float]]:
    """(problem, alternative, our cost, its cost) wherever one with the right answer has less of it."""
    for problem in problems:
        ours = cost("gramless", problem["contenders"].get("gramless", {}))
        for name, one in problem["contenders"].items():
            theirs = cost(name, one)
            if ours is not None and theirs is not None and theirs < ours and not one.get("wrong"):
                yield problem, name, ours, theirs


def _alternatives_that_win() -> str:
    """Where an alternative with the right answer is faster: all cores by the clock, one by CPU time."""
    problems = _problems()
    if not problems:
        return UNKNOWN
    rows = []
    for words, cost, chosen in (
        ("time", _wall, problems),
        ("CPU time, one thread", _cpu, [*problems, *_costs()]),
    ):
        for problem, name, ours, theirs in _ahead(chosen, cost):
            rows.append(f"| `{problem['name']}` | {words} | {name} | {ours:.4g} | {theirs:.4g} |")
    if not rows:
        return "In the committed results there is no such row."
    head = (
        "| problem | measured | what is faster | gramless, ms | alternative, ms |\n|---|---|---|---:|---:|\n"
    )
    return head + "\n".join(rows)


LEAST_ROWS = 256  # of problems whose memory counts: below, it is what threads start with
# By problem: why an alternative needs less memory.
LESS_MEMORY = {
    "linear-512-2048": "its Gram matrices have 1 MB each; our two threads keep packed rows of 2,048 columns",
    "field-rbf": "it stores next to nothing; ours are the tiles of two threads",
}


def _alternatives_with_less_memory() -> str:
    """Where an alternative with the right answer needs less memory."""
    if not _problems():
        return UNKNOWN
    rows = [
        f"| `{problem['name']}` | {name} | {ours / 1e6:.3g} | {theirs / 1e6:.3g} "
        f"| {LESS_MEMORY.get(problem['name'], '')} |"
        for problem, name, ours, theirs in _ahead(_problems(), _memory)
        if problem["n"] >= LEAST_ROWS
    ]
    if not rows:
        return "In the committed results there is no such row."
    head = "| problem | what needs less | gramless, MB | alternative, MB | why |\n|---|---|---:|---:|---|\n"
    return head + "\n".join(rows)


def _exponent(curve: str, cost: Cost, against: str) -> str:
    """Of the power law through the last two points of ours."""
    points = [problem for problem in _costs() if problem["curve"] == curve]
    found = [(point[against], cost("gramless", point["contenders"]["gramless"])) for point in points[-2:]]
    if len(found) < 2 or not found[0][1] or not found[1][1]:
        return UNKNOWN
    (x, y), (later_x, later_y) = found
    return f"{math.log(later_y / y) / math.log(later_x / x):.2f}"  # type: ignore[operator]


def _engine() -> str:
    """Of RBF CKA, sigma given: what is reached of the peak, and what ratio to n x n code the floor allows."""
    lines = ["| n | d | of the FMA peak | torch eager, times ours | torch eager, times the floor |"]
    lines.append("|---:|---:|---:|---:|---:|")
    for name in ("rbf-8192-64", "rbf-8192-128", "rbf-8192-512", "rbf-4096-2048"):
        for problem in _problems():
            if problem["name"] == name:
                lines.append(f"| {problem['n']:,} | {problem['d']:,} | {_against_floor(problem)} |")
    return "\n".join(lines) if len(lines) > 2 else UNKNOWN


def _against_floor(problem: Found) -> str:
    floor = problem["flops"] / problem["peak_gflops"]["all"] / 1e6
    ours, theirs = (_wall(name, problem["contenders"].get(name, {})) for name in ("gramless", "torch eager"))
    if ours is None or theirs is None:
        return "| |"
    return f"{floor / ours:.0%} | {theirs / ours:.1f} | {theirs / floor:.1f}"


def _measured_on(name: str) -> str:
    """Machine and versions of a file of results."""
    return _machine(_read(name)) if (RESULTS / name).exists() else UNKNOWN


def _emulator_faults() -> list[Found]:
    """What is planted in the CUDA kernels."""
    table = Path(__file__).parents[1] / "tests/cuda_emulator/faults.toml"
    return list(tomllib.loads(table.read_text(encoding="utf-8"))["fault"])


def substitutions() -> dict[str, str]:
    """By name, what stands in {{ name }}."""
    accuracy = _read("accuracy.json")
    panels = {panel["name"]: _panel(accuracy, panel["name"]) for panel in accuracy["panels"]}
    curves = ("rbf_rows", "linear_rows", "nt_xent_rows", "rbf_columns", "nt_xent_columns")
    exponents = {
        f"exponent_{curve}_{name}": _exponent(curve, cost, "n" if curve.endswith("rows") else "d")
        for curve in curves
        for name, cost in (("cpu_seconds", _cpu), ("peak_bytes", _memory))
        if name == "cpu_seconds" or curve.endswith("rows")
    }
    emulator_faults = _emulator_faults()
    return {
        **panels,
        **exponents,
        "emulator_faults": str(len(emulator_faults)),
        "emulator_races": str(sum(fault.get("race", False) for fault in emulator_faults)),
        "engine": _engine(),
        "machine_accuracy": _machine(accuracy),
        "machine_benchmarks": _measured_on("rbf.json"),
        "machine_costs": _measured_on("costs.json"),
        "more_accurate": _more_accurate(accuracy),
        "alternatives_that_win": _alternatives_that_win(),
        "alternatives_with_less_memory": _alternatives_with_less_memory(),
    }
