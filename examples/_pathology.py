"""The figure of depth_pathology.py."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _figures import draw_band, seeds
from gramless.plot import MARK, heatmap, save_figure

COLOURS = "#12857a", "#4c72b0", "#c44e52", "0.4"  # one for each training time, the shortest first
BETWEEN = {"in the block": "-", "at the ends": "--"}
BLOCKS = {"before": ("as it is", "-"), "after": ("without the component", "--")}
Found = dict[str, Any]


def draw(numbers: Found, out: Path) -> None:
    """One row for each depth: for each training time the first seed's matrices before and after the component
    is removed; then the component's share and the probe for each layer. The last row is over the depth.
    """
    from matplotlib import pyplot

    found = {epochs: numbers["epochs"][epochs] for epochs in sorted(numbers["epochs"], key=int)}
    depths = sorted({depth for each in found.values() for depth in each}, key=int)
    columns = 2 * len(found) + 2
    high = 2.45 * len(depths), 3.1
    figure = pyplot.figure(figsize=(2.3 * columns + 0.6, sum(high) + 0.5))
    above, below = figure.subfigures(2, 1, height_ratios=high)
    axes = above.subplots(len(depths), columns, squeeze=False)
    for row, depth in zip(axes, depths, strict=True):
        for epochs, pair in zip(found, row[:-2].reshape(-1, 2), strict=True):
            draw_matrices(pair, found[epochs].get(depth), f"{depth} layers, {epochs} epochs")
        draw_lines(row[-2:], [each.get(depth) for each in found.values()])
    lowest = min(share for run in all_runs(found) for share in run["probe"])
    for title, ax in zip(
        ("first component's share", "accuracy of a linear probe"), axes[0, -2:], strict=True
    ):
        ax.set_title(title, fontsize=9)
    for fraction, probe in axes[:, -2:]:
        fraction.set_ylim(0, 1)
        probe.set_ylim(lowest - 0.03, None)
    for ax in axes[-1, -2:]:
        ax.set_xlabel("layer")
    figure.set_layout_engine("constrained")  # not earlier: every heatmap would lay out the whole figure
    drawn = next(ax for ax in axes.flat if ax.images)
    above.colorbar(drawn.images[0], ax=axes[:, :-2], label="unbiased linear CKA", aspect=40, pad=0.01)
    draw_depths(below.subplots(1, 4), found)
    count = len(next(all_runs_of(found)))
    figure.suptitle(
        f"{numbers['data']}, plain networks with themselves. Matrices: one seed, its block above "
        f"{numbers['threshold']} outlined; lines: {seeds(count, 'mean, least and most')}"
    )
    save_figure(figure, out, dpi=70)


def all_runs_of(found: Found) -> Any:
    """The networks of each depth and training time."""
    return (list(entry["networks"].values()) for depths in found.values() for entry in depths.values())


def all_runs(found: Found) -> Any:
    return (run for runs in all_runs_of(found) for run in runs)


def draw_matrices(pair: Sequence[Any], entry: Found | None, title: str) -> None:
    """The first seed's matrices, before and after; empty if this depth was not trained for this time."""
    from matplotlib.patches import Rectangle

    for ax, which in zip(pair, BLOCKS, strict=True):
        if entry is None:
            ax.set_axis_off()
            continue
        network = next(iter(entry["networks"].values()))
        matrix, (start, stop) = np.array(network["matrices"][which]), network["blocks"][which]
        heatmap(matrix, ax=ax, annotate=False, colorbar=False, vmin=0, vmax=1)
        ax.set_title(title if which == "before" else BLOCKS[which][0], fontsize=9)
        ticks = range(0, len(matrix), max(1, len(matrix) // 4))
        ax.set_xticks(ticks, [*map(str, ticks)], fontsize=8, rotation=0)
        ax.set_yticks(ticks, [*map(str, ticks)], fontsize=8)
        corner, side = (start - 0.5, start - 0.5), stop - start
        ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=MARK, linewidth=1.8))


def draw_lines(pair: Sequence[Any], entries: Sequence[Found | None]) -> None:
    """Curves over the layers, one for each training time."""
    for ax, key in zip(pair, ("fraction", "probe"), strict=True):
        for colour, entry in zip(COLOURS, entries, strict=False):
            if entry is not None:
                values = [run[key] for run in entry["networks"].values()]
                draw_band(ax, range(len(values[0])), values, colour=colour, lw=1.3)
        ax.tick_params(labelsize=8)
        ax.grid(alpha=0.3)


def draw_depths(axes: Sequence[Any], found: Found) -> None:
    """Curves over the depth, one for each training time."""
    from matplotlib.ticker import MaxNLocator

    for colour, (epochs, depths) in zip(COLOURS, found.items(), strict=False):
        line = partial(draw_over_depths, [int(depth) for depth in depths], colour)
        runs = [list(entry["networks"].values()) for entry in depths.values()]
        pairs = [entry["pairs"] for entry in depths.values()]
        line(axes[0], [[100 * run["accuracy"] for run in of] for of in runs], label=f"{epochs} epochs")
        for which, (_, style) in BLOCKS.items():
            line(axes[1], [[np.diff(run["blocks"][which])[0] for run in of] for of in runs], ls=style)
        line(axes[2], [[max(run["fraction"]) for run in of] for of in runs])
        if all(pairs):
            for which, style in BETWEEN.items():
                line(axes[3], [[pair[which] for pair in of] for of in pairs], ls=style)
    titles = "accuracy, %", "layers in the block", "largest first component", "CKA of two seeds"
    depths = sorted({int(depth) for each in found.values() for depth in each})
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
        ax.set_xscale("log", base=2)
        ax.set_xticks(depths, [*map(str, depths)])
        ax.set_xlabel("layers")
        ax.grid(alpha=0.3)
    axes[1].yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(frameon=False, fontsize=8)
    explain(axes[1], dict(BLOCKS.values()))
    explain(axes[3], BETWEEN)


def draw_over_depths(x: Sequence[int], colour: str, ax: Any, values: Any, **line: Any) -> None:
    """values: (depths, runs)."""
    draw_band(ax, x, np.transpose(values), colour=colour, marker="o", ms=4, **line)


def explain(ax: Any, styles: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color="0.3", ls=style, label=label) for label, style in styles.items()]
    ax.legend(handles=lines, frameon=False, fontsize=8)
