#!/usr/bin/env python3
"""Reads the machine code of the CPU's loops, and counts the instructions of small calls.

cpu_code.py BUILD: a folder that .ci/cpp_tests.sh has built. Loops that multiply and add, of every
instruction set, may access the stack no more often than their budget allows, because a register that is
spilled there costs a load in each turn. Small calls run under valgrind, if it is installed, and may take
no more instructions than their budget. Both depend on the compiler: budgets are for the one below; with
another one, excesses are printed and are not errors.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPILER = "GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
LEAST_PRODUCTS = 8  # a loop with fewer is not checked


@dataclass(frozen=True)
class Loop:
    """An innermost loop of a function."""

    isa: str
    source: str
    function: str
    products: int  # multiplications whose results are added
    stack: int  # accesses to the stack


@dataclass(frozen=True)
class Budget:
    """Accesses to the stack in the worst loop of a source, and in all of its loops."""

    isa: str
    source: str
    worst: int
    total: int


BUDGETS = [
    Budget("avx2", "count_distances", 8, 81),
    Budget("avx512", "count_distances", 28, 169),
    Budget("baseline", "count_distances", 31, 123),
    Budget("avx2", "covariance_grad", 8, 57),
    Budget("avx512", "covariance_grad", 28, 79),
    Budget("baseline", "covariance_grad", 4, 16),
    Budget("avx2", "covariance_sums", 11, 86),
    Budget("avx512", "covariance_sums", 28, 177),
    Budget("baseline", "covariance_sums", 22, 74),
    Budget("avx2", "distill_grad", 15, 104),
    Budget("avx512", "distill_grad", 28, 185),
    Budget("baseline", "distill_grad", 24, 90),
    Budget("avx2", "distill_sums", 45, 223),
    Budget("avx512", "distill_sums", 28, 189),
    Budget("baseline", "distill_sums", 47, 194),
    Budget("avx2", "exact_neighbors", 0, 0),
    Budget("avx512", "exact_neighbors", 0, 0),
    Budget("baseline", "exact_neighbors", 0, 0),
    Budget("avx2", "gram_sums", 70, 1144),
    Budget("avx512", "gram_sums", 142, 2046),
    Budget("baseline", "gram_sums", 73, 930),
    Budget("avx2", "hardest_limits", 8, 83),
    Budget("avx512", "hardest_limits", 28, 161),
    Budget("baseline", "hardest_limits", 23, 44),
    Budget("avx2", "kernel_grad", 39, 858),
    Budget("avx512", "kernel_grad", 45, 333),
    Budget("baseline", "kernel_grad", 45, 368),
    Budget("avx2", "nearest_rows", 8, 83),
    Budget("avx512", "nearest_rows", 28, 161),
    Budget("baseline", "nearest_rows", 23, 62),
    Budget("avx2", "row_statistics", 127, 2650),
    Budget("avx512", "row_statistics", 119, 2497),
    Budget("baseline", "row_statistics", 98, 418),
    Budget("avx2", "sigmoid_pairs", 40, 264),
    Budget("avx512", "sigmoid_pairs", 41, 337),
    Budget("baseline", "sigmoid_pairs", 29, 196),
    Budget("avx2", "softmax_grad", 39, 603),
    Budget("avx512", "softmax_grad", 45, 363),
    Budget("baseline", "softmax_grad", 47, 615),
    Budget("avx2", "softmax_sums", 53, 778),
    Budget("avx512", "softmax_sums", 28, 258),
    Budget("baseline", "softmax_sums", 63, 730),
    Budget("avx2", "unit_rows", 22, 205),
    Budget("avx512", "unit_rows", 28, 161),
    Budget("baseline", "unit_rows", 23, 60),
]
SMALL_CALLS = {  # instructions with AVX2, because valgrind does not support AVX-512
    "nt_xent_64": 601_000,
    "nt_xent_512": 17_554_000,
    "cka_rbf_64": 296_000,
    "cka_median_64": 489_000,
    "cka_median_512": 9_800_000,
    "cka_linear_64": 89_000,
    "matrix_rbf_64": 1_090_000,
}
MARGIN = 1.1  # because the C library's code depends on the CPU


def instructions_of(target: Path) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """(function, its instructions with their addresses) of an object file."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", "--wide", str(target)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    name, found = "", list[tuple[int, str]]()
    for line in listing.splitlines():
        if header := re.match(r"[0-9a-f]+ <(\S+)>:$", line):
            if found:
                yield name, found
            name, found = header[1], []
        elif instruction := re.match(r"\s+([0-9a-f]+):\t(.+)$", line):
            found.append((int(instruction[1], 16), instruction[2]))
    if found:
        yield name, found


