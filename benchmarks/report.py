"""python -m benchmarks.report: from benchmarks/results to docs/benchmarks.md, its figure and README's table.

Measures nothing. What has not been measured is named as such.
"""

from __future__ import annotations

import json

import numpy as np

from . import section_tables
from .environment import RESULTS, ROOT
from .figures import scaling_figure
from .plan import SECTIONS
from .tables import (
    DATA,
    OURS,
    Entry,
    duration,
    error,
    floor,
    number,
    quoted,
    shipping_tables,
    size,
    table,
    times,
    what,
)

FIGURE = "images/scaling.png"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
OWN_TABLES = {
    "training": section_tables.training,
    "models": section_tables.models,
    "sixteen_bits": section_tables.sixteen_bits,
    "beside": section_tables.beside,
}
OPENINGS = {
    "linear": "numpy and torch eager make three products of features.",
    "rbf": "Centred Grams are those of the code that came with Kornblith et al. 2019.",
    "linear_sweeps": "numpy and torch eager make one product of all features of all layers.",
    "training": "Two views of images of 16 x 16 through a small network, NT-Xent with D 128, backward, an "
    "update. Memory is of the whole step.",
    "models": "EfficientNet-Lite0 with -Lite1, 18 x 23 layers, images of 128 x 128 in batches of 64. Others "
    "take images as they come, we with channels last; what is compared is flattened, except where it says "
    "means. Errors are against float64, on 128 images.",
    "beside": "Right before every call, threads of the other library have worked in the same process.",
}
README_ROWS = (
    "rbf-8192-128",
    "rbf-8192-512",
    "rbf-median-8192-512",
    "linear-8192-512",
    "linear-512-512",
    "median-8192-512",
    "small-linear",
    "nt-xent-64-128",
    "nt-xent-512-128",
    "nt-xent-8192-128",
    "nt-xent-8192-512",
    "nt-xent-65536-128",
    "cka-grad-8192-512",
    "sweep-linear-20-2000-512",
    "sweep-linear-50-4000-64",
    "sweep-rbf-20-2000-512",
    "sweep-rbf-50-10000-1024",
    "rbf-100000-256",
)
METHOD = """
Every contender has a process of its own that imports nothing of the others, and runs while the others are
stopped, in turn (A B A B ...), in an environment without variables that choose kernels or threads. Short
calls are warmed up in every turn, those of 0.3 s or more once, those of about a second by smaller problems
in the same process. Each call has other inputs than the last; a sample is as many calls as take 2 ms.
"Time" is by the clock; an alternative has the number of threads that is fastest for it, its own default or
one, ours has always its default, all cores. "CPU time" is of one thread. "Of the peak" is the time of the
necessary FLOPs (each pair of rows or features once) at the FMA peak measured in the same rounds, over the
time. A bold ratio is a row where the alternative is faster. Memory is above the inputs.
""".strip().replace("\n", " ")
CHECKS = """
Answers come before times: at a small size against `gramless.reference` in float64, at full size against
gramless in float64, on isotropic noise, on data whose covariance has the eigenvalues 1/i, on the same through
a ReLU, and on activations of the demo's networks (at every position of 512 crops of photos; 8,192 rows, 1,280
features). Large problems are checked at full size on the data that is timed alone. The error is the worst of
all; "wrong" is further than 1e-3 from the truth on more than one kind of data. Errors and memory of
alternatives may be from an earlier commit, for they do not depend on our code.
""".strip().replace("\n", " ")
PACKAGES = """
`pip install -c constraints.txt '.[bench,peers]'` brings the packages. Two more ask for a torchvision, and one
of them for a numpy below 2, which cannot be installed beside what is measured here. `pip install --no-deps
lightly==1.6.0 thingsvision==2.7.3 torchtyping==0.1.5 typeguard==2.13.3` brings their own files, and of those
the measured ones run without the packages around them; `pip install --no-deps torch-cka==0.21` likewise. A
package that is not installed is named in its row.
""".strip().replace("\n", " ")


def read_results() -> dict[str, Entry]:
    """What was measured, by section."""
    files = {name: RESULTS / f"{name}.json" for name in SECTIONS}
    found = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    return {name: results for name, results in found.items() if any(map(was_timed, results["problems"]))}


def was_timed(problem: Entry) -> bool:
    return "peak_gflops" in problem


def problems_of(results: dict[str, Entry]) -> dict[str, Entry]:
    """All that were timed, by name."""
    every = [problem for section in results.values() for problem in section["problems"]]
    return {problem["name"]: problem for problem in every if was_timed(problem)}


def conditions(sections: list[Entry]) -> list[str]:
    """Machine, versions and load, of sections of one run."""
    peaks = [p["peak_gflops"] for section in sections for p in section["problems"] if was_timed(p)]
    one, every = (float(np.median([peak[key] for peak in peaks])) for key in ("one", "all"))
    newest = max(sections, key=lambda section: str(section["date"]))
    machine = newest["machine"]
    used = ", ".join(f"{package} {version}" for package, version in newest["versions"].items() if version)
    commits = ", ".join(sorted({section["commit"] for section in sections}))
    return [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['isa']}; FMA peak measured in the "
        f"same runs {number(one)} GFLOP/s on one core (by CPU time), {number(every)} on all (by the clock). "
        f"Python {newest['python']}, {used}; commit {commits}, {newest['date']}.",
        others_load(sections),
    ]


