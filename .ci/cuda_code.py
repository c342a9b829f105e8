#!/usr/bin/env python3
"""cuda_code.py [--objects FOLDER] [--architectures NAME...] [-- SOURCE...]: reads the code of CUDA sources.

Compiles them; a warning, a spilled register or local memory is an error. cuobjdump comes with the toolkit
or from PyPI (nvidia-cuda-cuobjdump). Without sources it compiles all of csrc, without architectures all that
are supported. --objects: a folder that keeps the compiled objects.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.sass import Kernel, compile_source, kernels_of

ARCHITECTURES = ["80", "90a", "100f", "120"]


@dataclass(frozen=True)
class Budget:
    """For kernels whose name matches: the most registers, and allowed prefixes of instructions."""

    kernels: str
    registers: int
    instructions: tuple[str, ...]
    architecture: str = ""  # that of these kernels, or any


HALF = ("HMMA.16816.F32", "LDSM.16.M88.4", "LDGSTS.E.BYPASS.128")
TF32 = ("HMMA.1688.F32.TF32", *HALF[1:])
# The kernel reallocates registers: 168 is the number at launch.
TURNS = ("HGMMA.64x128x16.F32", "WARPGROUP.DEPBAR", "UTMALDG.2D", "SYNCS.PHASECHK", "USETMAXREG")
BUDGETS = [
    Budget(r"_hopper", 168, TURNS, "sm_90a"),
    Budget(r"_hopper", 16, ("BPT.TRAP",)),  # on devices that never run it
    Budget(r"fill_tiles.*(Bfloat|Half|Split)Operand", 128, (*HALF, "STG.E.64")),
    Budget(r"(sum_tiles|sum_softmax).*(Bfloat|Half|Split)Operand", 255, HALF),
    Budget(r"grad_of_rows.*(Bfloat|Half|Split)Operand", 255, (*HALF, "LDSM.16.MT88.4")),
    Budget(r"multiply_layersIf", 128, ("FFMA", "LDG.E.64")),
    Budget(r"multiply_layersId", 128, ("DFMA", "LDG.E.128")),
    Budget(r"(sum|fill)_tiles.*Tf32Operand", 255, TF32),
    Budget(r"(sum_tiles|fill_tiles|sum_softmax|grad_of_rows).*DoubleOperand", 176, ("LDGSTS.E.BYPASS.128",)),
    Budget(r".*", 255, ()),
]


def complaints(kernel: Kernel) -> list[str]:
    name, architecture, has = kernel.name, kernel.architecture, kernel.counts()
    budget = next(
        b for b in BUDGETS if re.search(b.kernels, name) and architecture.startswith(b.architecture)
    )
    resources = kernel.resources
    found = ["it has a stack"] if resources.stack or resources.local else []
    if resources.registers > budget.registers:
        found.append(f"{resources.registers} registers, {budget.registers} allowed")
    found += [f"no {wanted}" for wanted in budget.instructions if not any(i.startswith(wanted) for i in has)]
    found += [f"has {i}" for i in has if i.split(".")[0] in ("LDL", "STL")]
    return [f"{architecture} {name}: {complaint}" for complaint in found]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--objects", type=Path)
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=ARCHITECTURES)
    parser.add_argument("sources", type=Path, nargs="*")
    given = parser.parse_args()
    sources = given.sources or sorted(Path("csrc").rglob("*.cu"))
    wrong: list[str] = []
    count = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        folder = given.objects or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        compiled = pool.map(
            lambda source: compile_source(source, folder, given.architectures, include=Path("csrc")), sources
        )
        for target in compiled:
            for kernel in kernels_of(target):
                wrong += complaints(kernel)
                count += 1
    print("\n".join(wrong or [f"{count} kernels of {len(sources)} sources: all within their budgets"]))
    print(f"compiled for {' '.join(given.architectures)} and read in {time.monotonic() - started:.0f} s")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
