"""Results as words and tables: numbers with three digits, problems by name, a row for each rival."""

from __future__ import annotations

from typing import Any

import numpy as np

ABSENT = "not installed"
Entry = dict[str, Any]


def number(value: float) -> str:
    """Three significant digits, never in scientific notation."""
    if value >= 100:
        return f"{value:,.0f}"
    return np.format_float_positional(float(f"{value:.3g}"), trim="-")


def duration(ms: float | None) -> str:
    if ms is None:
        return ""
    if ms >= 1000:
        return f"{number(ms / 1e3)} s"
    return f"{number(ms)} ms" if ms >= 1 else f"{number(ms * 1e3)} us"


def size(count: float | None) -> str:
    if count is None:
        return ""
    return f"{number(count / 1e9)} GB" if count >= 1e9 else f"{number(count / 1e6)} MB"


def what(problem: Entry) -> str:
    """The problem in words."""
    shape = f"n {problem['n']:,}, d {problem['d']:,}"
    kind = {"pair": "CKA", "sweep": f"sweep of {problem['layers']} layers", "median": "median distance"}
    words = kind.get(
        problem["kind"],
        {"distances": "one distance pass", "pvalue": "p-value", "cka_grad": "CKA forward + backward"}.get(
            problem["kind"]
        ),
    )
    losses = {"nt_xent": "NT-Xent", "info_nce": "InfoNCE"}
    if problem["kind"] in losses:
        temperature = problem.get("temperature", 0.1)
        cold = f", temperature {temperature:g}" if temperature != 0.1 else ""
        return f"{losses[problem['kind']]} forward + backward, 2N {problem['n']:,}, D {problem['d']:,}{cold}"
    if problem["kind"] in ("median", "distances"):
        return f"{words}, {shape}"
    kernel = problem["kernel"].upper() if problem["kernel"] == "rbf" else problem["kernel"]
    bandwidth = {
        "given": ", sigma given",
        "median": ", exact median",
        "kornblith": ", scale 0.5, diagonal in",
    }
    extra = bandwidth[problem["bandwidth"]] if problem["kernel"] == "rbf" else ""
    offset = f", every value + {problem['offset']:g}" if problem["offset"] else ""
    biased = ", biased" if problem["estimator"] == "biased" else ""
    return f"{kernel} {words}{extra}{biased}, {shape}{offset}"


def fraction_of_peak(problem: Entry) -> float | None:
    """Necessary FLOPs a second, over the FMA peak of all cores in the same run."""
    ours = problem["rivals"]["gramless"].get("median_ms")
    return problem["floor_ms"] / ours if ours else None


def error(rival: Entry) -> str:
    value = rival.get("error") if rival.get("error") is not None else rival.get("error_small")
    text = "NaN" if value is None else f"{value:.1e}"
    return f"**wrong: {text}**" if rival.get("wrong") else text


def ratio(problem: Entry, rival: Entry) -> str:
    ours, theirs = problem["rivals"]["gramless"].get("median_ms"), rival.get("median_ms")
    if not ours or not theirs or rival is problem["rivals"]["gramless"]:
        return ""
    return f"{number(theirs / ours)}x" if theirs >= ours else f"**{number(theirs / ours)}x**"


def table(problems: list[Entry]) -> list[str]:
    """One row a rival; the floor and its share of the peak stand in our row."""
    rows = [
        "| problem | who | median | p20 - p80 | ratio | peak memory | error | floor | of FMA peak |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for problem in problems:
        for i, (name, rival) in enumerate(problem["rivals"].items()):
            first = what(problem) if i == 0 else ""
            if "failed" in rival:
                why = rival["failed"] if rival["failed"] == ABSENT else f"failed: {rival['failed']}"
                rows.append(f"| {first} | {name} | {why} | | | | | | |")
                continue
            floor, share = "", ""
            if name == "gramless" and problem["kind"] not in ("pvalue",):
                floor, share = duration(problem["floor_ms"]), f"{fraction_of_peak(problem) or 0:.0%}"
            spread = f"{duration(rival['p20_ms'])} - {duration(rival['p80_ms'])}"
            if len(rival["samples_ms"]) == 1:
                spread = "one run"
            cells = [first, name, duration(rival["median_ms"]), spread, ratio(problem, rival)]
            cells += [size(rival.get("peak_bytes")), error(rival), floor, share]
            rows.append("| " + " | ".join(cells) + " |")
    return rows


def shipping_tables(results: Entry) -> list[str]:
    """What `benchmarks.shipping` measured."""
    found, machine = results["shipping"], results["machine"]
    lines = [
        "## Size and installation",
        "",
        f"`python -m benchmarks.shipping` on {machine['cpu']}, {machine['cores']} cores, Python "
        f"{results['python']}; commit {results['commit']}, {results['date']}. Without CUDA's kernels, in a "
        "fresh virtual environment; CPU seconds are of all processes, and hardly notice what else runs.",
        "",
        "| what | size |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {size(count)} |" for name, count in found["bytes"].items()]
    lines += ["", "| what | time | CPU time |", "|---|---:|---:|"]
    for name, times in found["times"].items():
        lines.append(
            f"| {name} | {duration(times['seconds'] * 1e3)} | {duration(times['cpu_seconds'] * 1e3)} |"
        )
    return [*lines, ""]
