"""python -m benchmarks.machine_code [--objects FOLDER] [--check | --add CHANGE]: what the CUDA kernels cost.

Compiles the kernels that take the time for compute capability 9.0 and counts the instructions on the path of
a tile: issue slots, products of the tensor cores, bytes of shared memory, registers. Ceilings that are
assumptions make a predicted time of them; nothing is measured here.

--check compares with benchmarks/machine_code.json and ends with 1 where a kernel costs more than it says.
--add writes the counts there, under the name of a change, and the table in docs/cuda.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .kernel_names import kernel_name
from .kernel_paths import KERNELS, Cost, cost_of
from .predicted import LOADS, Ceilings, predicted
from .sass import compile_source, kernels_of

ROOT = Path(__file__).parents[1]
BUDGETS, PAGE = ROOT / "benchmarks/machine_code.json", ROOT / "docs/cuda.md"
MARKS = "<!-- machine code: begin -->", "<!-- machine code: end -->"
ARCHITECTURE = "sm_90a"
Costs = dict[str, Cost]


def costs(csrc: Path, objects: Path | None) -> Costs:
    """Of every kernel, from sources or from object files that hold their code."""
    sources = list(dict.fromkeys(costed.source for costed in KERNELS))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:

        def compiled(source: str) -> Path:
            if objects is not None:
                return objects / Path(source).with_suffix(".o")
            return compile_source(csrc / "ops" / source, Path(folder), ["90a"], include=csrc)

        code = dict(zip(sources, map(kernels_of, pool.map(compiled, sources)), strict=True))
    found = {}
    for costed in KERNELS:
        kernels = [
            kernel
            for kernel in code[costed.source]
            if kernel.architecture == ARCHITECTURE and re.search(costed.kernel, kernel.name)
        ]
        assert len(kernels) == 1, f"{costed.name}: {[kernel_name(k.name) for k in kernels]}"
        found[costed.name] = cost_of(kernels[0], costed)
    return found


def history() -> list[dict[str, Any]]:
    return json.loads(BUDGETS.read_text())["history"] if BUDGETS.exists() else []


def known(entry: dict[str, Any]) -> Costs:
    return {name: Cost(**fields) for name, fields in entry["kernels"].items()}


def times(found: Costs, ceilings: Ceilings) -> dict[str, dict[str, float]]:
    """By problem and kernel: milliseconds of everything that may bind."""
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


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def tables(first: Costs, last: Costs, ceilings: Ceilings) -> str:
    """The counts and the predictions in Markdown, as they were first and as they are."""
    counts = [["kernel", "slots a value", "slots a slice", "shuffles", "shared bytes a value", "registers"]]
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
    heads = list(next(iter(after.values())))
    predictions = [["ms, predicted", *heads, "binds"]]
    for name, now in after.items():
        cells = [_change(before[name][head], now[head], 2) for head in heads]
        predictions.append([name, *cells, max(now, key=now.__getitem__)])
    return _table(counts) + "\n\n" + _table(predictions)


def page() -> str:
    """The part of docs/cuda.md that is generated."""
    entries = history()
    ceilings = Ceilings()
    named = ", ".join(f"{name} {value:g}" for name, value in asdict(ceilings).items())
    changes = "; ".join(entry["change"] for entry in entries[1:])
    table = tables(known(entries[0]), known(entries[-1]), ceilings)
    return (
        f"Counted in the machine code for {ARCHITECTURE}; nothing was measured. Before and after: "
        f"{changes or 'no change yet'}.\n\n{table}\n\nCeilings, all of them assumptions: {named}."
    )


def write_page() -> None:
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    PAGE.write_text(f"{before}{MARKS[0]}\n{page()}\n{MARKS[1]}{after}")


def complaints(budget: Costs, found: Costs) -> list[str]:
    """What costs more than the budget."""
    wrong = []
    for one in KERNELS:
        allowed, now = budget[one.name], found[one.name]
        pairs = {
            "slots on a tile's path": (sum(allowed.slots.values()), sum(now.slots.values())),
            "slots of a slice": (sum(allowed.slice_slots.values()), sum(now.slice_slots.values())),
            "bytes of shared memory": (allowed.shared_bytes, now.shared_bytes),
            "registers": (allowed.registers, now.registers),
        }
        wrong += [f"{one.name}: {b:g} {what}, {a:g} before" for what, (a, b) in pairs.items() if b > a]
    return wrong


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machine_code", description=__doc__)
    parser.add_argument("--csrc", type=Path, default=ROOT / "csrc", metavar="FOLDER")
    parser.add_argument("--objects", type=Path, metavar="FOLDER", help="compiled already")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--add", metavar="CHANGE")
    arguments = parser.parse_args(given)
    found, entries = costs(arguments.csrc, arguments.objects), history()
    first = known(entries[-1]) if entries else found
    print(tables(first, found, Ceilings()))
    if arguments.add:
        kernels = {name: asdict(cost) for name, cost in found.items()}
        entries.append({"change": arguments.add, "kernels": kernels})
        BUDGETS.write_text(json.dumps({"architecture": ARCHITECTURE, "history": entries}, indent=1) + "\n")
        write_page()
    wrong = complaints(first, found) if arguments.check else []
    print(
        "\n".join(wrong or ["no kernel costs more than benchmarks/machine_code.json says"] * arguments.check)
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
