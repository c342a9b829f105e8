"""How it is measured: answers first, then times, interleaved; peak memory in a process of its own.

python -m benchmarks.measure PROBLEM RIVAL [--quick]    one run of one rival, its memory and time as JSON
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gramless as gl
import numpy as np

from .peak import fma_peak
from .problems import PROBLEMS, Problem, quick
from .rivals import RIVALS, Rival, reference_run
from .tables import ABSENT

WRONG = 1e-3  # an answer further than this from the truth is shown as wrong
SAMPLE_SECONDS = 2e-3  # short calls are repeated until a sample takes this long
SETTLE_SECONDS = 0.02  # lets the previous rival's threads stop spinning
QUIET = 0.15  # the share of the cores that others may use when a round starts
QUIET_WAIT_SECONDS = 1.5  # how long a round waits for that


def cpu_count() -> int:
    return len(os.sched_getaffinity(0))


def use_all_cores() -> None:
    """The same number of threads for everybody."""
    import torch

    torch.set_num_threads(cpu_count())
    gl.set_num_threads(cpu_count())


def _worst(answer: Any, truth: Any) -> float:
    difference = np.abs(np.asarray(answer, dtype=np.float64) - np.asarray(truth, dtype=np.float64))
    return float(np.max(difference))


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None


def _answer(rival: Rival, problem: Problem, arrays: list[Any]) -> Any:
    return rival.run(problem, rival.prepare([x.copy() for x in arrays]))


def check(problem: Problem, rivals: Sequence[Rival], arrays: list[Any]) -> dict[str, dict[str, Any]]:
    """Errors of every rival: at a small size against the reference, at full size against ours in float64."""
    small = problem.small()
    small_arrays = small.inputs()
    small_truth = reference_run(small, small_arrays)
    truth = RIVALS[0].run(problem, [x.astype(np.float64) for x in arrays])
    scale = max(float(np.max(np.abs(truth))), 1e-300) if problem.kind in ("median", "distances") else 1.0
    found: dict[str, dict[str, Any]] = {}
    for rival in rivals:
        try:
            error_small = _worst(_answer(rival, small, small_arrays), small_truth)
            error = _worst(_answer(rival, problem, arrays), truth) / scale
        except Exception as failure:
            found[rival.name] = {"failed": f"{type(failure).__name__}: {str(failure).splitlines()[0][:200]}"}
            continue
        wrong = not (error <= WRONG and error_small <= WRONG * max(1.0, float(np.max(np.abs(small_truth)))))
        found[rival.name] = {"error_small": _finite(error_small), "error": _finite(error), "wrong": wrong}
    return found


def _busy_seconds() -> float | None:
    """CPU seconds this machine has spent on anything, since it started."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """CPU seconds of this process, and of those it started that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


class OthersLoad:
    """The share of all cores that other processes used since this was made."""

    def __init__(self) -> None:
        self._start = (time.perf_counter(), _busy_seconds(), _own_seconds())

    def share(self) -> float | None:
        start, busy_then, own_then = self._start
        busy_now = _busy_seconds()
        if busy_then is None or busy_now is None:
            return None
        foreign = busy_now - busy_then - (_own_seconds() - own_then)
        return max(0.0, foreign / (time.perf_counter() - start) / cpu_count())


def wait_for_quiet() -> None:
    """Returns once other processes leave the cores alone, or after a while."""
    give_up = time.perf_counter() + QUIET_WAIT_SECONDS
    while time.perf_counter() < give_up:
        load = OthersLoad()
        time.sleep(0.1)
        if (load.share() or 0.0) < QUIET:
            return


