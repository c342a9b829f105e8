"""Results as words and tables: numbers with three digits, problems by name, a row for each contender."""

from __future__ import annotations

from typing import Any

import numpy as np

ABSENT = "not installed"
OURS = "gramless"
DATA = {
    "gaussian": "isotropic noise",
    "spectrum": "spectrum 1/i",
    "relu": "spectrum 1/i, ReLU",
    "photos": "activations",
}
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


def rows_of(problem: Entry) -> str:
    return f"n {problem['n']:,}, d {problem['d']:,}"


def what(problem: Entry) -> str:
    """The problem in words."""
    kind, losses = problem["kind"], {"nt_xent": "NT-Xent", "info_nce": "InfoNCE"}
    if kind in losses:
        cold = f", temperature {problem['temperature']:g}" if problem["temperature"] != 0.1 else ""
        return f"{losses[kind]} forward + backward, 2N {problem['n']:,}, D {problem['d']:,}{cold}"
    if kind in ("median", "distances"):
        return f"{'median distance' if kind == 'median' else 'one distance pass'}, {rows_of(problem)}"
    words = {"pair": "CKA", "sweep": f"sweep of {problem['layers']} layers", "pvalue": "p-value"}
    return f"{_kernel(problem)[0]} {words.get(kind, 'CKA forward + backward')}{_kernel(problem)[1]}" + _rest(
        problem
    )


def _kernel(problem: Entry) -> tuple[str, str]:
    bandwidth = {
        "given": ", sigma given",
        "median": ", exact median",
        "kornblith": ", scale 0.5, diagonal in",
    }
    if problem["kernel"] == "rbf":
        return "RBF", bandwidth[problem["bandwidth"]]
    return "linear", ""


def _rest(problem: Entry) -> str:
    offset = f", every value + {problem['offset']:g}" if problem["offset"] else ""
    biased = ", biased" if problem["estimator"] == "biased" else ""
    dtype = f", {problem['dtype']}" if problem["dtype"] != "float32" else ""
    return f"{biased}, {rows_of(problem)}{dtype}{offset}"


def best(one: Entry) -> tuple[str, float] | None:
    """Which threads of a contender are fastest by the clock, and their median in milliseconds."""
    found = [
        (threads, run["wall_ms"]["median"])
        for threads, run in one.get("times", {}).items()
        if "wall_ms" in run
    ]
    return min(found, key=lambda pair: pair[1]) if found else None


def quoted(name: str, one: Entry) -> tuple[str, float] | None:
    """Ours as it comes; of an alternative its best number of threads."""
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


def error(one: Entry) -> str:
    """The worst error on all data, and on which it is beyond 1e-3 if that is not all of it."""
    errors = one.get("errors")
    if not errors or not (errors["small"] or errors["full"]):
        return ""
    values: list[float | None] = [value for size in ("small", "full") for value in errors[size].values()]
    worst = None if None in values else max(values, default=0.0)
    text = "NaN" if worst is None else f"{worst:.1e}"
    if not errors["wrong"]:
        return text
    where = ", ".join(DATA[data] for data in errors["wrong"])
    return f"**wrong: {text}** on {where}" if one["wrong"] else f"{text} on {where}"


def times(ours: float | None, theirs: float | None) -> str:
    """A ratio, bold where an alternative is faster."""
    if not ours or not theirs:
        return ""
    text = f"{number(theirs / ours)}x"
    return text if theirs >= ours else f"**{text}**"


def _share(problem: Entry, ms: float | None, cores: str) -> str:
    return f"{floor(problem, cores) / ms:.0%}" if ms and problem["flops"] else ""


def table(problems: list[Entry]) -> list[str]:
    """One row a contender."""
    rows = [
        "| problem | who | time | p20 - p80 | threads | ratio | of the peak | CPU time, one thread | ratio "
        "| of the peak | memory | error |",
        "|---|---|---:|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for problem in problems:
        first = f"{what(problem)}; {DATA[problem['data']]}"
        for name, one in problem["contenders"].items():
            rows.append("| " + " | ".join([first, *_cells(problem, name, one)]) + " |")
            first = ""
    return rows


def _cells(problem: Entry, name: str, one: Entry) -> list[str]:
    if "failed" in one:
        why = one["failed"] if one["failed"] == ABSENT else f"failed: {one['failed']}"
        return [name, why, *[""] * 9]
    ours = problem["contenders"].get(OURS, {})
    found, own = quoted(name, one), quoted(OURS, ours)
    if found is None:
        return [name, *[""] * 8, size(one.get("peak_bytes")), error(one)]
    threads, ms = found
    run = one["times"][threads]
    spread = f"{duration(run['wall_ms']['p20'])} - {duration(run['wall_ms']['p80'])}"
    cpu = one_thread(one)
    ratios = ["", ""] if name == OURS else [times(own and own[1], ms), times(one_thread(ours), cpu)]
    return [
        name,
        duration(ms),
        "one run" if run["samples"] == 1 else spread,
        threads,
        ratios[0],
        _share(problem, ms, "one" if threads == "1" else "all"),
        duration(cpu),
        ratios[1],
        _share(problem, cpu, "one"),
        size(one.get("peak_bytes")),
        error(one),
    ]


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
