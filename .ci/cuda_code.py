#!/usr/bin/env python3
"""Compiles the CUDA sources for every architecture and looks at the machine code.

A warning, a spilled register or local memory is an error. cuobjdump comes with the toolkit or from PyPI
(nvidia-cuda-cuobjdump).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURES = ["80", "90a", "100f", "120"]
STRICT = ["-Werror", "all-warnings", "-Xptxas", "-warn-spills,-warn-lmem-usage,-Werror"]


@dataclass(frozen=True)
class Budget:
    """Of kernels whose name matches: at most so many registers, and instructions that begin so."""

    kernels: str
    registers: int
    instructions: tuple[str, ...]
    architecture: str = ""  # of these kernels, or any


HALF = ("HMMA.16816.F32", "LDSM.16.M88.4", "LDGSTS.E.BYPASS.128")
TF32 = ("HMMA.1688.F32.TF32", *HALF[1:])
# Registers are given out anew within the kernel: 168 is what the launch takes.
TURNS = ("HGMMA.64x128x16.F32", "WARPGROUP.DEPBAR", "UTMALDG.2D", "SYNCS.PHASECHK", "USETMAXREG")
BUDGETS = [
    Budget(r"_in_turns", 168, TURNS, "sm_90a"),
    Budget(r"_in_turns", 16, ("BPT.TRAP",)),  # other devices never run it
    Budget(r"fill_tiles.*(Bfloat|Half|Split)Operand", 128, (*HALF, "STG.E.64")),
    Budget(r"(sum_tiles|sum_softmax).*(Bfloat|Half|Split)Operand", 255, HALF),
    Budget(r"grad_of_rows.*(Bfloat|Half|Split)Operand", 255, (*HALF, "LDSM.16.MT88.4")),
    Budget(r"multiply_layersIf", 128, ("FFMA", "LDG.E.64")),
    Budget(r"multiply_layersId", 128, ("DFMA", "LDG.E.128")),
    Budget(r"(sum|fill)_tiles.*Tf32Operand", 255, TF32),
    Budget(r"(sum_tiles|fill_tiles|sum_softmax|grad_of_rows).*DoubleOperand", 176, ("LDGSTS.E.BYPASS.128",)),
    Budget(r".*", 255, ()),
]


def cuobjdump(*arguments: str) -> str:
    wheel = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin")
    path = f"{wheel}{os.pathsep}{os.environ['PATH']}"  # where it looks for nvdisasm, too
    tool = shutil.which("cuobjdump", path=path)
    if tool is None:
        raise SystemExit("cuobjdump is in neither the toolkit nor nvidia-cuda-cuobjdump")
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        [tool, *arguments], capture_output=True, text=True, check=True, env=environment
    ).stdout


def compile_source(source: Path, folder: Path) -> Path:
    target = folder / f"{source.stem}.o"
    codes = [word for a in ARCHITECTURES for word in ("-gencode", f"arch=compute_{a},code=sm_{a}")]
    command = ["nvcc", "-std=c++20", "-O3", "-Icsrc", *STRICT, *codes, "-c", source, "-o", target]
    said = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if "Performance Loss" in said.stdout:  # products of a warpgroup, one after the other: no warning
        raise SystemExit(said.stdout)
    return target


def kernels_of(target: Path) -> list[tuple[str, str, int, Counter[str]]]:
    """(architecture, name, registers, instructions) of every kernel."""
    registers: dict[tuple[str, str], int] = {}
    instructions: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    architecture = name = ""
    for line in cuobjdump("--dump-resource-usage", str(target)).splitlines():
        if found := re.search(r"arch = (\S+)", line):
            architecture = found[1]
        if found := re.search(r"Function (\S+):", line):
            name = found[1]
        if found := re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", line):
            registers[architecture, name] = int(found[1])
            if int(found[2]) or int(found[3]):
                raise SystemExit(f"{architecture} {name} has a stack: {line}")
    for line in cuobjdump("-sass", str(target)).splitlines():
        if found := re.search(r"arch = (\S+)", line):
            architecture = found[1]
        if found := re.search(r"Function : (\S+)", line):
            name = found[1]
        if found := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][\w.]*)", line):
            instructions[architecture, name][found[1]] += 1
    return [(*key, registers[key], instructions[key]) for key in sorted(registers)]


def complaints(architecture: str, name: str, registers: int, instructions: Counter[str]) -> list[str]:
    budget = next(
        b for b in BUDGETS if re.search(b.kernels, name) and architecture.startswith(b.architecture)
    )
    found = [f"{registers} registers, {budget.registers} allowed"] if registers > budget.registers else []
    found += [
        f"no {wanted}"
        for wanted in budget.instructions
        if not any(i.startswith(wanted) for i in instructions)
    ]
    found += [f"has {i}" for i in instructions if i.split(".")[0] in ("LDL", "STL")]
    return [f"{architecture} {name}: {complaint}" for complaint in found]


def main() -> int:
    sources = sorted(Path("csrc").rglob("*.cu"))
    wrong: list[str] = []
    count = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        for target in pool.map(lambda source: compile_source(source, Path(folder)), sources):
            for kernel in kernels_of(target):
                wrong += complaints(*kernel)
                count += 1
    print("\n".join(wrong or [f"{count} kernels of {len(sources)} sources: all within their budgets"]))
    print(f"compiled for {len(ARCHITECTURES)} architectures and read in {time.monotonic() - started:.0f} s")
    return 1 if wrong or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
