"""The figures of the documentation, from accuracy.json, costs.json and scaling.json."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..environment import ROOT
from .results import OURS, Entry, exponent, floor, one_thread, quoted, read, sections, was_timed

IMAGES = ROOT / "docs/images"
COLORS = {
    "gramless": "C0",
    "numpy float32, centred": "C1",
    "numpy float32, not centred": "C3",
    "torch float32": "C1",
    "torch eager": "C1",
    "pytorch-cka": "C4",
    "ckatorch": "C2",
    "lightly": "C5",
    "pytorch-metric-learning": "C4",
    "infonce": "C6",
}
TOP = 2.0  # where NaN is drawn
TITLES = {
    "rbf_rows": "RBF CKA, d 64",
    "linear_rows": "linear CKA, d 64",
    "nt_xent_rows": "NT-Xent forward + backward, d 128",
    "rbf_columns": "RBF CKA, n 2048",
    "nt_xent_columns": "NT-Xent forward + backward, 2N 2048",
}


def draw_errors(axes: Axes, panel: dict[str, Any]) -> None:
    """Errors; a cross at the top is an answer that is NaN."""
    for name, errors in panel["errors"].items():
        shown = [TOP if error is None else max(error, 1e-17) for error in errors]
        axes.plot(panel["values"], shown, "o-", color=COLORS[name], label=name, markersize=4)
        nans = [v for v, error in zip(panel["values"], errors, strict=True) if error is None]
        axes.plot(nans, [TOP] * len(nans), "x", color="black", markersize=9)
    axes.set_xscale("symlog" if 0 in panel["values"] else "log")
    axes.set_yscale("log")
    axes.set_title(panel["title"], fontsize=10)
    axes.set_xlabel(
        {
            "offset": "added to every value",
            "width": "features",
            "unit": "every value times",
            "outlier": "size of one value among others of about 1",
        }.get(panel["against"], panel["against"])
    )
    axes.set_ylabel("error" if panel["against"] != "temperature" else "error / length of the gradient")
    _plain_ticks(axes)


def _plain_ticks(axes: Axes) -> None:
    """Tick labels at powers of ten only, and at two of them at least."""
    low, high = axes.get_ylim()
    exponents = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if math.log10(high / low) < 2:
        axes.set_ylim(10.0 ** exponents[0], 10.0 ** exponents[1])
    axes.yaxis.set_minor_formatter(plt.NullFormatter())


def _legend_below(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend for all panels, below them, so that it hides no curve."""
    named = {
        label: line for one in axes for line, label in zip(*one.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named), frameon=False)


def save(figure: Figure, file: str, dpi: int = 110) -> None:
    figure.savefig(IMAGES / file, dpi=dpi)
    plt.close(figure)


def draw_accuracy(found: dict[str, Any], against: str) -> None:
    panels = [panel for panel in found["panels"] if panel["against"] == against]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5 * len(panels), 3.8), squeeze=False, layout="constrained"
    )
    for panel, place in zip(panels, axes[0], strict=True):
        draw_errors(place, panel)
    _legend_below(figure, axes[0])
    save(figure, f"error_{against}.png")


def cost_of(one: dict[str, Any], cost: str) -> float | None:
    ms = one_thread(one)
    return one.get("peak_bytes") if cost == "peak_bytes" else ms and ms / 1e3


def draw_cost(axes: Axes, name: str, points: list[dict[str, Any]], cost: str) -> None:
    against = "n" if name.endswith("rows") else "d"
    for contender in (OURS, "torch eager"):
        own = [(p[against], cost_of(p["contenders"].get(contender, {}), cost)) for p in points]
        found = [(value, spent) for value, spent in own if spent]
        if len(found) > 2:
            values, costs = [value for value, _ in found], [spent for _, spent in found]
            label = contender
            if cost == "cpu_seconds":
                label += f": {against}^{exponent(values, costs):.2f} at the end"
            axes.plot(values, costs, "o-", color=COLORS[contender], label=label, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_title(TITLES[name], fontsize=10)
    axes.set_xlabel(against)
    axes.set_ylabel({"cpu_seconds": "CPU s, one thread", "peak_bytes": "bytes above the inputs"}[cost])
    axes.grid(alpha=0.3)
    _plain_ticks(axes)
    axes.legend(fontsize=7)


def draw_costs(found: dict[str, Any], names: tuple[str, ...], costs: tuple[str, ...], file: str) -> None:
    figure, axes = plt.subplots(
        len(costs), len(names), figsize=(4.2 * len(names), 3.3 * len(costs)), squeeze=False
    )
    for row, cost in zip(axes, costs, strict=True):
        for name, place in zip(names, row, strict=True):
            draw_cost(place, name, [p for p in found["problems"] if p["curve"] == name], cost)
    figure.tight_layout()
    save(figure, file)


def draw_scaling(problems: list[Entry]) -> None:
    """Time and peak memory against n in log-log scale, with the floor."""
    points = sorted(problems, key=lambda problem: problem["n"])
    figure, (time_axes, memory_axes) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for name, colour in {OURS: "C0", "torch eager": "C1", "gramless.reference": "C2"}.items():
        ones = [(p["n"], p["contenders"][name]) for p in points if name in p["contenders"]]
        found = [(n, q[1]) for n, one in ones if (q := quoted(name, one))]
        if found:
            time_axes.plot(*zip(*found, strict=True), "o-", color=colour, label=name, ms=4)
        memory = [(n, one["peak_bytes"] / 1e6) for n, one in ones if one.get("peak_bytes")]
        if memory:
            memory_axes.plot(*zip(*memory, strict=True), "o-", color=colour, label=name, ms=4)
    floors = [floor(p, "all") for p in points]
    time_axes.plot([p["n"] for p in points], floors, "k--", lw=1, label="floor (FMA peak)")
    for axes, label in ((time_axes, "time (ms)"), (memory_axes, "peak memory above inputs (MB)")):
        axes.set(xscale="log", yscale="log", xlabel="rows n", ylabel=label)
        axes.xaxis.set_minor_formatter(plt.NullFormatter())
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(f"RBF CKA of two representations, d = {points[0]['d']}, float32, sigma given")
    save(figure, "scaling.png", dpi=130)


def draw_all() -> None:
    """Draws every figure whose results are committed; pages show no others."""
    accuracy, found = read("accuracy"), sections()
    if accuracy:
        for against in ("offset", "width", "unit", "outlier", "temperature"):
            draw_accuracy(accuracy, against)
    if "costs" in found:
        rows = ("rbf_rows", "linear_rows", "nt_xent_rows")
        draw_costs(found["costs"], rows, ("cpu_seconds", "peak_bytes"), "cost_rows.png")
        draw_costs(found["costs"], ("rbf_columns", "nt_xent_columns"), ("cpu_seconds",), "cost_columns.png")
    if "scaling" in found:
        draw_scaling(list(filter(was_timed, found["scaling"]["problems"])))
