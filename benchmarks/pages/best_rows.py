"""Rows of a table that compares gramless with the fastest alternative that is right."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import SECTIONS
from .results import OURS, Entry, quoted
from .tables import DATA, error, what
from .words import duration, row, size, times

HEAD = (
    "| problem | gramless: time | memory | error | fastest alternative | time (ratio) | memory | error |",
    "|---|---:|---:|---:|---|---:|---:|---:|",
)
MEMORY = 16e9  # bytes that a machine with 24 GB has for one matrix of each layer


def best_alternative(problem: Entry) -> tuple[str, Entry, float] | None:
    """The fastest alternative whose answers are right on all data; if there is none, the fastest."""
    found = [
        (name, one, best[1])
        for name, one in problem["contenders"].items()
        if name != OURS and (best := quoted(name, one))
    ]
    return min(
        found, key=lambda each: (bool((each[1].get("errors") or {}).get("wrong")), each[2]), default=None
    )


def best_row(problem: Entry) -> str:
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
        matrices = 4 * max(problem.get("layers") or 0, 2) * problem["n"] ** 2
        return row([*cells, "n x n does not fit" if matrices > MEMORY else "none measured", "", "", ""])
    name, one, ms = alternative
    ratio = f" ({times(own[1], ms)})" if own else ""
    return row([*cells, name, f"{duration(ms)}{ratio}", size(one.get("peak_bytes")), error(one)])


def not_measured(names: Sequence[str], problems: dict[str, Entry]) -> list[str]:
    """A line that names those of these rows that the results lack."""
    planned = {problem.name: problem for _, make in SECTIONS.values() for problem in make()}
    missing = [what(planned[name].as_json()) for name in names if name not in problems]
    return [f"Not measured yet: {'; '.join(missing)}."] if missing else []
