"""The picture of depth_pathology.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gramless.plot import MARK, heatmap, save_figure

COLOURS = {"first component's share of variance": "#4c72b0", "linear probe": "#c44e52"}


def draw(numbers: dict[str, Any], out: Path) -> None:
    """For each depth and training time: matrices before and after the component is removed, means over seeds,
    and by layer the component's share and the probe, a line for each seed.
    """
    from matplotlib import pyplot

    shown = [
        (f"{depth} layers, {epochs} epochs", found)
        for epochs, depths in numbers["epochs"].items()
        for depth, found in depths.items()
    ]
    figure, axes = pyplot.subplots(
        3, len(shown), figsize=(3.3 * len(shown), 8.6), squeeze=False, height_ratios=(1, 1, 0.6),
        layout="constrained",
    )  # fmt: skip
    for (title, found), (before, after, lines) in zip(shown, axes.T, strict=True):
        draw_matrices(before, after, found, title)
        draw_lines(lines, found)
    axes[2, 0].legend(frameon=False, fontsize=7)
    figure.colorbar(axes[0, 0].images[0], ax=axes[:2], label="unbiased linear CKA", aspect=40)
    seeds = len(shown[0][1]["networks"])
    figure.suptitle(
        f"{numbers['data']}, plain networks with themselves, mean over {seeds} seeds;\n"
        f"the first seed's block above {numbers['threshold']} is outlined, and shaded below"
    )
    save_figure(figure, out, dpi=70)


def draw_matrices(before: Any, after: Any, found: dict[str, Any], title: str) -> None:
    from matplotlib.patches import Rectangle

    networks = list(found["networks"].values())
    right = np.mean([network["accuracy"] for network in networks])
    for ax, which in ((before, "before"), (after, "after")):
        mean = np.mean([network["matrices"][which] for network in networks], axis=0)
        label = f"{title}: {right:.1%}" if which == "before" else "without the first component"
        heatmap(mean, ax=ax, title=label, annotate=False, colorbar=False, vmin=0, vmax=1)
        start, stop = networks[0]["blocks"][which]
        side = stop - start
        ax.add_patch(
            Rectangle((start - 0.5, start - 0.5), side, side, fill=False, edgecolor=MARK, linewidth=1.8)
        )


def draw_lines(ax: Any, found: dict[str, Any]) -> None:
    for network in found["networks"].values():
        for (label, colour), key in zip(COLOURS.items(), ("fraction", "probe"), strict=True):
            known = ax.get_legend_handles_labels()[1]
            ax.plot(network[key], "o-", ms=2.5, lw=1, color=colour, label=None if label in known else label)
    ax.axvspan(*(edge - 0.5 for edge in next(iter(found["networks"].values()))["blocks"]["before"]),
               color=MARK, alpha=0.12, lw=0)  # fmt: skip
    ax.set(xlabel="layer", ylim=(0, 1))
    ax.grid(alpha=0.3)