def _clock(run: Callable[[], Any], calls: int) -> float:
    """Milliseconds a call, over `calls` of them."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) * 1e3 / calls


def time_interleaved(runs: dict[str, Callable[[], Any]], rounds: int, budget_s: float) -> dict[str, Any]:
    """Samples of A B C A B C ..., with the FMA peak on one and on all cores measured in every round."""
    calls = {name: max(1, math.ceil(SAMPLE_SECONDS * 1e3 / _clock(run, 1))) for name, run in runs.items()}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    peak: dict[str, list[float]] = {"one": [], "all": []}
    start, load = time.perf_counter(), OthersLoad()
    for done in range(rounds):
        if done >= 3 and time.perf_counter() - start > budget_s:
            break
        wait_for_quiet()
        peak["one"].append(fma_peak(1, 0.03) / 1e9)
        peak["all"].append(fma_peak(cpu_count(), 0.03) / 1e9)
        for name, run in runs.items():
            time.sleep(SETTLE_SECONDS)
            samples[name].append(_clock(run, calls[name]))
    return {"samples_ms": samples, "peak_gflops": peak, "others_load": load.share()}


def absent(problem: Problem, rivals: Sequence[Rival]) -> dict[str, dict[str, Any]]:
    """Who would take part but is not installed, as it goes into the JSON."""
    return {
        rival.name: {"failed": ABSENT} for rival in rivals if rival.wanted(problem) and not rival.installed
    }


def measure(problem: Problem, *, rounds: int, budget_s: float, small_sizes: bool) -> dict[str, Any]:
    """Everything about one problem, as it goes into the JSON."""
    rivals = [rival for rival in RIVALS if rival.takes(problem)]
    if problem.once:
        found, timing = _measure_once(problem, rivals, small_sizes)
    else:
        arrays = problem.inputs()
        found = check(problem, rivals, arrays)
        prepared = {rival.name: rival.prepare(arrays) for rival in rivals}
        runs: dict[str, Callable[[], Any]] = {
            rival.name: lambda rival=rival: rival.run(problem, prepared[rival.name])
            for rival in rivals
            if "failed" not in found[rival.name]
        }
        timing = time_interleaved(runs, rounds, budget_s)
        del arrays, prepared, runs
        gc.collect()
        for name, entry in found.items():
            if "failed" not in entry:
                entry["samples_ms"] = timing["samples_ms"][name]
                in_quick_runs = name == "gramless" and problem.group == "large"
                if problem.memory and (in_quick_runs or not small_sizes):
                    entry["peak_bytes"] = run_alone(problem, name, small_sizes).get("peak_bytes")
    found |= absent(problem, RIVALS)
    floor_ms = problem.flops / float(np.median(timing["peak_gflops"]["all"])) / 1e6
    for entry in found.values():
        if entry.get("samples_ms"):
            low, median, high = np.percentile(entry["samples_ms"], [20, 50, 80])
            entry |= {"median_ms": float(median), "p20_ms": float(low), "p80_ms": float(high)}
    return {
        **_described(problem),
        "floor_ms": floor_ms,
        "peak_gflops": timing["peak_gflops"],
        "others_load": timing["others_load"],
        "rivals": found,
    }


def _measure_once(
    problem: Problem, rivals: Sequence[Rival], small_sizes: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Too long to repeat: checked at the small size, then run alone, the FMA peak measured around it."""
    small = problem.small()
    arrays = small.inputs()
    truth = reference_run(small, arrays)
    peak: dict[str, list[float]] = {"one": [], "all": []}
    found: dict[str, Any] = {}
    for rival in rivals:
        error = _worst(_answer(rival, small, arrays), truth)
        for _ in range(2):
            peak["one"].append(fma_peak(1) / 1e9)
            peak["all"].append(fma_peak(cpu_count()) / 1e9)
            if rival.name not in found:
                alone = run_alone(problem, rival.name, small_sizes)
                found[rival.name] = {
                    "error_small": error,
                    "error": None,
                    "wrong": not error <= WRONG,
                    **alone,
                }
    return found, {"peak_gflops": peak, "others_load": None}


def _described(problem: Problem) -> dict[str, Any]:
    names = (
        "name",
        "kind",
        "group",
        "n",
        "d",
        "layers",
        "kernel",
        "bandwidth",
        "estimator",
        "offset",
        "temperature",
        "series",
    )
    return {name: getattr(problem, name) for name in names} | {"flops": problem.flops}


def run_alone(problem: Problem, rival_name: str, small_sizes: bool) -> dict[str, Any]:
    """One run of one rival in a new process: {"peak_bytes", "samples_ms"}, or {"failed"}."""
    command = [sys.executable, "-m", "benchmarks.measure", problem.name, rival_name]
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [*command, *(["--quick"] if small_sizes else [])], capture_output=True, text=True, cwd=root
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:200]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _resident_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in the status of this process")


def peak_while(run: Callable[[], Any]) -> int:
    """Bytes that `run` needed at its worst above what was there before it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
        before = _resident_bytes("VmRSS")
        run()
        return max(0, _resident_bytes("VmHWM") - before)
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        run()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def _alone(problem: Problem, rival: Rival) -> dict[str, Any]:
    small = problem.small()
    rival.run(small, rival.prepare(small.inputs()))  # libraries loaded, pools of threads started
    prepared = rival.prepare(problem.inputs())
    gc.collect()
    elapsed: list[float] = []
    peak_bytes = peak_while(lambda: elapsed.append(_clock(lambda: rival.run(problem, prepared), 1)))
    return {"peak_bytes": peak_bytes, "samples_ms": elapsed}


if __name__ == "__main__":
    use_all_cores()
    chosen = PROBLEMS[sys.argv[1]]
    chosen = quick(chosen) if "--quick" in sys.argv else chosen
    rival_chosen = next(rival for rival in RIVALS if rival.name == sys.argv[2] and rival.takes(chosen))
    print(json.dumps(_alone(chosen, rival_chosen)))
