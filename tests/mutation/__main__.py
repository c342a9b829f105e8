"""Plants faults in a copy of the sources, one at a time, and checks that the tests notice each.

    python tests/mutation [--quick | --all] [--cuda BUILD] [--generated COUNT] [--seed S] [--part K/N]
        [--after LOG] [--jobs N] [--list] [NAME ...]

A fault that no test notices means that a test is missing. Without --cuda the faults are those of the CPU's
kernels and of Python; BUILD is a build by CMake and Ninja with -DGRAMLESS_CUDA_EMULATOR=ON; if it is for
ThreadSanitizer, the faults are races. --quick: those marked so, for every run of CI. --generated: so many
faults made by rules instead of those of the table, in an order that the seed decides. --all: both, for a
release; a generated fault that is not noticed is then printed, no failure. A NAME, or a part of one or of a
file, chooses among them, --part every N-th from the K-th on, --after LOG those that an earlier run did not
try, whose output is LOG; with the same seed both runs together try COUNT generated faults.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from cpu import Cpu
from cuda import Cuda
from faults import ROOT, Fault, read_faults
from generate import generated
from trials import Report, Tried, try_faults, try_generated

FOR_A_RELEASE = {"cpu": 60, "cuda": 30}


def part(text: str) -> tuple[int, int]:
    """K and N of "K/N"; argparse reports the ValueError."""
    first, every = map(int, text.split("/"))
    if not 0 <= first < every:
        raise ValueError
    return first, every


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--cuda", type=Path, metavar="BUILD")
    parser.add_argument("--generated", type=int, default=0, metavar="COUNT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=part, default=(0, 1), metavar="K/N")
    parser.add_argument("--after", type=Path, metavar="LOG")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--list", action="store_true", help="names alone")
    return parser.parse_args()


def main() -> int:
    """Tries the chosen faults; returns 1 if one is not noticed."""
    arguments = parsed()
    kind = "cuda" if arguments.cuda else "cpu"
    known = read_faults(kind)

    before = Tried(arguments.after.read_text(encoding="utf-8") if arguments.after else "")

    def wanted(fault: Fault) -> bool:
        said = f"{fault.file}: {fault.name}"
        return not arguments.names or any(name in said for name in arguments.names)

    with (
        tempfile.TemporaryDirectory() as folder,
        closing(
            Cuda(arguments.cuda.resolve(), known)
            if arguments.cuda
            else Cpu(Path(folder), known, arguments.jobs)
        ) as target,
    ):
        races = isinstance(target, Cuda) and target.tells_races
        table = [
            fault
            for fault in known
            if wanted(fault) and fault.race == races and (fault.quick or not arguments.quick)
            if fault not in before
        ]
        count = arguments.generated or (FOR_A_RELEASE[kind] if arguments.all else 0)
        made = [fault for fault in generated(ROOT, kind) if wanted(fault)] if count else []
        made = [fault for fault in made if fault.race == races]
        random.Random(arguments.seed).shuffle(made)
        first, every = arguments.part
        table, made = [] if arguments.generated else table[first::every], made[first::every]
        count, made = before.rest(count, made)
        if arguments.list:
            print("\n".join(f"{fault.file}: {fault.name}" for fault in (*table, *made)))
            return 0
        report = Report()
        try_faults(target, [[fault] for fault in table], report, arguments.jobs)
        try_generated(target, made, count, report, arguments.jobs)
    return report.end(lenient=arguments.all)


if __name__ == "__main__":
    sys.exit(main())
