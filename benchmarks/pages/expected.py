"""Estimates of `gramless.estimate` for the measured problems, beside the measurements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import gramless as gl

from .results import OURS, Entry, quoted, sections, timed_problems
from .tables import what
from .words import duration, number, row, size

KINDS = ("pair", "sweep", "nt_xent", "cka_grad")
LEAST_MS = 2.0  # for shorter calls the overhead of a call matters
SHOWN = (
    "linear-8192-512",
    "linear-100000-256",
    "sweep-linear-12-8000-768",
    "rbf-8192-512",
    "rbf-median-8192-512",
    "rbf-100000-256",
    "sweep-rbf-20-2000-512",
    "sweep-rbf-50-10000-1024",
    "cka-grad-8192-512",
    "nt-xent-1024-128",
    "nt-xent-8192-128",
    "nt-xent-65536-128",
)


class Compared(NamedTuple):
    """One problem: its estimate with the speed measured in the same rounds, and the measurement."""

    problem: Entry
    estimate: gl.Estimate
    measured_seconds: float
    measured_bytes: int | None


def is_estimated(problem: Entry) -> bool:
    return problem["kind"] in KINDS and problem["bandwidth"] != "kornblith" and problem["beside"] == ""


def estimated(problem: Entry, threads: int, gflops: float) -> gl.Estimate:
    """The estimate for a problem of the plan or of the results."""
    on: dict[str, Any] = {"threads": threads, "gflops": gflops, "dtype": problem["dtype"]}
    if problem["kind"] == "nt_xent":
        return gl.estimate(problem["n"] // 2, problem["d"], quantity="nt_xent", **on)
    kernel: Any = problem["kernel"]
    if kernel == "rbf":
        kernel = gl.RBF() if problem["bandwidth"] == "median" else gl.RBF(sigma=1.0)
    gradients = problem["kind"] == "cka_grad"
    return gl.estimate(
        problem["n"], problem["d"], problem["layers"], kernel=kernel, gradients=gradients, **on
    )


def comparisons() -> list[Compared]:
    """Every problem of 2 ms or more whose time was measured with the default threads."""
    return list(_comparisons())


def _comparisons() -> Iterator[Compared]:
    cores = {name: found["machine"]["cores"] for name, found in sections().items()}
    for name, found in sections().items():
        for problem in timed_problems({name: found}):
            ours = problem["contenders"].get(OURS, {})
            best = quoted(OURS, ours)
            if not is_estimated(problem) or best is None or best[0] != "default" or best[1] < LEAST_MS:
                continue
            gflops = problem["peak_gflops"]["all"] / cores[name]
            expected = estimated(problem, cores[name], gflops)
            yield Compared(problem, expected, best[1] / 1e3, ours.get("peak_bytes"))


def table() -> str:
    """Some of them as a table, and the range of the ratios of all."""
    found = {each.problem["name"]: each for each in comparisons()}
    lines = [
        "| call | estimated | measured | ratio | estimated memory | measured |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in SHOWN:
        if name in found:
            lines.append(_row(found[name]))
    return "\n".join([*lines, "", _summary(list(found.values()))])


def _row(found: Compared) -> str:
    seconds, measured = found.estimate.seconds, found.measured_seconds
    cells = [duration(seconds * 1e3), duration(measured * 1e3), number(seconds / measured)]
    memory = [size(found.estimate.peak_bytes), size(found.measured_bytes)]
    return row([what(found.problem), *cells, *(memory if found.measured_bytes else ["", ""])])


def _summary(found: list[Compared]) -> str:
    parts = []
    for words, chosen in (
        ("without a median", [each for each in found if each.problem["bandwidth"] != "median"]),
        ("with an exact median", [each for each in found if each.problem["bandwidth"] == "median"]),
    ):
        if chosen:
            ratios = sorted(each.estimate.seconds / each.measured_seconds for each in chosen)
            parts.append(
                f"for {len(chosen)} measurements {words} the estimate is {number(ratios[0])} to "
                f"{number(ratios[-1])} times the measured time"
            )
    sizes = sorted(e.estimate.peak_bytes / e.measured_bytes for e in found if e.measured_bytes)
    if sizes:
        parts.append(
            f"for {len(sizes)} measurements of memory it is {number(sizes[0])} to {number(sizes[-1])} times "
            "the measured bytes"
        )
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else "Not measured yet."
