"""Runs the plan: first answers and memory, then times, one file of results for each section. Runs resume."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .check import errors, given, peak_bytes, verdict
from .contenders import CONTENDERS, Contender, taking
from .environment import commit, conditions, torch_kernels
from .measure import once, timed
from .problems import Problem
from .processes import Processes, processes

ABSENT = "not installed"
SAME = ("machine", "python", "versions")  # if one of these differs, a file of results is started again
DESCRIBED = [*(field.name for field in fields(Problem)), "flops"]
Entry = dict[str, Any]


@dataclass(frozen=True)
class Options:
    prepare: bool = False  # no times
    memory: bool = True  # whether peak memory is measured
    fresh: bool = False  # whether earlier files are discarded
    quick: bool = False
    only: tuple[str, ...] = ()  # problems; empty: all
    rounds: int = 5
    budget_s: float = 2.0  # for the samples of a problem, at least one in each turn
    end: float = float("inf")  # of the monotonic clock; no problem is started later

    @property
    def quiet_s(self) -> float:
        """How long a round waits for a quiet machine."""
        return 0.0 if self.quick else 1.5


class Results:
    """A file of results. At the same commit a run keeps all of it, else errors and memory of alternatives."""

    def __init__(self, path: Path, about: Entry, fresh: bool) -> None:
        self._path = path
        self.found: Entry = about | {"kernels": {}, "problems": []}
        before = json.loads(path.read_text()) if path.exists() and not fresh else {}
        if all(before.get(key) == about[key] for key in SAME):
            if before["commit"] == about["commit"]:
                self.found = before
            else:
                self.found["problems"] = [_of_others(entry) for entry in before["problems"]]

    def entry(self, problem: Problem) -> Entry:
        """The results of a problem, which are empty if the problem was changed."""
        described = json.loads(json.dumps(problem.as_json())) | {"flops": problem.flops}
        problems = self.found["problems"]
        place = next((i for i, entry in enumerate(problems) if entry["name"] == problem.name), len(problems))
        if place == len(problems):
            problems.append(described)
        elif any(problems[place].get(key) != value for key, value in described.items()):
            problems[place] = described
        problems[place].setdefault("contenders", {})
        found: Entry = problems[place]
        return found

    def keep(self, problems: list[Problem]) -> None:
        """Removes problems that the plan no longer has, and sorts the others in the plan's order."""
        names = [problem.name for problem in problems]
        kept = [entry for entry in self.found["problems"] if entry["name"] in names]
        self.found["problems"] = sorted(kept, key=lambda entry: names.index(entry["name"]))

    def save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.found, indent=1) + "\n")


def _of_others(entry: Entry) -> Entry:
    """The results that do not depend on our code: answers of alternatives, and their memory."""
    ours = {contender.name for contender in CONTENDERS if contender.is_ours}
    kept = ("errors", "wrong", "peak_bytes")
    contenders = {
        name: {key: one[key] for key in kept if key in one}
        for name, one in entry["contenders"].items()
        if name not in ours and "failed" not in one
    }
    return {name: entry[name] for name in DESCRIBED} | {"contenders": contenders}


def _check(
    problem: Problem, contenders: list[Contender], entry: Entry, found: Processes, quick: bool
) -> None:
    known = entry["contenders"]
    waiting = [
        c
        for c in contenders
        if "errors" not in known.get(c.name, {}) and "failed" not in known.get(c.name, {})
    ]
    if not waiting:
        return
    for name, checked in errors(problem, waiting, found, quick).items():
        one = known.setdefault(name, {})
        one.update(checked if "failed" in checked else {"errors": checked, "wrong": verdict(checked)})
    for contender in waiting:
        if (
            contender.compiles and problem.timed
        ):  # compiles its code into the cache, for every number of threads
            for threads in problem.threads:
                told, files = given(problem, problem.data)
                process = found.of(contender, threads)
                process.ask("load", problem=told.as_json(), files=files, copies=1)
                process.ask("peak")


def _memory(problem: Problem, contenders: list[Contender], entry: Entry) -> None:
    for contender in contenders:
        one = entry["contenders"][contender.name]
        if problem.memory and "peak_bytes" not in one and "failed" not in one:
            one["peak_bytes"] = peak_bytes(problem, contender)


def _time(
    problem: Problem, contenders: list[Contender], entry: Entry, found: Processes, options: Options
) -> None:
    if "peak_gflops" in entry or not problem.timed:
        return
    running = [c for c in contenders if "failed" not in entry["contenders"][c.name]]
    if problem.once:
        measured = once(problem, running)
    else:
        measured = timed(
            problem, running, found, most=options.rounds, budget_s=options.budget_s, quiet_s=options.quiet_s
        )
    for name, times in measured["times"].items():
        entry["contenders"][name]["times"] = times
    for name, count in measured.get("peak_bytes", {}).items():
        entry["contenders"][name]["peak_bytes"] = count
    entry["peak_gflops"], entry["others_load"] = measured["peak_gflops"], measured["others_load"]


def _kernels(contenders: list[Contender], found: Processes, threads: str, into: Entry) -> None:
    """Records the kernels and the numbers of threads that every contender's libraries chose."""
    for contender in contenders:
        if contender.name not in into:
            about = found.of(contender, threads).ask("describe")
            into[contender.name] = {"pools": about.get("pools", []), "threads": about.get("threads", {})}


def measure(problem: Problem, results: Results, found: Processes, options: Options) -> None:
    """Measures everything of one problem that is still missing."""
    entry = results.entry(problem)
    contenders = []
    for contender in taking(problem):
        if contender.installed:
            contenders.append(contender)
        else:
            entry["contenders"].setdefault(contender.name, {"failed": ABSENT})
    _check(problem, contenders, entry, found, options.quick)
    if options.memory:
        _memory(problem, contenders, entry)
    if not options.prepare:
        _time(problem, contenders, entry, found, options)
        _kernels(contenders, found, problem.threads[0], results.found["kernels"])
    results.save()
    _tell(problem, entry)


def _tell(problem: Problem, entry: Entry) -> None:
    shown = {}
    for name, one in entry["contenders"].items():
        times = {t: run.get("wall_ms", {}).get("median", "failed") for t, run in one.get("times", {}).items()}
        shown[name] = one["failed"] if "failed" in one else ("wrong" if one["wrong"] else "", times)
    print(time.strftime("%H:%M:%S"), problem.name, shown, file=sys.stderr, flush=True)


@contextmanager
def _told(name: str) -> Iterator[None]:
    started = time.monotonic()
    print(f"--- {name}", file=sys.stderr)
    yield
    print(f"--- {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def run_section(path: Path, name: str, title: str, problems: list[Problem], options: Options) -> bool:
    """Measures a section and writes its file; returns False if the time was over before the end."""
    about = conditions() | {"section": name, "title": title, "torch_kernels": torch_kernels()}
    results = Results(path, about, options.fresh)
    with _told(name), processes() as found:
        for problem in problems:
            if time.monotonic() > options.end:
                return False
            if not options.only or problem.name in options.only:
                measure(problem, results, found, options)
        results.keep(problems)
        results.save()
        if commit() != about["commit"] and not options.prepare:
            raise RuntimeError(f"{name}: the commit changed while it was measured: measure it again")
    return True