def innermost_loops(instructions: list[tuple[int, str]]) -> list[list[str]]:
    """The code between a backward jump and its target, if it contains no other backward jump."""
    spans = []
    for address, text in instructions:
        jump = re.match(r"j\w+\s+([0-9a-f]+) ", text)
        if jump and instructions[0][0] <= int(jump[1], 16) <= address:
            spans.append((int(jump[1], 16), address))
    inner = [
        span
        for span in spans
        if not any(span != other and span[0] <= other[0] and other[1] <= span[1] for other in spans)
    ]
    return [[text for address, text in instructions if first <= address <= last] for first, last in inner]


def is_product(text: str) -> bool:
    return re.match(r"v?(fn?m(add|sub)\d+|mul)p[sd]\s", text) is not None


def hot_loops(isa: str, target: Path) -> list[Loop]:
    found = []
    for function, instructions in instructions_of(target):
        framed = any(text.split() == ["mov", "%rsp,%rbp"] for _, text in instructions[:20])
        stack = re.compile(r"\(%r[sb]p" if framed else r"\(%rsp")
        for loop in innermost_loops(instructions):
            products = sum(map(is_product, loop))
            if products >= LEAST_PRODUCTS:
                accesses = sum(stack.search(text) is not None for text in loop)
                found.append(Loop(isa, target.name.split(".")[0], function, products, accesses))
    return found


def objects_of(build: Path, isa: str) -> list[Path]:
    """The objects of an instruction set whose sources exist; a folder also keeps those of removed ones."""
    return [
        target
        for folder in build.glob(f"**/gramless_{isa}.dir")
        for target in sorted(folder.glob("**/*.o"))
        if (ROOT / "csrc" / target.relative_to(folder)).with_suffix("").is_file()
    ]


def all_loops(build: Path) -> list[Loop]:
    isas = ("baseline", "avx2", "avx512")
    return [loop for isa in isas for target in objects_of(build, isa) for loop in hot_loops(isa, target)]


def excess_of_loops(loops: list[Loop]) -> list[str]:
    """Everything that exceeds the budgets, including files without loops and files without a budget."""
    by_file = defaultdict[tuple[str, str], list[Loop]](list)
    for loop in loops:
        by_file[loop.isa, loop.source].append(loop)
    wrong = []
    for isa, source in sorted(by_file.keys() | {(b.isa, b.source) for b in BUDGETS}):
        of_file = by_file[isa, source]
        budget = next((b for b in BUDGETS if (b.isa, b.source) == (isa, source)), None)
        worst = max((loop.stack for loop in of_file), default=-1)
        total = sum(loop.stack for loop in of_file)
        if budget is None or not of_file or worst > budget.worst or total > budget.total:
            wrong.append(
                f"{isa} {source}: {len(of_file)} loops, {worst} in the worst, {total} in all; {budget}"
            )
    return wrong


def instructions_of_call(program: Path, name: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "-q", "--tool=callgrind", "--toggle-collect=counted_call"]
        command += [f"--callgrind-out-file={folder}/out", str(program), name]
        subprocess.run(command, check=True, capture_output=True, text=True)
        found = re.search(r"^(?:totals|summary): (\d+)", Path(folder, "out").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def excess_of_calls(program: Path) -> list[str]:
    wrong = []
    for name, budget in SMALL_CALLS.items():
        count = instructions_of_call(program, name)
        print(f"{name}: {count:,} instructions of {budget:,}")
        if count > MARGIN * budget:
            wrong.append(f"{name}: {count:,} instructions, {budget:,} budgeted")
    return wrong


def compiled_by(build: Path) -> str:
    target = objects_of(build, "avx2")[0]
    command = ["readelf", "--string-dump=.comment", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    build, started = Path(sys.argv[1]), time.monotonic()
    loops = all_loops(build)
    wrong = excess_of_loops(loops)
    print(f"{len(loops)} hot loops of {len({(loop.isa, loop.source) for loop in loops})} files")
    if shutil.which("valgrind"):
        wrong += excess_of_calls(build / "tests" / "cpp" / "small_calls")
    else:
        print("small calls are not counted: valgrind is not installed on this machine")
    print("\n".join(wrong or ["all within their budgets"]))
    print(f"read and counted in {time.monotonic() - started:.0f} s")
    if COMPILER in compiled_by(build):
        return 1 if wrong or not loops else 0
    print(f"budgets are for {COMPILER}: excesses are not errors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
