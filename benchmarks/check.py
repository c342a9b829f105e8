"""Errors of every contender on several data sets, which come before times are measured, and peak memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .contenders import Contender, truths
from .data import available, inputs
from .problems import Data, Problem
from .processes import Process, Processes, alone

FAR = 1e-3  # an answer further than this from the truth is wrong on that data set
LARGE_FLOPS = 5e9  # above, the full size is checked on the timed data only
Found = dict[str, Any]


def given(problem: Problem, data: Data) -> tuple[Problem, list[str]]:
    """The problem with the bandwidth for this data, and the files of its inputs."""
    made = inputs(problem, data)
    return replace(problem, data=data, sigma=made.sigma), made.files


def _of(found: Processes, contender: Contender) -> Process:
    """A process on one thread, if that can be chosen: several threads are slow on a busy machine."""
    return found.of(contender, "1" if contender.threads else "default")


def _answer(run: Process, problem: Problem, data: Data, file: Path) -> Any:
    """The answer as an array, or the reason why there is none."""
    told, files = given(problem, data)
    reply = run.ask("load", problem=told.as_json(), files=files, copies=1)
    if "failed" not in reply:
        reply = run.ask("answer", out=str(file))
    return reply["failed"] if "failed" in reply else np.load(file)


def _error(answer: Any, truth: Any, relative: bool) -> float:
    scale = max(float(np.max(np.abs(truth))), 1e-300) if relative else 1.0
    return float(np.max(np.abs(answer - truth))) / scale


def _cases(problem: Problem, quick: bool) -> Iterator[tuple[str, Problem, Data]]:
    """Small sizes on all data, and the full size on all or only on the timed data."""
    kinds = [data for data in available(problem) if not quick or data in ("gaussian", problem.data)]
    for data in kinds:
        yield "small", problem.small(), data
    if problem.once or problem.kind == "models" or (problem.kind == "step" and problem.long):
        return
    for data in kinds:
        if data == problem.data or problem.flops <= LARGE_FLOPS:
            yield "full", problem, data


def errors(
    problem: Problem, contenders: list[Contender], found: Processes, quick: bool = False
) -> dict[str, Found]:
    """{"small": {data: error}, "full": {data: error}, "wrong": [data, ...]} by contender, or {"failed": why}.

    A small size is compared with the reference in float64, the full size with gramless in float64. An error
    that is NaN is None.
    """
    result: dict[str, Found] = {c.name: {"small": {}, "full": {}, "wrong": []} for c in contenders}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.npy"
        for size, sized, data in _cases(problem, quick):
            teller = truths(problem)[size == "full"]
            truth = _answer(_of(found, teller), sized, data, file)
            if isinstance(truth, str):
                raise RuntimeError(f"{problem.name}, {data}, {size}: no true value: {truth}")
            for contender in contenders:
                entry = result[contender.name]
                if "failed" in entry or not contender.checked or (contender.compiles and size == "small"):
                    continue
                answer = _answer(_of(found, contender), sized, data, file)
                if isinstance(answer, str):
                    entry["failed"] = answer
                    continue
                error = _error(answer, truth, problem.relative or problem.kind == "step")
                entry[size][data] = error if np.isfinite(error) else None
                if not error <= FAR and data not in entry["wrong"]:
                    entry["wrong"].append(data)
    return result


def verdict(entry: Found) -> bool:
    """Whether a contender counts as wrong: if it is wrong on more than one data set, or on all."""
    kinds = set(entry["small"]) | set(entry["full"])
    return bool(entry["wrong"]) and len(entry["wrong"]) >= min(2, len(kinds))


def peak_bytes(problem: Problem, contender: Contender) -> int | None:
    """The peak memory of one call above that before it, in its own process, which has called it before."""
    with alone(contender, "default" if "default" in problem.threads else problem.threads[0]) as process:
        for sized in (replace(problem.small(), n=min(problem.n, 64)), problem):
            told, files = given(sized, problem.data)
            reply = process.ask("load", problem=told.as_json(), files=files, copies=1)
            if "failed" in reply:
                return None
            if sized is problem:
                return process.ask("peak").get("peak_bytes")
            process.ask("peak")
    return None
