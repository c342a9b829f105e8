"""What the numbers of a page depend on: machine, versions, load, and the kernels of each library."""

from __future__ import annotations

import numpy as np

from .results import Entry, timed_problems
from .words import number


def processor(machine: Entry) -> str:
    return f"{machine['cpu']}, {machine['cores']} cores"


def versions(found: Entry) -> str:
    """The versions of the installed packages."""
    return ", ".join(f"{package} {version}" for package, version in found["versions"].items() if version)


def of_main_machine(sections: dict[str, Entry]) -> dict[str, Entry]:
    """The sections that were measured on the machine of most sections."""
    machines = [section["machine"] for section in sections.values()]
    main = max(machines, key=machines.count, default=None)
    return {name: section for name, section in sections.items() if section["machine"] == main}


def conditions(sections: dict[str, Entry]) -> list[str]:
    """Machine, versions and load, for sections of one machine."""
    if not sections:
        return []
    peaks = [problem["peak_gflops"] for problem in timed_problems(sections)]
    one, every = (float(np.median([peak[key] for peak in peaks])) for key in ("one", "all"))
    newest = max(sections.values(), key=lambda section: str(section["date"]))
    commits = ", ".join(sorted({section["commit"] for section in sections.values()}))
    return [
        f"Machine: {processor(newest['machine'])}, {newest['machine']['isa']}; FMA peak measured in the "
        f"same runs {number(one)} GFLOP/s on one core (by CPU time), {number(every)} on all (by the clock). "
        f"Python {newest['python']}, {versions(newest)}; commit {commits}, {newest['date']}.",
        others_load(sections),
    ]


def brief_conditions(sections: dict[str, Entry]) -> str:
    """Machine, versions of the compared packages and the day, in a sentence for README.md."""
    sections = of_main_machine(sections)
    newest = max(sections.values(), key=lambda section: str(section["date"]))
    found = newest["versions"]
    shown = ", ".join(f"{name} {found[name]}" for name in ("numpy", "torch") if found.get(name))
    machine = f"{processor(newest['machine'])}, {newest['machine']['isa']}"
    return f"Measured on {machine}; {shown}; {newest['date']}."


def others_load(sections: dict[str, Entry]) -> str:
    """How busy the machine was with other programs, and so how reliable the numbers are."""
    problems = [problem for section in sections.values() for problem in section["problems"]]
    shares = [problem["others_load"] for problem in problems if problem.get("others_load") is not None]
    if not shares:
        return ""
    median, worst = float(np.median(shares)), max(shares)
    if median > 0.5:
        ending = ": only errors and memory are reliable, times and ratios are not."
    else:
        ending = ": ratios are more reliable than times." if worst > 0.1 else "."
    return (
        f"During the measurements other processes used {median:.0%} of the cores (median over problems, at "
        f"most {worst:.0%}){ending}"
    )


def kernels(sections: dict[str, Entry]) -> list[str]:
    """The kernels that every contender's libraries chose, from threadpoolctl."""
    if not sections:
        return []
    found: dict[str, str] = {}
    for section in sections.values():
        for name, about in section["kernels"].items():
            pools = [pool for pool in about["pools"] if pool["architecture"]]
            chosen = [f"{p['internal_api']} {p['version']}, {p['architecture']}" for p in pools]
            threads = {**{p["internal_api"]: p["num_threads"] for p in about["pools"]}, **about["threads"]}
            counts = ", ".join(f"{library} {count}" for library, count in threads.items())
            found.setdefault(name, f"| {name} | {'; '.join(chosen)} | {counts} |")
    torch = next(iter(sections.values()))["torch_kernels"]
    return [
        f"torch reports its BLAS library as {torch}.",
        "",
        "| contender | BLAS libraries and the kernels they chose | threads by default |",
        "|---|---|---|",
        *(found[name] for name in sorted(found)),
        "",
    ]
