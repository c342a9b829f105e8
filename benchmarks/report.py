"""From results JSON to docs/benchmarks.md, the scaling figure and the README's table. Measures nothing.

python -m benchmarks.report benchmarks/results/x.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from .whole_models_report import section

ROOT = Path(__file__).parent.parent
FIGURE = "images/scaling.png"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
TITLES = {
    "engine": "RBF CKA of two representations",
    "linear": "Linear CKA of two representations",
    "scaling": "Every n, RBF, sigma given: against torch eager",
    "overhead": "Small calls (n = 16, d = 8)",
    "median": "The exact median distance",
    "losses": "Losses, forward and backward",
    "peers": "Peers",
    "large": "Where n x n does not fit",
}
README_ROWS = (
    "rbf-8192-128",
    "rbf-8192-512",
    "rbf-median-8192-512",
    "linear-8192-512",
    "median-8192-512",
    "overhead-linear",
    "nt-xent-512-128",
    "nt-xent-8192-128",
    "nt-xent-8192-512",
    "nt-xent-65536-128",
    "cka-grad-8192-512",
    "sweep-linear",
    "sweep-linear-offset",
    "sweep-rbf",
    "rbf-100000-256",
)
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
    if problem["kind"] == "nt_xent":
        return f"NT-Xent forward + backward, 2N {problem['n']:,}, D {problem['d']:,}"
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
                rows.append(f"| {first} | {name} | failed: {rival['failed']} | | | | | | |")
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


def median_in_passes(problems: dict[str, Entry]) -> list[str]:
    if not {"median-8192-512", "distances-8192-512"} <= set(problems):
        return []
    median, one = (
        problems[name]["rivals"]["gramless"]["median_ms"]
        for name in ("median-8192-512", "distances-8192-512")
    )
    return [
        f"The exact median costs {number(median / one)} distance passes, a pass being one RBF matrix with "
        "sigma given: every pair of rows once, its distance, exp and sums "
        "(`hsic_matrix([x], kernel=RBF(sigma))`).",
        "",
    ]


def conditions(results: Entry) -> list[str]:
    machine, versions = results["machine"], results["versions"]
    peaks = [problem["peak_gflops"] for problem in results["problems"]]
    one, everything = (np.median(np.concatenate([peak[key] for peak in peaks])) for key in ("one", "all"))
    used = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
    return [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['isa']}; FMA peak measured in the "
        f"same run {number(one)} GFLOP/s on one core, {number(everything)} on all. "
        f"Python {results['python']}, {used}; commit {results['commit']}, {results['date']}.",
        *others_load(results),
        *([results["note"]] if results.get("note") else []),
    ]


def others_load(results: Entry) -> list[str]:
    """What the numbers are worth: how busy the machine was with something else."""
    shares = [share for problem in results["problems"] if (share := problem.get("others_load")) is not None]
    if not shares:
        return []
    return [
        f"While timing, other processes used {np.median(shares):.0%} of the cores (median over problems, at "
        f"worst {max(shares):.0%})"
        + (": a busy machine, where ratios tell more than times." if max(shares) > 0.1 else ".")
    ]


METHOD = """
Every rival is checked before it is timed: at a small size against `gramless.reference` in float64, at full
size against gramless in float64. A wrong one stays in the table, marked, with its error. Times are of
float32 inputs on all cores, interleaved in one process (A B C A B C ...), so compare within a problem
rather than across; a bold ratio is a row where the rival is faster. Peak memory is above the inputs, each
rival in a process of its own. The floor is the time of the necessary FLOPs (each pair of rows or features
once) at the FMA peak measured in the same rounds; the last column is the floor over our median. On a CPU with
a matrix unit (amx) it may exceed 100 %: six products of bfloat16 make one of float32 there, and still take
less time. The errors of problems run once are those of the small size.
""".strip().replace("\n", " ")


def document(results: Entry) -> str:
    problems = results["problems"]
    lines = ["# Benchmarks", "", "Generated by `python -m benchmarks.report`; do not edit.", ""]
    for line in [*conditions(results), METHOD]:
        lines += [line, ""]
    for group, title in TITLES.items():
        members = [problem for problem in problems if problem["group"] == group]
        if not members:
            continue
        lines += [f"## {title}", "", *table(members), ""]
        if group == "median":
            lines += median_in_passes({problem["name"]: problem for problem in problems})
        if group == "scaling":
            lines += [f"![Time and peak memory against n]({FIGURE})", ""]
    lines += section(json.loads((ROOT / "benchmarks/results/whole_models.json").read_text()))
    return "\n".join(lines).rstrip() + "\n"


def scaling_figure(problems: list[Entry], path: Path) -> None:
    """Time and peak memory against n, log-log, the floor drawn in."""
    points = [problem for problem in problems if problem["series"]]
    if not points:
        return
    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    d = max(problem["d"] for problem in points)
    points = sorted((problem for problem in points if problem["d"] == d), key=lambda problem: problem["n"])
    looks = {"gramless": "C0", "torch eager": "C1", "gramless.reference": "C2"}
    for name, colour in looks.items():
        there = [(p["n"], p["rivals"][name]) for p in points if "median_ms" in p["rivals"].get(name, {})]
        if not there:
            continue
        sizes = [n for n, _ in there]
        time_axes.plot(
            sizes, [rival["median_ms"] for _, rival in there], "o-", color=colour, label=name, ms=4
        )
        memory = [(n, rival["peak_bytes"] / 1e6) for n, rival in there if rival.get("peak_bytes")]
        memory_axes.plot(*zip(*memory, strict=True), "o-", color=colour, label=name, ms=4)
    time_axes.plot(
        [p["n"] for p in points], [p["floor_ms"] for p in points], "k--", lw=1, label="floor (FMA peak)"
    )
    for axes, label in ((time_axes, "time (ms)"), (memory_axes, "peak memory above inputs (MB)")):
        axes.set(xscale="log", yscale="log", xlabel="rows n", ylabel=label)
        axes.xaxis.set_minor_formatter(plt.NullFormatter())
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(f"RBF CKA of two representations, d = {d}, float32, sigma given")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def readme_table(results: Entry) -> str:
    problems = {problem["name"]: problem for problem in results["problems"]}
    rows = ["| what | gramless | floor | memory | rivals |", "|---|---:|---:|---:|---|"]
    for name in README_ROWS:
        if name not in problems or "median_ms" not in problems[name]["rivals"]["gramless"]:
            continue
        problem = problems[name]
        ours = problem["rivals"]["gramless"]
        others = []
        for rival_name, rival in problem["rivals"].items():
            if rival is not ours and "median_ms" in rival:
                wrong = (
                    f", wrong by {error(rival).strip('*').removeprefix('wrong: ')}" if rival["wrong"] else ""
                )
                others.append(f"{rival_name} {duration(rival['median_ms'])} ({ratio(problem, rival)}{wrong})")
        cells = [what(problem), duration(ours["median_ms"]), duration(problem["floor_ms"])]
        cells += [size(ours.get("peak_bytes")), ", ".join(others) or "n x n does not fit"]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [*rows, "", *conditions(results), "All rows, and how: [docs/benchmarks.md](docs/benchmarks.md)."]
    )


def write_readme(results: Entry) -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        print(f"README.md has no {BEGIN} ... {END}: left alone")
        return
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{BEGIN}\n{readme_table(results)}\n{END}{after}")


def main() -> None:
    results = json.loads(Path(sys.argv[1]).read_text())
    scaling_figure(results["problems"], ROOT / "docs" / FIGURE)
    (ROOT / "docs" / "benchmarks.md").write_text(document(results))
    write_readme(results)


if __name__ == "__main__":
    main()
