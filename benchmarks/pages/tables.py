"""The tables of most sections: problems in words, a row for each contender; and that of the wheel's size."""

from __future__ import annotations

from .conditions import processor
from .results import OURS, Entry, floor, one_thread, quoted
from .words import duration, row, size, times

ABSENT = "not installed"
DATA = {
    "gaussian": "isotropic noise",
    "spectrum": "spectrum 1/i",
    "relu": "spectrum 1/i, ReLU",
    "photos": "activations",
}


def rows_of(problem: Entry) -> str:
    return f"n {problem['n']:,}, d {problem['d']:,}"


def what(problem: Entry) -> str:
    """The problem in words."""
    kind, losses = problem["kind"], {"nt_xent": "NT-Xent", "info_nce": "InfoNCE", "siglip": "SigLIP"}
    losses |= {"ranking": "InfoNCE with hard negatives", "guided": "InfoNCE with a guide"}
    if kind in losses:
        cold = f", temperature {problem['temperature']:g}" if problem["temperature"] != 0.1 else ""
        return f"{losses[kind]} forward + backward, 2N {problem['n']:,}, D {problem['d']:,}{cold}"
    if kind in ("median", "distances"):
        return f"{'median distance' if kind == 'median' else 'one distance pass'}, {rows_of(problem)}"
    if kind == "mutual_knn":
        return f"shared 10 nearest neighbours, {rows_of(problem)}"
    words = {"pair": "CKA", "sweep": f"sweep of {problem['layers']} layers", "pvalue": "p-value"}
    words |= {"mmd": "MMD", "rsa": "RSA"}
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
    return {"linear": "linear", "distance": "distance", "polynomial": "cubic"}[problem["kernel"]], ""


def _rest(problem: Entry) -> str:
    offset = f", every value + {problem['offset']:g}" if problem["offset"] else ""
    biased = ", biased" if problem["estimator"] == "biased" else ""
    dtype = f", {problem['dtype']}" if problem["dtype"] != "float32" else ""
    return f"{biased}, {rows_of(problem)}{dtype}{offset}"


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


def spread(run: Entry) -> str:
    """From the 20th to the 80th percentile of a run's samples."""
    return f"{duration(run['wall_ms']['p20'])} - {duration(run['wall_ms']['p80'])}"


def _share(problem: Entry, ms: float | None, cores: str) -> str:
    return f"{floor(problem, cores) / ms:.0%}" if ms and problem["flops"] else ""


def table(problems: list[Entry]) -> list[str]:
    """One row a contender."""
    rows = [
        "| problem | contender | time | p20 - p80 | threads | ratio | of the peak | CPU time, one thread "
        "| ratio | of the peak | memory | error |",
        "|---|---|---:|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for problem in problems:
        first = f"{what(problem)}; {DATA[problem['data']]}"
        for name, one in problem["contenders"].items():
            rows.append(row([first, *_cells(problem, name, one)]))
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
    cpu = one_thread(one)
    ratios = ["", ""] if name == OURS else [times(own and own[1], ms), times(one_thread(ours), cpu)]
    return [
        name,
        duration(ms),
        "one run" if run["samples"] == 1 else spread(run),
        threads,
        ratios[0],
        _share(problem, ms, "one" if threads == "1" else "all"),
        duration(cpu),
        ratios[1],
        _share(problem, cpu, "one"),
        size(one.get("peak_bytes")),
        error(one),
    ]


def shipping_tables(results: Entry | None) -> list[str]:
    """What `benchmarks.shipping` measured."""
    title = ["## Size and installation", ""]
    if results is None:
        return [*title, "Not measured yet: `python -m benchmarks.shipping` does.", ""]
    found = results["shipping"]
    lines = [
        *title,
        f"`python -m benchmarks.shipping` on {processor(results['machine'])}, Python "
        f"{results['python']}; commit {results['commit']}, {results['date']}. Without CUDA's kernels, in a "
        "fresh virtual environment. CPU time is that of all processes, and depends little on what else runs.",
        "",
        "| what | size |",
        "|---|---:|",
    ]
    lines += [row([name, size(count)]) for name, count in found["bytes"].items()]
    lines += ["", "| what | time | CPU time |", "|---|---:|---:|"]
    for name, taken in found["times"].items():
        lines.append(row([name, duration(taken["seconds"] * 1e3), duration(taken["cpu_seconds"] * 1e3)]))
    return [*lines, ""]
