"""Times: every contender in its own process, in turn (A B A B ...), with the FMA peak in every round."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .check import given
from .contenders import Contender
from .environment import OthersLoad, cpu_count, wait_for_quiet
from .peak import fma_peak
from .problems import ALL, Problem
from .processes import Process, Processes, alone

STEADY = 0.04  # rounds end when no contender's medians differ by more than this share
LONG_ROUND_SECONDS = 12.0  # if the calls of a round take longer, there are two rounds, of one sample each
Found = dict[str, Any]


@dataclass
class Run:
    """The measurements of one contender on a number of threads so far."""

    process: Process
    long: bool = False
    rounds: list[Found] = field(default_factory=list)
    failed: str = ""

    def turn(self, seconds: float) -> None:
        if self.failed:
            return
        warm = 0 if self.rounds or self.long else 1
        if self.process.contender.compiles and not self.rounds:
            warm = 2
        reply = self.process.ask("time", seconds=seconds, warm=warm)
        self.failed = reply.get("failed", "")
        if not self.failed:
            self.rounds.append(reply)

    @property
    def medians(self) -> list[float]:
        return [float(np.median(reply["wall_ms"])) for reply in self.rounds]

    def summary(self) -> Found:
        if self.failed:
            return {"failed": self.failed}
        return summary(self.rounds)


def summary(rounds: list[Found]) -> Found:
    """Medians and percentiles over all samples of all rounds."""
    found: Found = {"samples": sum(len(reply["wall_ms"]) for reply in rounds), "calls": rounds[-1]["calls"]}
    for name in ("wall_ms", "cpu_ms"):
        samples = np.concatenate([reply[name] for reply in rounds])
        low, median, high = (_digits(value) for value in np.percentile(samples, [20, 50, 80]))
        found[name] = {"median": median, "p20": low, "p80": high}
    found["rounds_ms"] = [_digits(np.median(reply["wall_ms"])) for reply in rounds]
    if rounds[-1]["share"]:
        found["share"] = _digits(np.median(np.concatenate([reply["share"] for reply in rounds])))
    return found


def _digits(value: Any) -> float:
    return float(f"{float(value):.5g}")


def runs_of(problem: Problem, contenders: list[Contender], found: Processes) -> dict[tuple[str, str], Run]:
    """Contenders with loaded inputs by name and threads, also on all cores if that is not their default."""
    runs = {}
    for contender in contenders:
        chosen = problem.threads if contender.threads else ALL
        for threads in chosen:
            if contender.is_ours or threads in problem.alternatives:
                runs[contender.name, threads] = Run(found.of(contender, threads), problem.long)
        every = str(cpu_count())
        if contender.threads and "default" in problem.threads:
            default = runs[contender.name, "default"].process.threads_found
            if default is not None and str(default) != every:
                runs[contender.name, every] = Run(found.of(contender, every), problem.long)
    for run in runs.values():
        told, files = given(problem, problem.data)
        run.failed = run.process.ask("load", problem=told.as_json(), files=files).get("failed", "")
    return runs


def _steady(runs: list[Run]) -> bool:
    medians = [run.medians for run in runs if not run.failed]
    return all(max(values) <= min(values) * (1 + STEADY) for values in medians if values)


def peaks(into: dict[str, list[float]]) -> None:
    by_cpu, _ = fma_peak(1)
    _, by_clock = fma_peak(cpu_count())
    into["one"].append(by_cpu)
    into["all"].append(by_clock)


def timed(
    problem: Problem,
    contenders: list[Contender],
    found: Processes,
    *,
    most: int,
    budget_s: float,
    quiet_s: float,
) -> Found:
    """{"times": {contender: {threads: ...}}, "peak_gflops", "others_load"} of a problem."""
    runs = runs_of(problem, contenders, found)
    peak: dict[str, list[float]] = {"one": [], "all": []}
    seconds = min(max(budget_s / max(1, len(runs)) / 3, 0.02), 0.25)
    load = OthersLoad(found.pids)
    for done in range(most):
        wait_for_quiet(quiet_s)
        peaks(peak)
        for run in runs.values():
            run.turn(seconds)
        spent = sum(sum(reply["wall_ms"]) for run in runs.values() for reply in run.rounds[-1:]) / 1e3
        if done == 1 and (spent > LONG_ROUND_SECONDS or (_steady(list(runs.values())) and spent > budget_s)):
            break
        if done >= 2 and _steady(list(runs.values())):
            break
    times: Found = {}
    for (name, threads), run in runs.items():
        times.setdefault(name, {})[threads] = run.summary()
    return {"times": times, "peak_gflops": _medians(peak), "others_load": load.share()}


def once(problem: Problem, contenders: list[Contender]) -> Found:
    """One call on all cores with its peak memory, after a small one, for problems that take too long."""
    peak: dict[str, list[float]] = {"one": [], "all": []}
    times: Found = {}
    memory: dict[str, int] = {}
    load = OthersLoad()
    for contender in contenders:
        peaks(peak)
        with alone(contender) as process:
            told, files = given(problem.small(), problem.data)
            process.ask("load", problem=told.as_json(), files=files, copies=1)
            process.ask("peak")
            told, files = given(problem, problem.data)
            process.ask("load", problem=told.as_json(), files=files, copies=1)
            reply = process.ask("peak")
        peaks(peak)
        if "failed" in reply:
            times[contender.name] = {"default": {"failed": reply["failed"]}}
            continue
        memory[contender.name] = reply["peak_bytes"]
        wall = _digits(reply["wall_ms"][0])
        times[contender.name] = {
            "default": {"samples": 1, "calls": 1, "wall_ms": dict.fromkeys(("median", "p20", "p80"), wall)}
        }
    return {"times": times, "peak_bytes": memory, "peak_gflops": _medians(peak), "others_load": load.share()}


def _medians(peak: dict[str, list[float]]) -> dict[str, float]:
    return {name: _digits(np.median(values)) for name, values in peak.items()}
