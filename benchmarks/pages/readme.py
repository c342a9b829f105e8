"""The table of benchmarks in README.md: a row of each kind, with the fastest alternative that is right."""

from __future__ import annotations

from ..environment import ROOT
from .best_rows import HEAD, best_row, not_measured
from .conditions import brief_conditions
from .results import Entry, sections, timed_problems
from .words import replaced

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
    "n is the number of examples, d of features; NT-Xent compares 2N rows of width D. Times are wall-clock "
    "times: of gramless on all cores, of an alternative (plain code in the library named: n x n matrices, or "
    "products of features for linear CKA) with the number of threads that is fastest for it. Memory is the "
    "peak above the inputs. The error is the largest difference from float64 on four kinds of data; above "
    "1e-3 the kind is named."
)
END = (
    "[More rows and how they were measured](docs/benchmarks.md), "
    "[every row in which an alternative is ahead](docs/limits.md)."
)


def table(found: dict[str, Entry]) -> str:
    problems = {problem["name"]: problem for problem in timed_problems(found)}
    chosen = [problems[name] for name in ROWS if name in problems]
    if not chosen:
        return f"Not measured yet: `python -m benchmarks` does. {END}"
    rows = [*HEAD, *map(best_row, chosen)]
    return "\n".join([*rows, "", *not_measured(ROWS, problems), f"{WORDS} {brief_conditions(found)} {END}"])


def redrawn(text: str) -> str:
    """README.md with the table of the committed results."""
    return replaced(text, MARKS, table(sections()))
