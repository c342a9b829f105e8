"""The verdict of a run on each kernel: whether it is right, findings of sanitizers, share of the peak."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from typing import Any

from ..kernel_names import kernel_name
from .wrong import wrong

Found = dict[str, Any]
KERNELS = (
    "sum_softmax", "grad_of_rows", "sum_softmax_hopper", "grad_of_rows_hopper", "sum_tiles",
    "sum_tiles_hopper", "fill_tiles", "multiply_layers", "kernel_grad_of_rows", "count_digits",
    "sum_distill", "distill_grad_of_rows", "select_limits",
)  # fmt: skip
MANY_ROWS = 4096
CLEAN = re.compile(r"ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards")
FINDING = re.compile(
    r"(ERROR SUMMARY: [1-9]|RACECHECK SUMMARY: [1-9]|Invalid __|Race reported|Barrier error|out of bounds)"
)


def cases_of(accuracy: list[Found]) -> list[Found]:
    return [line for line in accuracy if "case" in line]


def wrong_cases(accuracy: list[Found]) -> list[str]:
    """A sentence for each wrong case, then what they have in common."""
    bad = [(line, complaints) for line in cases_of(accuracy) if (complaints := wrong(line))]
    said = [
        f"{line['case']} {line['n']} x {line['d']} {line['dtype']}"
        f"{' on Hopper tiles' if line['hopper'] else ''}: {'; '.join(complaints)}"
        for line, complaints in bad
    ]
    return said + ([f"likely: {cause}" for cause in likely_causes([line for line, _ in bad])] if bad else [])


def likely_causes(bad: list[Found]) -> list[str]:
    """The likely causes, for where to look first."""
    off = [line for line in bad if "errors" in line and not _within(line)]
    found = []
    if any(line.get("fallback") for line in bad):
        found.append("kernels of compute capability 9.0 were chosen and others ran: no code for 90a")
    if any(not line.get("same_bits", True) for line in bad):
        found.append("other bits at the second call: a race")
    if off and all(line["hopper"] for line in off):
        found.append("the tiles of compute capability 9.0 alone: descriptors, parity of barriers, turns")
    elif off and all(line["dtype"] == "float32" for line in off):
        found.append("float32 alone: rows as sums of two float16 numbers")
    elif off and all(line["n"] >= MANY_ROWS for line in off):
        found.append("many rows alone: stages of a ring that are used again")
    elif off:
        found.append("both kinds of tiles: packing or the epilogue")
    return found


def _within(line: Found) -> bool:
    return all(error <= bound for error, bound in zip(line["errors"], line["bounds"], strict=True))


def accuracy_verdict(kernel: str, accuracy: list[Found]) -> str:
    """Whether the cases in which a kernel ran are right."""
    ran = [line for line in cases_of(accuracy) if kernel in (line.get("kernels") or ())]
    bad = [line for line in ran if wrong(line)]
    if not ran:
        return "not seen"
    return f"WRONG in {len(bad)} of {len(ran)} cases" if bad else f"right in {len(ran)} cases"


def sanitizer_verdict(kernel: str, logs: dict[str, str]) -> str:
    """The findings that name the kernel; without any, all sanitizers must have ended clean."""
    findings = []
    for name, log in logs.items():
        lines = log.splitlines()
        for i, line in enumerate(lines):
            near = lines[i : i + 6]
            if FINDING.search(line) and any(kernel_name(other) == kernel for other in near):
                findings.append(name)
    if findings:
        return "FINDINGS: " + ", ".join(dict.fromkeys(findings))
    unclean = [name for name, log in logs.items() if not CLEAN.search(log)]
    if not logs:
        return "not run"
    return f"none here; not clean: {', '.join(unclean)}" if unclean else "clean"


def _ours(name: str) -> str | None:
    """The kernel that ncu names, with its namespaces or without."""
    bare = re.match(r"(?:void )?(\w+)", name)
    return kernel_name(name) or (bare[1] if bare and bare[1] in KERNELS else None)


def ncu_numbers(logs: dict[str, str]) -> dict[str, dict[str, float]]:
    """For each kernel the percentages of the peak that ncu printed, the largest over its launches."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for log in logs.values():
        lines = log.splitlines()
        start = next((i for i, line in enumerate(lines) if '"Kernel Name"' in line), None)
        if start is None:
            continue
        for row in csv.DictReader(lines[start:]):
            name, metric = _ours(row.get("Kernel Name") or ""), row.get("Metric Name") or ""
            if name is None or not metric.endswith("Throughput") or row.get("Metric Unit") != "%":
                continue
            value = float((row.get("Metric Value") or "nan").replace(",", ""))
            found[name][metric] = max(value, found[name].get(metric, 0.0))
    return dict(found)


def verdicts(found: Found) -> dict[str, Found]:
    numbers = ncu_numbers(found["ncu"])
    result = {}
    for kernel in KERNELS:
        shares = numbers.get(kernel, {})
        result[kernel] = {
            "accuracy": accuracy_verdict(kernel, found["accuracy"]),
            "sanitizers": sanitizer_verdict(kernel, found["sanitizers"]),
            "speed": ", ".join(f"{name} {value:.0f} %" for name, value in sorted(shares.items()))
            or "not measured",
        }
    return result


def faster_tiles(found: Found) -> str:
    """Which kind of tiles the measurements recommend as the default."""
    times: dict[str, dict[str, float]] = defaultdict(dict)
    for line in found["timings"]:
        if "ms" in line and not line["wrong"] and line["contender"].startswith("gramless"):
            times[line["problem"]][line["contender"]] = line["ms"]
    both = {name: of_problem for name, of_problem in times.items() if len(of_problem) == 2}
    if found["rehearsal"] or not both:
        return "The default tiles stay: nothing was measured on a GPU."
    right = [line for line in cases_of(found["accuracy"]) if line["hopper"]]
    if not right or any(wrong(line) for line in right):
        return (
            "The default tiles stay: those of compute capability 9.0 are not all right, or were not checked."
        )
    ratios = {name: of["gramless"] / of["gramless, Hopper tiles"] for name, of in both.items()}
    said = ", ".join(f"{name} {ratio:.2f} x" for name, ratio in ratios.items())
    better = [name for name, ratio in ratios.items() if ratio > 1]
    return f"Tiles of compute capability 9.0 are faster on {len(better)} of {len(ratios)} problems: {said}"