def others_load(sections: list[Entry]) -> str:
    """What the numbers are worth: how busy the machine was with something else."""
    problems = [problem for section in sections for problem in section["problems"]]
    shares = [problem["others_load"] for problem in problems if problem.get("others_load") is not None]
    if not shares:
        return ""
    median, worst = float(np.median(shares)), max(shares)
    if median > 0.5:
        ending = ": too busy for times and ratios to count; errors and memory do."
    else:
        ending = ": a busy machine, where ratios tell more than times." if worst > 0.1 else "."
    return (
        f"While timing, other processes used {median:.0%} of the cores (median over problems, at worst "
        f"{worst:.0%}){ending}"
    )


def kernels(sections: list[Entry]) -> list[str]:
    """Which kernels every contender's libraries chose, as threadpoolctl sees them."""
    found: dict[str, str] = {}
    for section in sections:
        for name, about in section["kernels"].items():
            pools = [pool for pool in about["pools"] if pool["architecture"]]
            chosen = [f"{p['internal_api']} {p['version']}, {p['architecture']}" for p in pools]
            threads = {**{p["internal_api"]: p["num_threads"] for p in about["pools"]}, **about["threads"]}
            counts = ", ".join(f"{library} {count}" for library, count in threads.items())
            found.setdefault(name, f"| {name} | {'; '.join(chosen)} | {counts} |")
    return [
        f"The BLAS inside torch calls itself {sections[0]['torch_kernels']}.",
        "",
        "| process of | BLAS and the kernels it chose | threads by default |",
        "|---|---|---|",
        *(found[name] for name in sorted(found)),
    ]


def median_in_passes(problems: dict[str, Entry]) -> list[str]:
    if not {"median-8192-512", "distances-8192-512"} <= set(problems):
        return []
    found = [
        quoted(OURS, problems[name]["contenders"][OURS]) for name in ("median-8192-512", "distances-8192-512")
    ]
    if not found[0] or not found[1]:
        return []
    return [
        f"The exact median costs {number(found[0][1] / found[1][1])} distance passes, a pass being one RBF "
        "matrix with sigma given: every pair of rows once, its distance, exp and sums "
        "(`hsic_matrix([x], kernel=RBF(sigma))`).",
        "",
    ]


def part(name: str, results: Entry) -> list[str]:
    """One section of the page."""
    problems = [problem for problem in results["problems"] if was_timed(problem) or not problem["timed"]]
    lines = [f"## {results['title']}", ""]
    if name in OPENINGS:
        lines += [OPENINGS[name], ""]
    if name == "costs":
        return [*lines, "The curves are in [what it costs](explanation/numerics.md#what-it-costs).", ""]
    lines += [*OWN_TABLES.get(name, table)(problems), ""]
    ratios = section_tables.medians(problems)
    if ratios:
        lines += ["The bandwidth by the exact median against a given one:", "", *ratios, ""]
    if name == "rbf":
        lines += median_in_passes({problem["name"]: problem for problem in problems})
    if name == "scaling":
        lines += [f"![Time and peak memory against n]({FIGURE})", ""]
    return lines


def document(results: dict[str, Entry]) -> str:
    lines = ["# Benchmarks", "", "Generated by `python -m benchmarks.report`; do not edit.", ""]
    sections = list(results.values())
    for line in [*(conditions(sections) if sections else []), METHOD, CHECKS, PACKAGES]:
        lines += [line, ""]
    if sections:
        lines += [*kernels(sections), ""]
    for name, (title, _) in SECTIONS.items():
        if name in results:
            lines += part(name, results[name])
        else:
            lines += [
                f"## {title}",
                "",
                f"Not measured yet: `python -m benchmarks --section {name}` does.",
                "",
            ]
    shipping = RESULTS / "shipping.json"
    if shipping.exists():
        lines += shipping_tables(json.loads(shipping.read_text()))
    return "\n".join(lines).rstrip() + "\n"


def _readme_row(problem: Entry) -> str:
    ours = problem["contenders"][OURS]
    own = quoted(OURS, ours)
    others = []
    for name, one in problem["contenders"].items():
        found = quoted(name, one)
        if own and found and name != OURS:
            time = f"{duration(found[1])} ({times(own[1], found[1])})"
            others.append(f"{name} {time}, {size(one.get('peak_bytes'))}, {error(one)}".replace(", ,", ","))
    cells = [
        f"{what(problem)}; {DATA[problem['data']]}",
        duration(own and own[1]),
        duration(floor(problem, "all")),
    ]
    cells += [size(ours.get("peak_bytes")), error(ours), "<br>".join(others) or "n x n does not fit"]
    return "| " + " | ".join(cells) + " |"


def readme_table(results: dict[str, Entry]) -> str:
    problems = problems_of(results)
    chosen = [problems[name] for name in README_ROWS if name in problems]
    end = "All rows, and how they were measured: [docs/benchmarks.md](docs/benchmarks.md)."
    if not chosen:
        return f"Not measured yet: `python -m benchmarks` does.\n{end}"
    rows = [
        "| what | gramless | floor | memory | error | alternatives at their best: time, memory, error |",
        "|---|---:|---:|---:|---:|---|",
        *map(_readme_row, chosen),
    ]
    words = (
        "Each in a process of its own, in turn; the floor is the necessary FLOPs at the machine's FMA peak. "
        "A bold ratio is a row where the alternative is faster."
    )
    return "\n".join([*rows, "", words, *conditions(list(results.values())), end])


def write_readme(results: dict[str, Entry]) -> None:
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{BEGIN}\n{readme_table(results)}\n{END}{after}")


def main() -> None:
    results = read_results()
    if "scaling" in results:
        points = [problem for problem in results["scaling"]["problems"] if was_timed(problem)]
        scaling_figure(points, ROOT / "docs" / FIGURE)
    (ROOT / "docs" / "benchmarks.md").write_text(document(results))
    write_readme(results)


if __name__ == "__main__":
    main()
