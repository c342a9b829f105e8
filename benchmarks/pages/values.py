"""The numbers of measurements in pages, from the committed results; pages contain no others."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence

from ..environment import ROOT
from ..plan import SECTIONS
from . import expected, floors, interval_tables, level_tables
from .conditions import versions
from .results import (
    NOT_COMPARED,
    OURS,
    UNKNOWN,
    Entry,
    compared,
    exponent,
    not_measured,
    one_thread,
    quoted,
    read,
    sections,
    timed_problems,
    without_memory,
)
from .words import table

NONE = "The committed results have no such row."
LEAST_ROWS = 256  # of problems whose memory counts: below, it is what threads start with
# For each problem, why an alternative needs less memory.
LESS_MEMORY = {
    "linear-512-2048": "its Gram matrices have 1 MB each; our two threads keep packed rows of 2,048 columns",
    "field-rbf": "it stores almost nothing; gramless stores the tiles of two threads",
}
Cost = Callable[[str, Entry], float | None]


def _error(error: float | None) -> str:
    return "no number" if error is None else f"{error:.1e}"


def _machine(found: Entry | None) -> str:
    """Machine and versions of a file of results."""
    if found is None:
        return UNKNOWN
    machine = found["machine"]
    return f"{machine['cpu']}, {machine['isa']}; {versions(found)}; commit {found['commit']}, {found['date']}"


def _panel(panel: Entry) -> str:
    """The errors of one plot as a table."""
    return table(
        [panel["against"], *(f"{value:g}" for value in panel["values"])],
        [[name, *map(_error, errors)] for name, errors in panel["errors"].items()],
        rule="|---|" + "---:|" * len(panel["values"]),
    )


def _more_accurate(accuracy: Entry) -> str:
    """All points at which our error is more than 1.5 times that of an alternative."""
    rows = []
    for panel in accuracy["panels"]:
        ours = panel["errors"][OURS]
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
                rows.append([panel["title"], name, f"{panel['against']} {', '.join(wins)}", most])
    if not rows:
        return "No alternative, in what was measured."
    head = ["error of", "more accurate", "where", "our error over its error, at most"]
    return table(head, rows, rule="|---|---|---|---:|")


def _time(name: str, one: Entry) -> float | None:
    found = quoted(name, one)
    return found[1] if found else None


def _cpu(name: str, one: Entry) -> float | None:
    return one_thread(one)


def _memory(name: str, one: Entry) -> float | None:
    found: float | None = one.get("peak_bytes")
    return found


def _ahead(problems: Sequence[Entry], cost: Cost) -> Iterator[tuple[Entry, str, float, float]]:
    """(problem, alternative, our cost, its cost) for every alternative that is right and costs less."""
    for problem in problems:
        ours = cost(OURS, problem["contenders"].get(OURS, {}))
        for name, one in problem["contenders"].items():
            theirs = cost(name, one)
            if ours is not None and theirs is not None and theirs < ours and not one.get("wrong"):
                yield problem, name, ours, theirs


def _listed(head: Sequence[str], rule: str, rows: Sequence[Sequence[str]], costs: bool = False) -> str:
    """The rows where an alternative is ahead, and the sections without results."""
    if not timed_problems(compared()):
        return UNKNOWN
    skipped = [name for name in NOT_COMPARED if not (costs and name == "costs")]
    missing = [title for name, (title, _) in SECTIONS.items() if name not in {*sections(), *skipped}]
    said = table(head, rows, rule) if rows else NONE
    return said + (f"\n\nNot measured yet, so not looked through: {'; '.join(missing)}." if missing else "")


def _alternatives_that_win() -> str:
    """Where an alternative with the right answer is faster: on all cores by the clock, on one by CPU time."""
    problems = timed_problems(compared())
    rows = [
        [f"`{problem['name']}`", words, name, f"{ours:.4g}", f"{theirs:.4g}"]
        for words, cost, chosen in (
            ("time", _time, problems),
            ("CPU time, one thread", _cpu, [*problems, *_costs()]),
        )
        for problem, name, ours, theirs in _ahead(chosen, cost)
    ]
    head = ["problem", "measured", "faster alternative", "gramless, ms", "alternative, ms"]
    return _listed(head, "|---|---|---|---:|---:|", rows, costs=True)


def _alternatives_with_less_memory() -> str:
    """Where an alternative with the right answer needs less memory."""
    rows = [
        [f"`{problem['name']}`", name, f"{ours / 1e6:.3g}", f"{theirs / 1e6:.3g}",
         LESS_MEMORY.get(problem["name"], "")]
        for problem, name, ours, theirs in _ahead(timed_problems(compared()), _memory)
        if problem["n"] >= LEAST_ROWS
    ]  # fmt: skip
    head = ["problem", "alternative", "gramless, MB", "alternative, MB", "why"]
    listed = _listed(head, "|---|---|---:|---:|---|", rows)
    missing = sum(len(without_memory(name, found)) for name, found in compared().items())
    if not missing or listed == UNKNOWN:
        return listed
    return (
        f"{listed}\n\nOf {missing} problems the peak memory is not measured yet: [which](benchmarks_all.md)."
    )


def _costs() -> list[Entry]:
    """The problems of the curves of costs."""
    return timed_problems({name: found for name, found in sections().items() if name == "costs"})


def _exponent(curve: str, cost: Cost, against: str) -> str:
    """The exponent of the power law through our last two points."""
    points = [problem for problem in _costs() if problem["curve"] == curve]
    costs = [cost(OURS, point["contenders"][OURS]) for point in points]
    if len(points) < 2 or not costs[-2] or not costs[-1]:
        return UNKNOWN
    return f"{exponent([point[against] for point in points], costs):.2f}"  # type: ignore[arg-type]


def _exponents() -> dict[str, str]:
    curves = ("rbf_rows", "linear_rows", "nt_xent_rows", "rbf_columns", "nt_xent_columns")
    return {
        f"exponent_{curve}_{name}": _exponent(curve, cost, "n" if curve.endswith("rows") else "d")
        for curve in curves
        for name, cost in (("cpu_seconds", _cpu), ("peak_bytes", _memory))
        if name == "cpu_seconds" or curve == "rbf_rows"  # the workspace of NT-Xent ends between its points
    }


def _pictures() -> dict[str, str]:
    """Figures of the curves of costs, where there are curves."""
    measured = "costs" in sections()
    return {
        f"figure_{file}": f"![{words}](../images/{file}.png)" if measured else not_measured("costs")
        for file, words in (
            ("cost_rows", "CPU time and memory against the number of rows"),
            ("cost_columns", "CPU time against the number of features"),
        )
    }


def _emulator_faults() -> list[Entry]:
    """What is planted in the CUDA kernels."""
    planted = ROOT / "tests/mutation/cuda.toml"
    return list(tomllib.loads(planted.read_text(encoding="utf-8"))["fault"])


def substitutions() -> dict[str, str]:
    """By name, what stands in {{ name }}."""
    accuracy = read("accuracy") or {"panels": []}
    emulator_faults = _emulator_faults()
    return {
        **{panel["name"]: _panel(panel) for panel in accuracy["panels"]},
        **_exponents(),
        **_pictures(),
        "emulator_faults": str(len(emulator_faults)),
        "emulator_races": str(sum(fault.get("race", False) for fault in emulator_faults)),
        "engine": floors.engine(),
        "floors": floors.other_calls(),
        "estimates": expected.table() if timed_problems(compared()) else UNKNOWN,
        **level_tables.substitutions(),
        "coverage": interval_tables.coverage(),
        "coverage_elsewhere": interval_tables.coverage_elsewhere(),
        "equality": interval_tables.equality(),
        "machine_coverage": _machine(read("coverage")),
        "machine_levels": _machine(read("levels")),
        "machine_few_rows": _machine(read("few_rows")),
        "machine_accuracy": _machine(read("accuracy")),
        "machine_benchmarks": _machine(read("rbf")),
        "machine_costs": _machine(read("costs")),
        "more_accurate": _more_accurate(accuracy) if accuracy["panels"] else UNKNOWN,
        "alternatives_that_win": _alternatives_that_win(),
        "alternatives_with_less_memory": _alternatives_with_less_memory(),
    }
