"""python -m benchmarks.machine_code [--objects FOLDER] [--check | --add CHANGE]: costs of the CUDA kernels.

Compiles the most expensive kernels for compute capability 9.0 and counts the instructions on the path of a
tile: issue slots, products of the tensor cores, bytes of shared memory, registers. Assumed ceilings give a
predicted time from them; nothing is measured here.

--check compares the counts with benchmarks/machine_code.json and exits with 1 if a kernel takes more.
--add writes the counts there, under the name of a change.
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

from .environment import ROOT
from .kernel_names import kernel_name
from .kernel_paths import KERNELS, cost_of
from .pages.kernel_costs import ARCHITECTURE, BUDGETS, Costs, history, known, tables
from .pages.predicted import Ceilings
from .sass import compile_source, kernels_of


def costs(csrc: Path, objects: Path | None) -> Costs:
    """The costs of every kernel, from sources or from object files with their code."""
    sources = list(dict.fromkeys(costed.source for costed in KERNELS))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:

        def compiled(source: str) -> Path:
            if objects is not None:
                return objects / f"{Path(source).stem}.o"
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


def complaints(budget: Costs, found: Costs) -> list[str]:
    """Everything that takes more than the budget."""
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
        print("python -m benchmarks.pages redraws the table of docs/cuda.md")
    wrong = complaints(first, found) if arguments.check else []
    print(
        "\n".join(wrong or ["no kernel takes more than benchmarks/machine_code.json has"] * arguments.check)
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
