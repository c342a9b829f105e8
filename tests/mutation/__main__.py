"""Plants faults in a copy of the sources, one at a time, and sees whether the suite notices each.

    python tests/mutation [--quick | --all] [--cuda BUILD] [--generated COUNT] [--seed S] [--part K/N]
        [--jobs N] [--list] [NAME ...]

A fault that no test notices is a test that is missing. Without --cuda the faults are those of the CPU's
kernels and of Python; BUILD is made by CMake and Ninja with -DGRAMLESS_CUDA_EMULATOR=ON, and where it is made
for ThreadSanitizer, the faults are races. --quick: those marked so, for every run of CI. --generated: so many
faults made by rules instead of those of the table, in an order that the seed decides. --all: both, for a
release; a generated fault that is not noticed is then named and no failure. A NAME, or a part of one or of a
file, chooses among them, --part every N-th from the K-th on.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compiling import NotCompiled
from cpu import Cpu
from cuda import Cuda
from faults import ROOT, Fault, read_faults
from generate import generated
from switched import groups

FOR_A_RELEASE = {"cpu": 60, "cuda": 30}


class Report:
    """What was noticed and what was not, printed as it is known."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.noticed, self.not_compiled = 0, 0
        self.missed: list[Fault] = []

    def add(self, fault: Fault, noticed: bool | None, seconds: float) -> None:
        word = {True: "noticed", False: "NOT NOTICED", None: "not compiled"}[noticed]
        print(f"{word:12} {seconds:5.1f} s  {fault.file}: {fault.name}", flush=True)
        self.noticed += noticed is True
        self.not_compiled += noticed is None
        if noticed is False:
            self.missed.append(fault)

    def end(self, lenient: bool) -> int:
        """The exit status; generated faults that are not noticed are for a person to look at, if lenient."""
        tried, seconds = self.noticed + len(self.missed), time.monotonic() - self.started
        apart = f", {self.not_compiled} that cannot be compiled" if self.not_compiled else ""
        print(f"{tried} faults, {len(self.missed)} not noticed{apart}, {seconds:.0f} s")
        fatal = [fault for fault in self.missed if not (lenient and fault.span)]
        return 1 if fatal or not self.noticed else 0


def notices(target: Cpu | Cuda, trials: Iterable[Fault]) -> bool | None:
    """Whether a trial is noticed, of the same fault with more and more tests; None: it is no program."""
    try:
        return any(next(target.notices([trial])) for trial in trials)
    except NotCompiled:
        return None


def try_table(target: Cpu | Cuda, faults: list[Fault], report: Report, jobs: int) -> None:
    def together(group: list[Fault]) -> None:
        left, begun = list(group), time.monotonic()
        try:
            for fault, noticed in zip(group, target.notices(group), strict=True):
                report.add(fault, noticed, time.monotonic() - begun)
                left.remove(fault)
                begun = time.monotonic()
        except NotCompiled:  # of several some may be no program: each half by itself
            if len(group) == 1:
                report.add(group[0], False, time.monotonic() - begun)
            else:
                for half in filter(None, (left[::2], left[1::2])):
                    together(half)

    workers = jobs if isinstance(target, Cuda) else 1  # the CPU's faults share one copy of the tree
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(together, groups(faults, target.together)))


def try_generated(target: Cpu | Cuda, faults: list[Fault], count: int, report: Report) -> None:
    """The first so many of the faults that are programs."""
    done = 0
    for fault in faults:
        trials = target.with_tests(fault)
        if done >= count:
            break
        if trials:
            begun = time.monotonic()
            noticed = notices(target, trials)
            report.add(fault, noticed, time.monotonic() - begun)
            done += noticed is not None


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
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--list", action="store_true", help="names alone")
    return parser.parse_args()


def main() -> int:
    """Tries the chosen faults; 1 where one is not noticed."""
    arguments = parsed()
    kind = "cuda" if arguments.cuda else "cpu"
    known = read_faults(kind)

    def wanted(fault: Fault) -> bool:
        said = f"{fault.file}: {fault.name}"
        return not arguments.names or any(name in said for name in arguments.names)

    with tempfile.TemporaryDirectory() as folder:
        target = (
            Cuda(arguments.cuda.resolve(), known)
            if arguments.cuda
            else Cpu(Path(folder), known, arguments.jobs)
        )
        races = isinstance(target, Cuda) and target.tells_races
        table = [
            fault
            for fault in known
            if wanted(fault) and fault.race == races and (fault.quick or not arguments.quick)
        ]
        count = arguments.generated or (FOR_A_RELEASE[kind] if arguments.all else 0)
        made = [fault for fault in generated(ROOT, kind) if wanted(fault)] if count else []
        made = [fault for fault in made if fault.race == races]
        random.Random(arguments.seed).shuffle(made)
        first, every = arguments.part
        table, made = [] if arguments.generated else table[first::every], made[first::every]
        if arguments.list:
            print("\n".join(f"{fault.file}: {fault.name}" for fault in (*table, *made)))
            return 0
        report = Report()
        try_table(target, table, report, arguments.jobs)
        try_generated(target, made, count, report)
    return report.end(lenient=arguments.all)


if __name__ == "__main__":
    sys.exit(main())
