"""The tables of intervals for pages, from results/coverage.json."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from .results import UNKNOWN, Entry, read
from .words import table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def samples(count: int, share: float) -> str:
    """In how many samples a share was counted, and between which values 95 % of such counts lie."""
    far = 1.96 * math.sqrt(share * (1 - share) / count)
    low, high = (f"{100 * (share + side * far):.1f}" for side in (-1, 1))
    return f"{count:,} samples each, so that {100 * share:.0f} % mostly come out between {low} and {high} %."


def elsewhere(named: Iterable[tuple[str, Entry]]) -> str:
    """The commits, and processors where they are named, of what was not measured with the rest of a file."""
    found = defaultdict[str, list[str]](list)
    for name, one in named:
        where = ", ".join(one[key] for key in ("commit", "cpu") if key in one)
        if where and f'"{name}"' not in found[where]:
            found[where].append(f'"{name}"')
    return "; ".join(f"{', '.join(own)} on commit {where}" for where, own in found.items())


def coverage_elsewhere() -> str:
    found = read("coverage")
    if found is None:
        return UNKNOWN
    named = [(one["data"], one) for one in found["coverage"]]
    return elsewhere([*named, *(("equal CKA", one) for one in found["equality"])])


def coverage() -> str:
    """How often intervals hold the true value and how often they warn, by data set and number of rows."""
    found = read("coverage")
    if found is None:
        return UNKNOWN
    shown = ("coverage", "warned", "of these warned", "coverage without a warning")
    rows = [
        [one["data"], str(one["n"]), f"{one['truth']:.3f}", *(_percent(one[name]) for name in shown)]
        for one in found["coverage"]
    ]
    head = ["data", "rows", "truth", "intervals that contain it", "with a warning"]
    head += ["with a warning, of samples with larger rows", "contain it, of those without a warning"]
    made = table(head, rows, rule="|---|" + "---:|" * (len(head) - 1))
    return f"{made}\n\n{samples(found['repetitions']['coverage'], found['level'])}"


def equality() -> str:
    """How often `cka_difference` finds a difference between two equal CKA."""
    found = read("coverage")
    if found is None:
        return UNKNOWN

    def row(one: Entry) -> list[str]:
        return [str(one["n"]), f"{one['noise']:g}", _percent(one["p"]), _percent(one["z"])]

    head = ["rows", "noise", "p at most 0.05", "z beyond 1.96"]
    made = table(head, [row(one) for one in found["equality"]], rule="|" + "---:|" * len(head))
    count = found["equality"][0].get("repetitions", found["repetitions"]["equality"])
    return f"{made}\n\n{samples(count, 1 - found['level'])}"
