"""How near calls come to the floor of their FLOPs, and how far what they are compared with is from it."""

from __future__ import annotations

from collections.abc import Sequence

from .best_rows import best_alternative, not_measured
from .results import OURS, UNKNOWN, Entry, compared, floor, quoted, timed_problems
from .tables import what
from .words import table

ENGINE = ("rbf-8192-64", "rbf-8192-128", "rbf-8192-512", "rbf-4096-2048")
OTHERS = (
    "linear-8192-64",
    "linear-8192-128",
    "linear-8192-512",
    "sweep-linear-50-2000-256",
    "sweep-rbf-20-2000-512",
    "sweep-rbf-50-2000-256",
    "sweep-rbf-50-4000-64",
    "nt-xent-64-128",
    "nt-xent-512-128",
    "nt-xent-2048-128",
    "siglip-16384-512",
)


def engine() -> str:
    """Of RBF CKA, sigma given: what is reached of the peak, and what ratio to n x n code the floor allows."""
    problems, shown = _measured(ENGINE)
    rows = []
    for problem in shown:
        own, floor_ms = _own_and_floor(problem)
        eager = quoted("torch eager", problem["contenders"].get("torch eager", {}))
        cells = _against(own, floor_ms, eager and eager[1])
        rows.append([f"{problem['n']:,}", f"{problem['d']:,}", *cells])
    head = ["n", "d", "of the FMA peak", "torch eager, times ours", "torch eager, times the floor"]
    missing = [f"`{name}`" for name in ENGINE if name not in problems]
    said = [f"Not measured yet: {', '.join(missing)}."] if missing else []
    return "\n\n".join([table(head, rows, "|" + "---:|" * 5), *said]) if rows else UNKNOWN


def other_calls() -> str:
    """The same of other calls, beside the fastest alternative."""
    problems, shown = _measured(OTHERS)
    rows = []
    for problem in shown:
        own, floor_ms = _own_and_floor(problem)
        name, _, theirs = best_alternative(problem) or ("none measured", {}, None)
        share, *ratios = _against(own, floor_ms, theirs)
        rows.append([what(problem), share, name, *ratios])
    head = ["call", "of the FMA peak", "fastest alternative", "times ours", "times the floor"]
    said = not_measured(OTHERS, problems)
    return "\n\n".join([table(head, rows, "|---|---:|---|---:|---:|"), *said]) if rows else UNKNOWN


def _measured(names: Sequence[str]) -> tuple[dict[str, Entry], list[Entry]]:
    problems = {problem["name"]: problem for problem in timed_problems(compared())}
    return problems, [problems[name] for name in names if name in problems]


def _own_and_floor(problem: Entry) -> tuple[float | None, float]:
    own = quoted(OURS, problem["contenders"].get(OURS, {}))
    return own and own[1], floor(problem, "all")


def _against(own: float | None, floor_ms: float, theirs: float | None) -> list[str]:
    share = f"{floor_ms / own:.0%}" if own else ""
    ours = f"{theirs / own:.1f}" if own and theirs else ""
    return [share, ours, f"{theirs / floor_ms:.1f}" if theirs else ""]
