"""The committed results: what was measured and what was not, and the quoted numbers of each contender."""

from __future__ import annotations

import json
import math
from typing import Any

from ..environment import RESULTS
from ..plan import SECTIONS
from ..problems import Problem

Entry = dict[str, Any]
OURS = "gramless"
UNKNOWN = "(not measured yet)"
NOT_COMPARED = ("sixteen_bits", "models", "beside", "costs")  # rows are not ours against an alternative's


def read(name: str) -> Entry | None:
    """A file of results, or None if it does not exist."""
    file = RESULTS / f"{name}.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def was_timed(problem: Entry) -> bool:
    return "peak_gflops" in problem


def sections() -> dict[str, Entry]:
    """The results of each section, in the order of the plan."""
    found = {name: read(name) for name in SECTIONS}
    return {
        name: results
        for name, results in found.items()
        if results and any(map(was_timed, results["problems"]))
    }


def timed_problems(found: dict[str, Entry]) -> list[Entry]:
    """All problems of these sections whose times were measured."""
    return [problem for section in found.values() for problem in section["problems"] if was_timed(problem)]


def compared() -> dict[str, Entry]:
    """The sections in which alternatives compute what we do."""
    return {name: found for name, found in sections().items() if name not in NOT_COMPARED}


def left_out(name: str, results: Entry | None) -> list[Problem]:
    """The problems of a section's plan that its results lack."""
    problems = {problem["name"]: problem for problem in results["problems"]} if results else {}
    return [
        planned
        for planned in SECTIONS[name][1]()
        if planned.name not in problems or (planned.timed and not was_timed(problems[planned.name]))
    ]


def without_memory(name: str, results: Entry) -> list[Problem]:
    """The problems of a section whose peak memory is in the plan and was not measured."""
    measured = {
        problem["name"]: any(one.get("peak_bytes") for one in problem["contenders"].values())
        for problem in results["problems"]
    }
    return [
        planned for planned in SECTIONS[name][1]() if planned.memory and measured.get(planned.name) is False
    ]


def not_measured(name: str) -> str:
    """The text of a page in place of a section without results."""
    return f"Not measured yet: `python -m benchmarks --section {name}` does."


def best(one: Entry) -> tuple[str, float] | None:
    """The number of threads with which a contender is fastest, and its median in milliseconds."""
    found = [
        (threads, run["wall_ms"]["median"])
        for threads, run in one.get("times", {}).items()
        if "wall_ms" in run
    ]
    return min(found, key=lambda pair: pair[1]) if found else None


def quoted(name: str, one: Entry) -> tuple[str, float] | None:
    """For gramless the time with default threads, for an alternative that with its best number of threads."""
    if name == OURS and "wall_ms" in one.get("times", {}).get("default", {}):
        return "default", one["times"]["default"]["wall_ms"]["median"]
    return best(one)


def one_thread(one: Entry) -> float | None:
    """Milliseconds of CPU time of one thread."""
    run = one.get("times", {}).get("1", {})
    return run["cpu_ms"]["median"] if "cpu_ms" in run else None


def floor(problem: Entry, cores: str) -> float:
    """Milliseconds of the necessary FLOPs at the FMA peak of "one" core, or of "all"."""
    return problem["flops"] / problem["peak_gflops"][cores] / 1e6


def exponent(values: list[float], costs: list[float]) -> float:
    """The exponent of a power law through the last two points."""
    return math.log(costs[-1] / costs[-2]) / math.log(values[-1] / values[-2])
