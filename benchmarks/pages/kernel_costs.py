"""The costs of the CUDA kernels: the counts of machine_code.json, and the times predicted from them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ..environment import ROOT
from ..kernel_paths import KERNELS, Cost
from .predicted import LOADS, Ceilings, predicted
from .words import replaced, table

FILE = ROOT / "docs/cuda.md"
BUDGETS = ROOT / "benchmarks/machine_code.json"
MARKS = "<!-- machine code: begin -->", "<!-- machine code: end -->"
ARCHITECTURE = "sm_90a"
Costs = dict[str, Cost]


def history() -> list[dict[str, Any]]:
    return json.loads(BUDGETS.read_text())["history"] if BUDGETS.exists() else []


def known(entry: dict[str, Any]) -> Costs:
    return {name: Cost(**fields) for name, fields in entry["kernels"].items()}


def times(found: Costs, ceilings: Ceilings) -> dict[str, dict[str, float]]:
    """For each problem and kernel, the milliseconds of every resource that may be the bottleneck."""
    costed = {one.name: one for one in KERNELS}
    return {
        f"{load.problem}: {load.kernel.split(',')[0]}": predicted(
            load, found[load.kernel], costed[load.kernel], ceilings
        )
        for load in LOADS
    }


def _change(before: float, after: float, digits: int = 0) -> str:
    first, second = (f"{value:.{digits}f}" for value in (before, after))
    return second if first == second else f"{first} -> {second}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return table(head, rows, rule="|" + "---|" * len(head))


def tables(first: Costs, last: Costs, ceilings: Ceilings) -> str:
    """The counts and the predictions in Markdown, as they were first and as they are."""
    head = ["kernel", "issue slots per value", "issue slots per slice", "shuffles"]
    head += ["bytes of shared memory per value", "registers"]
    counts = []
    for one in KERNELS:
        a, b = first[one.name], last[one.name]
        slots, of_slice, shuffles = (
            [sum(cost.slots.values()) / cost.values for cost in (a, b)],
            [sum(cost.slice_slots.values()) for cost in (a, b)],
            [cost.slots.get("shuffle", 0) for cost in (a, b)],
        )
        shared = [cost.shared_bytes / (32 * cost.values) for cost in (a, b)]
        counts.append([
            one.name, _change(*slots, 1), _change(*of_slice) if any(of_slice) else "", _change(*shuffles),
            _change(*shared, 1), _change(a.registers, b.registers),
        ])  # fmt: skip
    before, after = times(first, ceilings), times(last, ceilings)
    names = list(next(iter(after.values())))
    predictions = []
    for name, now in after.items():
        cells = [_change(before[name][ceiling], now[ceiling], 2) for ceiling in names]
        predictions.append([name, *cells, max(now, key=now.__getitem__)])
    return "\n\n".join([_table(head, counts), _table(["ms, predicted", *names, "bottleneck"], predictions)])


def part() -> str:
    """The generated part of the page."""
    entries = history()
    named = ", ".join(f"{name} {value:g}" for name, value in asdict(Ceilings()).items())
    changes = "; ".join(entry["change"] for entry in entries[1:])
    costs = tables(known(entries[0]), known(entries[-1]), Ceilings())
    return (
        f"Counted in the machine code for {ARCHITECTURE}; nothing was measured. An arrow leads from the "
        f"numbers before to those after these changes: {changes or 'no change yet'}.\n\n{costs}\n\n"
        f"Assumed ceilings of the GPU: {named}."
    )


def redrawn(text: str) -> str:
    """The page with the table of the committed counts."""
    return replaced(text, MARKS, part())
