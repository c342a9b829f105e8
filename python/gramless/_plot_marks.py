"""Marks of a heatmap: best cells, cells within chance, values, a caption, a colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

Floats = npt.NDArray[np.float64]

SMALLEST_FONT, LARGEST_FONT = 5.0, 9.0  # points
GLYPH_WIDTH, GLYPH_HEIGHT = 0.64, 1.25  # in units of the font size, with a margin
MARK = "#12b5a6"
HATCH, HATCH_COLOR = "///", "0.5"  # visible on the dark and on the light end of the colours


def mark_best(ax: Axes, values: npt.NDArray[np.float64], cell: float) -> None:
    """Outline the largest value of every row."""
    from matplotlib.patches import Rectangle

    for row, row_values in enumerate(values):
        if np.isfinite(row_values).any():
            corner = (int(np.nanargmax(row_values)) - 0.5, row - 0.5)
            width = float(np.clip(cell / 14, 0.6, 1.6))
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=MARK, linewidth=width, zorder=3))


def as_cells(argument: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """`within_chance` as a boolean array, checked to have the shape of the matrix."""
    cells = np.asarray(argument)
    if cells.dtype.kind != "b":
        raise TypeError(f"heatmap: within_chance must hold True and False but has dtype {cells.dtype}")
    if cells.shape != shape:
        raise ValueError(f"heatmap: within_chance has shape {cells.shape} but the matrix has shape {shape}")
    return cells


def hatch(ax: Axes, cells: npt.NDArray[np.bool_]) -> None:
    """Hatch these cells, all in one collection, which is fast for any number of them."""
    from matplotlib.collections import PolyCollection

    square = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    corners = np.argwhere(cells)[:, None, ::-1] + square
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": HATCH_COLOR, "linewidths": 0}
    ax.add_collection(PolyCollection(list(corners), hatch=HATCH, zorder=1.5, **style), autolim=False)


def write_caption(ax: Axes, text: str) -> None:
    """Write text below the label of the horizontal axis."""
    style: dict[str, Any] = {
        "ha": "center",
        "va": "top",
        "fontsize": "x-small",
        "wrap": True,
        "annotation_clip": False,
        "parse_math": False,
    }
    ax.annotate(text, (0.5, 0), (0, -4), xycoords=ax.xaxis.label, textcoords="offset points", **style)


def add_colorbar(ax: Axes, image: AxesImage, values: npt.NDArray[np.float64], label: str | None) -> None:
    """Add a colour bar beside the axes, with the same height."""
    low, high = image.get_clim()
    below, above = bool((values < low).any()), bool((values > high).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    figure = ax.get_figure(root=True)
    assert figure is not None  # the image has been drawn
    box = ax.get_window_extent()
    inch = figure.dpi / box.width  # one inch in units of the width of the axes
    bar = ax.inset_axes((1 + 0.08 * inch, 0, 0.11 * inch, 1))
    figure.colorbar(image, cax=bar, extend=extend, extendfrac=0.1 * figure.dpi / box.height)
    bar.tick_params(labelsize=8, length=2)
    if label is not None:
        bar.set_ylabel(label, fontsize=9, parse_math=False)


def as_ends(intervals: Any, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """`intervals` as two arrays, checked to have the shape of the matrix."""
    if not isinstance(intervals, (tuple, list)) or len(intervals) != 2:
        raise TypeError("heatmap: intervals must be a pair of arrays, (low, high)")
    low, high = (np.asarray(ends, np.float64) for ends in intervals)
    for name, ends in (("low", low), ("high", high)):
        if ends.shape != shape:
            raise ValueError(
                f"heatmap: intervals has {name} ends of shape {ends.shape} but the matrix has shape {shape}"
            )
    return low, high


def _texts_of(values: Floats, ends: tuple[Floats, Floats] | None) -> list[list[str]]:
    """The text of every cell: its value and, on a second line, its interval."""
    texts = [[_short(value) for value in row] for row in values]
    if ends is None:
        return texts
    for (i, j), low in np.ndenumerate(ends[0]):
        if np.isfinite(low):
            texts[i][j] += f"\n{_short(float(low))} {_short(float(ends[1][i, j]))}"
    return texts


def _short(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}" if abs(value) < 100 else f"{value:.2g}"


def write_values(
    ax: Axes,
    image: AxesImage,
    values: Floats,
    ends: tuple[Floats, Floats] | None,
    cell: float,
    must: bool,
) -> None:
    """Write values into their cells, with their intervals if these fit. must: even if the font is small."""
    texts = _texts_of(values, ends)
    font = _font_of(texts, cell)
    if font < SMALLEST_FONT:
        texts = [[text.split("\n")[0] for text in row] for row in texts]
        font = _font_of(texts, cell)
    if font < SMALLEST_FONT and not must:
        return
    colors = image.to_rgba(values)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue = colors[row, column, :3]
        bright = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18 or np.isnan(value)
        color = "black" if bright else "white"
        text = ax.text(column, row, texts[row][column], ha="center", va="center", color=color, fontsize=font)
        text.set_in_layout(False)  # thousands of texts, all within the axes, would slow the layout engine


def _font_of(texts: list[list[str]], cell: float) -> float:
    lines = [text.split("\n") for row in texts for text in row]
    longest, most = max(len(line) for text in lines for line in text), max(map(len, lines))
    return min(LARGEST_FONT, cell / (longest * GLYPH_WIDTH), cell / (most * GLYPH_HEIGHT))
