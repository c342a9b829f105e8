"""What pages say of measurements, from the committed results: no page holds a number that nobody measured."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks/results"
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
    for rival, errors in panel["errors"].items():
        lines.append(f"| {rival} | " + " | ".join(map(_error, errors)) + " |")
    return "\n".join(lines)


def _more_accurate(accuracy: Found) -> str:
    """Everywhere somebody else is nearer to the truth, by more than half."""
    rows = []
    for panel in accuracy["panels"]:
        ours = panel["errors"]["gramless"]
        for rival, errors in panel["errors"].items():
            wins = [
                f"{value:g}"
                for value, own, theirs in zip(panel["values"], ours, errors, strict=True)
                if theirs is not None and own is not None and theirs < own / 1.5
            ]
            if wins:
                pairs = zip(ours, errors, strict=True)
                worst = max((own / max(theirs, 1e-17) for own, theirs in pairs if own and theirs), default=1)
                most = "more than 1,000" if worst > 1000 else f"{worst:.2g}"
                rows.append(f"| {panel['title']} | {rival} | {panel['against']} {', '.join(wins)} | {most} |")
    head = "| errors of | who is nearer | where | at most, times |\n|---|---|---|---:|\n"
    return head + "\n".join(rows) if rows else "Nobody, in what was measured."


def _ahead(results: Found, cost: str) -> Iterator[tuple[Found, str, float, float]]:
    """(problem, rival, our cost, theirs) wherever a rival with the right answer has less of it."""
    for problem in results["problems"]:
        ours = problem["rivals"].get("gramless", {}).get(cost)
        for name, rival in problem["rivals"].items():
            theirs = rival.get(cost)
            if ours is not None and theirs is not None and theirs < ours and not rival.get("wrong"):
                yield problem, name, ours, theirs


def _faster(results: Found) -> list[str]:
    return [
        f"| `{problem['name']}` | {name} | {ours:.4g} | {theirs:.4g} |"
        for problem, name, ours, theirs in _ahead(results, "median_ms")
    ]


def _cheaper(costs: Found) -> list[str]:
    """Points of the cost curves, one thread, where somebody else takes less CPU time."""
    rows = []
    for curve, points in costs["curves"].items():
        ours = {(p["n"], p["d"]): p["cpu_seconds"] for p in points if p["rival"] == "gramless"}
        for point in points:
            own, theirs = ours[point["n"], point["d"]], point["cpu_seconds"]
            if theirs < own:
                where = f"n {point['n']}, d {point['d']}"
                rows.append(
                    f"| `{curve}`, {where} | {point['rival']} | {own * 1e3:.2g} | {theirs * 1e3:.2g} |"
                )
    return rows


def _rivals_that_win(costs: Found) -> str:
    """What the committed benchmarks have of rivals with the right answer that are faster."""
    found = [_read(path.name) for path in sorted(RESULTS.glob("*.json")) if path.name != "quick.json"]
    rows = [row for results in found if "problems" in results for row in _faster(results)] + _cheaper(costs)
    if not rows:
        return "In the committed results there is no such row."
    return "| problem | who is faster | gramless, ms | rival, ms |\n|---|---|---:|---:|\n" + "\n".join(rows)


LEAST_ROWS = 256  # of problems whose memory counts: below, it is what threads start with
# By problem: why somebody else takes less memory.
LESS_MEMORY = {
    "linear-512-2048": "its Gram matrices have 1 MB each; our two threads keep packed rows of 2,048 columns",
    "field-rbf": "it stores next to nothing; ours are the tiles of two threads",
}


def _less_memory(results: Found) -> list[str]:
    return [
        f"| `{problem['name']}` | {name} | {ours / 1e6:.3g} | {theirs / 1e6:.3g} "
        f"| {LESS_MEMORY.get(problem['name'], '')} |"
        for problem, name, ours, theirs in _ahead(results, "peak_bytes")
        if problem["n"] >= LEAST_ROWS
    ]


def _rivals_with_less_memory() -> str:
    """What the committed benchmarks have of rivals with the right answer that take less memory."""
    found = [_read(path.name) for path in sorted(RESULTS.glob("*.json")) if path.name != "quick.json"]
    rows = [row for results in found if "problems" in results for row in _less_memory(results)]
    if not rows:
        return "In the committed results there is no such row."
    return (
        "| problem | who takes less | gramless, MB | rival, MB | why |\n|---|---|---:|---:|---|\n"
        + "\n".join(rows)
    )


def _exponent(costs: Found, curve: str, cost: str, against: str) -> str:
    """Of the power law through the last two points of ours."""
    own = [point for point in costs["curves"][curve] if point["rival"] == "gramless"][-2:]
    (x, y), (later_x, later_y) = ((point[against], point[cost]) for point in own)
    return f"{math.log(later_y / y) / math.log(later_x / x):.2f}"


def _engine(results: Found) -> str:
    """Of RBF CKA, sigma given: what is reached of the peak, and what ratio to n x n code the floor allows."""
    lines = ["| n | d | of the FMA peak | torch eager, times ours | torch eager, times the floor |"]
    lines.append("|---:|---:|---:|---:|---:|")
    for problem in results["problems"]:
        if problem["group"] == "engine" and problem["bandwidth"] == "given":
            ours, theirs = (problem["rivals"][name]["median_ms"] for name in ("gramless", "torch eager"))
            floor = problem["floor_ms"]
            ratios = f"{floor / ours:.0%} | {theirs / ours:.1f} | {theirs / floor:.1f}"
            lines.append(f"| {problem['n']:,} | {problem['d']:,} | {ratios} |")
    return "\n".join(lines)


def _emulator_faults() -> list[Found]:
    """What is planted in the CUDA kernels."""
    table = Path(__file__).parents[1] / "tests/cuda_emulator/faults.toml"
    return list(tomllib.loads(table.read_text(encoding="utf-8"))["fault"])


def substitutions() -> dict[str, str]:
    """By name, what stands in {{ name }}."""
    accuracy, costs, results = _read("accuracy.json"), _read("costs.json"), _read("zen5-2-cores.json")
    panels = {panel["name"]: _panel(accuracy, panel["name"]) for panel in accuracy["panels"]}
    exponents = {
        f"exponent_{curve}_{cost}": _exponent(costs, curve, cost, "n" if curve.endswith("rows") else "d")
        for curve in costs["curves"]
        for cost in ("cpu_seconds", "peak_bytes")
        if cost == "cpu_seconds" or curve.endswith("rows")
    }
    emulator_faults = _emulator_faults()
    return {
        **panels,
        **exponents,
        "emulator_faults": str(len(emulator_faults)),
        "emulator_races": str(sum(fault.get("race", False) for fault in emulator_faults)),
        "engine": _engine(results),
        "machine_accuracy": _machine(accuracy),
        "machine_benchmarks": _machine(results),
        "machine_costs": _machine(costs),
        "more_accurate": _more_accurate(accuracy),
        "rivals_that_win": _rivals_that_win(costs),
        "rivals_with_less_memory": _rivals_with_less_memory(),
    }
