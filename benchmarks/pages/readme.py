"""The table of benchmarks in README.md: a row of each kind, beside the fastest alternative that is right."""

from __future__ import annotations

from ..environment import ROOT
from ..plan import SECTIONS
from .conditions import brief_conditions
from .results import OURS, Entry, quoted, sections, timed_problems
from .tables import DATA, error, what
from .words import duration, replaced, row, size, times

FILE = ROOT / "README.md"
MARKS = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
ROWS = (
    "linear-512-512",
    "linear-8192-512",
    "rbf-8192-512",
    "rbf-median-8192-512",
    "cka-grad-8192-512",
    "nt-xent-512-128",
    "nt-xent-8192-128",
    "sweep-rbf-50-10000-1024",
)
WORDS = (
    "Time by the clock on all cores, each contender in a process of its own with the number of threads that "
    "is best for it; memory above the inputs; error against float64, the worst on four kinds of data, "
    "beyond 1e-3 named with the kind."
)
END = (
    "[Every row and how it was measured](docs/benchmarks.md), "
    "[every row in which an alternative is ahead](docs/limits.md)."
)


def best_alternative(problem: Entry) -> tuple[str, Entry, float] | None:
    """The fastest one whose answers are right on all data; where none is, the fastest."""
    found = [
        (name, one, best[1])
        for name, one in problem["contenders"].items()
        if name != OURS and (best := quoted(name, one))
    ]
    return min(
        found, key=lambda each: (bool((each[1].get("errors") or {}).get("wrong")), each[2]), default=None
    )


def _row(problem: Entry) -> str:
    ours = problem["contenders"][OURS]
    own = quoted(OURS, ours)
    cells = [
        f"{what(problem)}; {DATA[problem['data']]}",
        duration(own and own[1]),
        size(ours.get("peak_bytes")),
        error(ours),
    ]
    alternative = best_alternative(problem)
    if alternative is None:
        return row([*cells, "n x n does not fit", "", "", ""])
    name, one, ms = alternative
    ratio = f" ({times(own[1], ms)})" if own else ""
    return row([*cells, name, f"{duration(ms)}{ratio}", size(one.get("peak_bytes")), error(one)])


def _not_measured(problems: dict[str, Entry]) -> list[str]:
    """The rows that the table should have, in words."""
    planned = {problem.name: problem for _, make in SECTIONS.values() for problem in make()}
    missing = [what(planned[name].as_json()) for name in ROWS if name not in problems]
    return [f"Not measured yet: {'; '.join(missing)}."] if missing else []


def table(found: dict[str, Entry]) -> str:
    problems = {problem["name"]: problem for problem in timed_problems(found)}
    chosen = [problems[name] for name in ROWS if name in problems]
    if not chosen:
        return f"Not measured yet: `python -m benchmarks` does. {END}"
    rows = [
        "| what | gramless | memory | error | fastest alternative | time | memory | error |",
        "|---|---:|---:|---:|---|---:|---:|---:|",
        *map(_row, chosen),
    ]
    return "\n".join([*rows, "", *_not_measured(problems), f"{WORDS} {brief_conditions(found)} {END}"])


def redrawn(text: str) -> str:
    """README.md with the table as the committed results have it."""
    return replaced(text, MARKS, table(sections()))
