"""From results JSON to docs/benchmarks.md, the scaling figure and the README's table. Measures nothing.

python -m benchmarks.report benchmarks/results/x.json [...]

README, the figure and the tables by subject are of the first file; another with problems is another machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from .tables import Entry, duration, error, number, ratio, shipping_tables, size, table, what
from .whole_models_report import section

ROOT = Path(__file__).parent.parent
WHOLE_MODELS = ROOT / "benchmarks/results/whole_models.json"
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
    "field": "More of the field",
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


def busy(median: float, worst: float) -> str:
    """How a sentence on the load of a machine ends."""
    if median > 0.5:
        return ": too busy for times and ratios to count, for code waits at barriers; errors and memory do."
    return ": a busy machine, where ratios tell more than times." if worst > 0.1 else "."


def others_load(results: Entry) -> list[str]:
    """What the numbers are worth: how busy the machine was with something else."""
    shares = [share for problem in results["problems"] if (share := problem.get("others_load")) is not None]
    if not shares:
        return []
    return [
        f"While timing, other processes used {np.median(shares):.0%} of the cores (median over problems, at "
        f"worst {max(shares):.0%})" + busy(float(np.median(shares)), max(shares))
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


PEERS = """
`pip install -c constraints.txt '.[bench,peers]'` brings the peers. Two more ask for a torchvision, and one of
them for a numpy below 2, which cannot stand beside what is measured here. `pip install --no-deps
lightly==1.6.0 thingsvision==2.7.3 torchtyping==0.1.5 typeguard==2.13.3` brings their own files, and of those
the measured ones run without the packages around them. Who is not installed is named in its row.
""".strip().replace("\n", " ")


def another_machine(results: Entry) -> list[str]:
    machine = results["machine"]
    lines = ["", f"## On another machine, {machine['cpu']} with {machine['isa']}", ""]
    for line in conditions(results):
        lines += [line, ""]
    return [*lines, *table(results["problems"]), ""]


def document(*files: Entry) -> str:
    results, *more = files
    lines = ["# Benchmarks", "", "Generated by `python -m benchmarks.report`; do not edit.", ""]
    for line in [*conditions(results), METHOD, PEERS]:
        lines += [line, ""]
    problems = results["problems"]
    for group, title in TITLES.items():
        of_group = [problem for problem in problems if problem["group"] == group]
        if not of_group:
            continue
        lines += [f"## {title}", "", *table(of_group), ""]
        if group == "median":
            lines += median_in_passes({problem["name"]: problem for problem in problems})
        if group == "scaling":
            lines += [f"![Time and peak memory against n]({FIGURE})", ""]
    for file in more:
        lines += another_machine(file) if "problems" in file else []
    for file in more:
        lines += shipping_tables(file) if "shipping" in file else []
    if WHOLE_MODELS.exists():
        lines += section(json.loads(WHOLE_MODELS.read_text()))
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
    rows = [
        "| what | gramless | floor | memory | error | rivals: time, memory, error |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name in README_ROWS:
        if name not in problems or "median_ms" not in problems[name]["rivals"]["gramless"]:
            continue
        problem = problems[name]
        ours = problem["rivals"]["gramless"]
        others = []
        for rival_name, rival in problem["rivals"].items():
            if rival is not ours and "median_ms" in rival:
                time = f"{duration(rival['median_ms'])} ({ratio(problem, rival)})"
                others.append(f"{rival_name} {time}, {size(rival.get('peak_bytes'))}, {error(rival)}")
        cells = [what(problem), duration(ours["median_ms"]), duration(problem["floor_ms"])]
        cells += [size(ours.get("peak_bytes")), error(ours), "<br>".join(others) or "n x n does not fit"]
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
    results, *more = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    scaling_figure(results["problems"], ROOT / "docs" / FIGURE)
    (ROOT / "docs" / "benchmarks.md").write_text(document(results, *more))
    write_readme(results)


if __name__ == "__main__":
    main()
