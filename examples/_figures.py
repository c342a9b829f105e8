"""Shared by the figures of the studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from _study import mean_and_spread

SEED = "0.2"  # the grey of points of single seeds


def draw_means(
    ax: Any, names: Sequence[str], values: Sequence[Sequence[float]], colours: Sequence[str]
) -> None:
    """A line for each name: the mean in per cent and its spread, with a point for each seed. They are not
    bars, because the axis need not begin at 0.
    """
    for place, (shares, colour) in enumerate(zip(values, colours, strict=True)):
        found = [100 * share for share in shares]
        mean, spread = mean_and_spread(found)
        ax.errorbar(mean, place, xerr=spread, fmt="D", color=colour, ms=8, capsize=4, lw=1.8)
        if len(found) > 1:
            ax.plot(found, [place] * len(found), "o", color=SEED, ms=3, zorder=3)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)  # the first name is on top
    ax.grid(alpha=0.3)


def draw_band(ax: Any, x: Sequence[float], values: Any, *, colour: str, **line: Any) -> None:
    """The mean over the rows of values (runs, points) as a line, and their range as a band."""
    array = np.asarray(values, float)
    ax.plot(x, array.mean(0), color=colour, **line)
    ax.fill_between(x, array.min(0), array.max(0), color=colour, alpha=0.12, lw=0)


def seeds(count: int, shown: str = "mean and spread") -> str:
    return f"{count} seeds: {shown}" if count > 1 else "one seed"
