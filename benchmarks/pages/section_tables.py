"""Tables of sections that do not compare row by row: training steps, networks, dtypes, other threads."""

from __future__ import annotations

from .results import OURS, Entry, best, one_thread, quoted, was_timed
from .tables import error, rows_of, spread
from .words import duration, number, row, size, times

FORWARD, LAST = "forward passes alone", "forward passes alone, channels last"


def training(problems: list[Entry]) -> list[str]:
    """The loss's share of a step, and the memory of the whole step."""
    rows = [
        "| encoder | pairs | loss of | step | p20 - p80 | share of the loss | ratio of steps "
        "| ratio of losses | memory |",
        "|---|---:|---|---:|---|---:|---:|---:|---:|",
    ]
    for problem in problems:
        ours = problem["contenders"][OURS]
        for name, one in problem["contenders"].items():
            found, own = quoted(name, one), quoted(OURS, ours)
            if not found or not own:
                continue
            run = one["times"][found[0]]
            parts = [own[1] * ours["times"][own[0]]["share"], found[1] * run["share"]]
            ratios = ["", ""] if name == OURS else [times(own[1], found[1]), times(*parts)]
            cells = [problem["encoder"], f"{problem['n'] // 2:,}", name, duration(found[1]), spread(run)]
            cells += [f"{run['share']:.1%}", *ratios, size(one.get("peak_bytes"))]
            rows.append(row(cells))
    return rows


def models(problems: list[Entry]) -> list[str]:
    """The costs of comparing two networks, and the share of the forward passes."""
    rows = [
        "| contender | CPU time, one thread | wall-clock time of every round | share of forward passes "
        "| time above them | error |",
        "|---|---:|---|---:|---:|---|",
    ]
    for problem in problems:
        if not was_timed(problem):
            continue
        cpu = {name: one_thread(one) for name, one in problem["contenders"].items() if one.get("times")}
        for name, ms in cpu.items():
            forward = cpu.get(LAST if name.startswith(OURS) else FORWARD)
            one = problem["contenders"][name]
            rounds = ", ".join(duration(value) for value in one["times"]["1"]["rounds_ms"])
            parts = ["", ""]
            if forward and ms and name not in (FORWARD, LAST):
                parts = [f"{forward / ms:.0%}", f"{ms / forward - 1:+.0%}"]
            rows.append(row([name, duration(ms), rounds, *parts, error(one)]))
    memory = [
        f"{size(one['peak_bytes'])} for {problem['n']:,}"
        for problem in problems
        for one in problem["contenders"].values()
        if one.get("peak_bytes")
    ]
    if memory:
        rows += [
            "",
            f"Peak memory of the minibatch comparison above its networks: {', '.join(memory)} images.",
        ]
    return rows


def sixteen_bits(problems: list[Entry]) -> list[str]:
    rows = [
        "| kernel | inputs | time | times float32 | CPU time, one thread | times float32 | error |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    first: Entry = {}
    for problem in problems:
        one = problem["contenders"][OURS]
        if problem["dtype"] == "float32":
            first = one
        found, base = best(one), best(first)
        if not found or not base:
            continue
        pairs = [times(base[1], found[1]), times(one_thread(first), one_thread(one))]
        cells = [problem["kernel"], problem["dtype"], duration(found[1]), pairs[0].strip("*")]
        cells += [duration(one_thread(one)), pairs[1].strip("*"), error(one)]
        rows.append(row(cells))
    return rows


def beside(problems: list[Entry]) -> list[str]:
    """The same calls after threads of another library have worked in their process."""
    columns = ("", "torch", "numpy", "gramless")
    calls: dict[tuple[str, str], dict[str, str]] = {}
    for problem in problems:
        words = "NT-Xent, 2N 64, D 128" if problem["kind"] == "nt_xent" else f"linear CKA, {rows_of(problem)}"
        for name, one in problem["contenders"].items():
            found = one.get("times", {}).get("default", {}).get("wall_ms")
            if found:
                calls.setdefault((words, name), {})[problem["beside"]] = duration(found["median"])
    head = "| call | contender | alone | after torch | after numpy | after gramless |"
    rows = [head, "|---|---|---:|---:|---:|---:|"]
    for (words, name), cells in calls.items():
        rows.append(row([words, name, *(cells.get(column, "") for column in columns)]))
    return rows


def medians(problems: list[Entry]) -> list[str]:
    """kernel="rbf", whose bandwidth is the median, against a given bandwidth."""
    by_name = {problem["name"]: problem for problem in problems}
    rows = [
        '| what | `kernel="rbf"` | sigma given | ratio | ratio, one thread |',
        "|---|---:|---:|---:|---:|",
    ]
    for problem in problems:
        given = by_name.get(problem["name"].replace("rbf-median-", "rbf-"))
        if given is None or given is problem or "rbf-median-" not in problem["name"]:
            continue
        ones = [entry["contenders"][OURS] for entry in (problem, given)]
        found = [quoted(OURS, one) for one in ones]
        if found[0] and found[1]:
            cpu = [one_thread(one) for one in ones]
            layers = f"{problem['layers']} layers, " if problem["kind"] == "sweep" else ""
            cells = [f"{layers}{rows_of(problem)}", duration(found[0][1]), duration(found[1][1])]
            cells += [number(found[0][1] / found[1][1])]
            cells += [number(cpu[0] / cpu[1]) if cpu[0] and cpu[1] else ""]
            rows.append(row(cells))
    return rows if len(rows) > 2 else []
