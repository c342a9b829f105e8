"""What is drawn with a heatmap: best cells, cells within chance, a caption, a colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

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
    """A choice of cells of a matrix of this shape."""
    cells = np.asarray(argument)
    if cells.dtype.kind != "b":
        raise TypeError(f"heatmap: within_chance must hold True and False but has dtype {cells.dtype}")
    if cells.shape != shape:
        raise ValueError(f"heatmap: within_chance has shape {cells.shape} but the matrix has shape {shape}")
    return cells


def hatch(ax: Axes, cells: npt.NDArray[np.bool_]) -> None:
    """Hatch these cells, in one collection however many they are."""
    from matplotlib.collections import PolyCollection

    square = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    corners = np.argwhere(cells)[:, None, ::-1] + square
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": HATCH_COLOR, "linewidths": 0}
    ax.add_collection(PolyCollection(list(corners), hatch=HATCH, zorder=1.5, **style), autolim=False)


def write_caption(ax: Axes, text: str) -> None:
    """Lines below the label of the horizontal axis."""
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
    """A bar beside the axes, as high as they are."""
    low, high = image.get_clim()
    below, above = bool((values < low).any()), bool((values > high).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    figure = ax.get_figure(root=True)
    assert figure is not None  # the image has been drawn
    box = ax.get_window_extent()
    inch = figure.dpi / box.width  # in units of the width of the axes
    bar = ax.inset_axes((1 + 0.08 * inch, 0, 0.11 * inch, 1))
    figure.colorbar(image, cax=bar, extend=extend, extendfrac=0.1 * figure.dpi / box.height)
    bar.tick_params(labelsize=8, length=2)
    if label is not None:
        bar.set_ylabel(label, fontsize=9, parse_math=False)
