"""The table of benchmarks in README.md: a few rows of each kind, and where to read of the others."""

from __future__ import annotations

from ..environment import ROOT
from ..plan import SECTIONS
from .conditions import conditions
from .results import OURS, Entry, floor, quoted, sections, timed_problems
from .tables import DATA, error, what
from .words import duration, replaced, row, size, times

FILE = ROOT / "README.md"
MARKS = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
ROWS = (
    "rbf-8192-128",
    "rbf-8192-512",
    "rbf-median-8192-512",
    "linear-8192-512",
    "linear-512-512",
    "median-8192-512",
    "small-linear",
    "nt-xent-64-128",
    "nt-xent-512-128",
    "nt-xent-8192-128",
    "nt-xent-8192-512",
    "nt-xent-65536-128",
    "cka-grad-8192-512",
    "sweep-linear-20-2000-512",
    "sweep-linear-50-4000-64",
    "sweep-rbf-20-2000-512",
    "sweep-rbf-50-10000-1024",
    "rbf-100000-256",
)


def _row(problem: Entry) -> str:
    ours = problem["contenders"][OURS]
    own = quoted(OURS, ours)
    others = []
    for name, one in problem["contenders"].items():
        found = quoted(name, one)
        if own and found and name != OURS:
            time = f"{duration(found[1])} ({times(own[1], found[1])})"
            others.append(f"{name} {time}, {size(one.get('peak_bytes'))}, {error(one)}".replace(", ,", ","))
    return row([
        f"{what(problem)}; {DATA[problem['data']]}",
        duration(own and own[1]),
        duration(floor(problem, "all")),
        size(ours.get("peak_bytes")),
        error(ours),
        "<br>".join(others) or "n x n does not fit",
    ])  # fmt: skip


def _not_measured(problems: dict[str, Entry]) -> list[str]:
    """The rows that the table should have, in words."""
    planned = {problem.name: problem for _, make in SECTIONS.values() for problem in make()}
    missing = [what(planned[name].as_json()) for name in ROWS if name not in problems]
    return [f"Not measured yet: {'; '.join(missing)}."] if missing else []


def table(found: dict[str, Entry]) -> str:
    problems = {problem["name"]: problem for problem in timed_problems(found)}
    chosen = [problems[name] for name in ROWS if name in problems]
    end = "All rows, and how they were measured: [docs/benchmarks.md](docs/benchmarks.md)."
    if not chosen:
        return f"Not measured yet: `python -m benchmarks` does.\n{end}"
    rows = [
        "| what | gramless | floor | memory | error | alternatives at their best: time, memory, error |",
        "|---|---:|---:|---:|---:|---|",
        *map(_row, chosen),
    ]
    words = (
        "Each in a process of its own, in turn; the floor is the necessary FLOPs at the machine's FMA peak. "
        "A bold ratio is a row where the alternative is faster."
    )
    return "\n".join([*rows, "", *_not_measured(problems), words, *conditions(found), end])


def redrawn(text: str) -> str:
    """README.md with the table as the committed results have it."""
    return replaced(text, MARKS, table(sections()))
