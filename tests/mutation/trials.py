"""Tries faults: those that may be compiled together in one program, those not noticed with further tests."""

from __future__ import annotations

import sys
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Protocol

from compiling import NotCompiled
from faults import Fault
from switched import groups


class Target(Protocol):
    """Where faults are planted: `Cpu` and `Cuda`."""

    one_tree: bool  # whether its faults share a copy of the tree, so that one group is tried at a time

    def together(self, fault: Fault) -> Hashable: ...

    def notices(self, faults: Sequence[Fault]) -> Iterator[bool]: ...

    def with_tests(self, fault: Fault) -> list[Fault]: ...


class Report:
    """Which faults were noticed, printed as soon as it is known."""

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

    def tried(self) -> int:
        """The number of faults that compile."""
        return self.noticed + len(self.missed)

    def end(self, lenient: bool) -> int:
        """The exit status; if lenient, generated faults that are not noticed do not count."""
        seconds = time.monotonic() - self.started
        apart = f", {self.not_compiled} that cannot be compiled" if self.not_compiled else ""
        print(f"{self.tried()} faults, {len(self.missed)} not noticed{apart}, {seconds:.0f} s")
        fatal = [fault for fault in self.missed if not (lenient and fault.span)]
        return 1 if fatal or not self.noticed else 0


class Tried:
    """The faults of an earlier run, by its output."""

    def __init__(self, output: str) -> None:
        lines = [line.partition(" s  ") for line in output.splitlines()]
        self._compiled = {said: not word.startswith("not compiled") for word, _, said in lines if said}

    def __contains__(self, fault: Fault) -> bool:
        return f"{fault.file}: {fault.name}" in self._compiled

    def rest(self, count: int, faults: Sequence[Fault]) -> tuple[int, list[Fault]]:
        """How many of the first `count` faults that compile are left, and the faults without those tried."""
        tried = sum(self._compiled[f"{fault.file}: {fault.name}"] for fault in faults if fault in self)
        return max(0, count - tried), [fault for fault in faults if fault not in self]


def try_faults(target: Target, attempts: list[list[Fault]], report: Report, jobs: int) -> None:
    """Each attempt is a fault with one choice of tests after the other, until some notice it."""
    again: list[list[Fault]] = []
    further = {id(trials[0]): trials[1:] for trials in attempts}

    def end(fault: Fault, noticed: bool | None, seconds: float) -> None:
        if noticed is False and further[id(fault)]:
            again.append(further[id(fault)])
        else:
            report.add(fault, noticed, seconds)

    def together(group: list[Fault]) -> None:
        left, begun = list(group), time.monotonic()
        try:
            for fault, noticed in zip(group, target.notices(group), strict=True):
                end(fault, noticed, time.monotonic() - begun)
                left.remove(fault)
                begun = time.monotonic()
        except RuntimeError as wrong:
            if len(group) == 1:
                print(wrong, file=sys.stderr, flush=True)
                no_program = isinstance(wrong, NotCompiled) and group[0].span  # a rule may make one
                report.add(group[0], None if no_program else False, time.monotonic() - begun)
            else:  # some may not compile, or have tests that fail without them: tries each half separately
                for half in filter(None, (left[::2], left[1::2])):
                    together(half)

    with ThreadPoolExecutor(1 if target.one_tree else jobs) as pool:
        list(pool.map(together, groups([trials[0] for trials in attempts], target.together)))
    if again:
        try_faults(target, again, report, jobs)


def try_generated(target: Target, faults: list[Fault], count: int, report: Report, jobs: int) -> None:
    """The first `count` faults that compile."""
    most = report.tried() + count
    attempts = (trials for fault in faults if (trials := target.with_tests(fault)))
    while some := list(islice(attempts, most - report.tried())):
        try_faults(target, some, report, jobs)
