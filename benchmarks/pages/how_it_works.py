"""The figure of tiles, epilogue and reduction in README.md: docs/images/how_it_works.png."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

from ..environment import ROOT

PICTURE = ROOT / "docs/images/how_it_works.png"
INK, FAINT, MARK = "#222222", "#c9d3df", "#d1495b"
BLOCKS, TILE = 7, (2, 4)  # of the matrix; row and column of the tile that is shown
SIDE = 3.5  # of the matrix, in inches of the drawing


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], words: str = "") -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=INK, linewidth=1.3))
    axes.text(
        (start[0] + end[0]) / 2, start[1] + 0.12, words, ha="center", va="bottom", fontsize=9, color=INK
    )


def stage(axes: Axes, x: float, title: str, below: str) -> None:
    axes.text(x, 4.25, title, ha="center", va="bottom", fontsize=12, weight="bold", color=INK)
    axes.text(x, -0.25, below, ha="center", va="top", fontsize=9, color=INK, linespacing=1.5)


def draw_rows(axes: Axes, left: float) -> None:
    size = SIDE / BLOCKS
    for block in range(BLOCKS):
        marked = block in TILE
        axes.add_patch(
            Rectangle(
                (left, SIDE - (block + 1) * size), 0.9, size * 0.9, color=MARK if marked else FAINT, lw=0
            )
        )
    axes.text(left + 0.45, SIDE + 0.1, "x  (n, d)", ha="center", fontsize=10, color=INK)


def draw_matrix(axes: Axes, left: float) -> None:
    size = SIDE / BLOCKS
    axes.add_patch(Rectangle((left, 0), SIDE, SIDE, fill=False, edgecolor=INK, linestyle=":", linewidth=1))
    for i in range(BLOCKS):
        for j in range(i, BLOCKS):
            color = MARK if (i, j) == TILE else FAINT
            axes.add_patch(
                Rectangle(
                    (left + j * size, SIDE - (i + 1) * size), size * 0.92, size * 0.92, color=color, lw=0
                )
            )
    axes.text(left + SIDE / 2, SIDE + 0.1, "n x n, never stored", ha="center", fontsize=10, color=INK)


def draw_tile(axes: Axes, left: float, values: np.ndarray, words: str) -> None:
    bottom, side = 0.95, 1.6
    axes.imshow(
        values, extent=(left, left + side, bottom, bottom + side), cmap="viridis", aspect="auto", zorder=2
    )
    axes.add_patch(Rectangle((left, bottom), side, side, fill=False, edgecolor=MARK, linewidth=2, zorder=3))
    axes.text(left + side / 2, bottom + side + 0.12, words, ha="center", fontsize=10, color=INK)


def draw_sums(axes: Axes, left: float, values: np.ndarray) -> None:
    bottom, side = 0.95, 1.6
    rows = values.sum(1, keepdims=True)
    axes.imshow(
        rows, extent=(left, left + 0.22, bottom, bottom + side), cmap="viridis", aspect="auto", zorder=2
    )
    axes.text(left + 0.11, bottom + side + 0.12, "row sums", ha="center", fontsize=10, color=INK)
    for line, formula in enumerate((r"$\sum k\,l$", r"$\sum k\,k$", r"$\sum l\,l$")):
        axes.text(left + 0.55, bottom + 1.3 - 0.5 * line, formula, fontsize=12, va="center", color=INK)


def draw() -> None:
    figure, axes = plt.subplots(figsize=(13, 4.3))
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(14, 3)), rng.normal(size=(14, 3))
    dots = a @ b.T
    distances2 = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * dots
    kernel = np.exp(-distances2 / 8)

    draw_rows(axes, 0)
    draw_matrix(axes, 1.5)
    stage(axes, 2.5, "walk over tiles", "two blocks of rows at a time, i ≤ j,\non any thread, in any order")
    arrow(axes, (5.2, 1.75), (5.95, 1.75))
    draw_tile(axes, 6.1, dots, r"$\langle x_i, x_j\rangle$")
    arrow(axes, (7.85, 1.75), (8.75, 1.75), "in place")
    draw_tile(axes, 8.9, kernel, r"$k = e^{-|x_i - x_j|^2 / 2\sigma^2}$")
    stage(
        axes,
        8.3,
        "epilogue",
        "the kernel function, or the exp of a logit,\nwhile the tile is in cache; float32",
    )
    arrow(axes, (10.65, 1.75), (11.4, 1.75))
    draw_sums(axes, 11.65, kernel)
    stage(axes, 12.1, "reduction", "a few numbers a tile, merged\nin the order of tiles; float64")
    arrow(axes, (13.0, 1.75), (13.7, 1.75))
    axes.text(13.85, 1.75, "HSIC, CKA,\na loss,\na gradient", fontsize=11, va="center", color=INK)
    axes.set_xlim(-0.1, 15.3)
    axes.set_ylim(-0.95, 4.75)
    axes.axis("off")
    figure.tight_layout(pad=0.2)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
