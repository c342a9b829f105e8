"""What pages say of intervals, from results/coverage.json."""

from __future__ import annotations

from .results import Entry, read
from .words import table

UNKNOWN = "(not measured yet)"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def coverage() -> str:
    """By data and number of rows, how often intervals hold the truth, and how often they warn."""
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
    return table(head, rows, rule="|---|" + "---:|" * (len(head) - 1))


def equality() -> str:
    """How often `cka_difference` tells two equal CKA apart."""
    found = read("coverage")
    if found is None:
        return UNKNOWN

    def row(one: Entry) -> list[str]:
        return [str(one["n"]), f"{one['noise']:g}", _percent(one["p"]), _percent(one["z"])]

    head = ["rows", "noise", "p at most 0.05", "z beyond 1.96"]
    return table(head, [row(one) for one in found["equality"]], rule="|" + "---:|" * len(head))
