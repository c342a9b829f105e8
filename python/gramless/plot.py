"""Figures of layer x layer matrices, which need matplotlib and do not depend on how a matrix was computed.

The first layers of both models are at the lower left, as in the papers: rows run upwards, columns to the
right.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from . import _files, _plot_marks
from ._paths import as_path
from ._plot_marks import GLYPH_HEIGHT, GLYPH_WIDTH, LARGEST_FONT, SMALLEST_FONT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["heatmap", "save_figure"]


def __dir__() -> list[str]:
    return sorted(__all__)


POINTS_PER_INCH = 72
LONGEST_LABEL = 36  # characters
MOST_VALUES = 225  # cells into which values are written; more could not be read
MARK = _plot_marks.MARK
MISSING = "0.82"  # NaN cells: a grey that perceptually uniform maps do not contain


def heatmap(
    matrix: npt.ArrayLike,
    names_a: Sequence[str] | None = None,
    names_b: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    label_a: str | None = None,
    label_b: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    annotate: bool | Literal["auto"] = "auto",
    mark_best: bool = False,
    within_chance: npt.ArrayLike | None = None,
    intervals: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    caption: str | None = None,
    stages_a: Sequence[int] = (),
    stages_b: Sequence[int] = (),
    colorbar: bool = True,
    colorbar_label: str | None = None,
) -> Axes:
    """Draw a layer x layer matrix (La, Lb), such as that of `cka_matrix`, and return its axes.

    Row i of the matrix is layer i of model A, drawn upwards from the lower left; columns are the layers of
    model B.

    Parameters
    ----------
    matrix : array (La, Lb)
        The values, for example CKA.
    names_a, names_b : sequence of str, optional
        The names of the La rows and the Lb columns. None numbers them, or uses names_a for both if only
        names_b is None and the matrix is square. If not all names fit, every second, third, ... is written.
    ax : matplotlib.axes.Axes, optional
        The axes to draw into; None creates a pyplot figure of a readable size.
    title : str, optional
        Text above the axes.
    label_a, label_b : str, optional
        Labels of the vertical and the horizontal axis, such as the names of the models.
    vmin, vmax : float, optional
        The ends of the colour scale. None uses 0 and 1 if all values lie in [-1, 1], as for CKA, otherwise
        the smallest and the largest value. NaN cells are grey.
    annotate : bool or "auto"
        Whether to write the value into every cell; "auto" does so if there are few cells and the text fits.
    mark_best : bool
        Whether to outline the largest value of every row.
    within_chance : array of bool (La, Lb), optional
        The cells to hatch, such as the result of `LayerMatrix.within_chance`.
    intervals : pair of arrays (La, Lb), optional
        The lower and upper bounds of every cell, written below its value if they fit.
    caption : str, optional
        Text below the label of the horizontal axis.
    stages_a, stages_b : sequence of int
        Indices of the layers before which a thin line is drawn.
    colorbar : bool
        Whether to draw a colour bar.
    colorbar_label : str, optional
        The label of the colour bar.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the matrix is not two-dimensional or is empty, or names, cells or intervals do not match its shape.
    TypeError
        If it does not hold real numbers.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> ax = heatmap([[1.0, 0.4], [0.3, 0.9]], ["conv1", "conv2"], ["block1", "block2"], title="CKA")
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['conv1', 'conv2']
    """
    values = _numbers(matrix)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"heatmap: matrix must have two dimensions and values but has shape {values.shape}")
    if names_b is None and names_a is not None and values.shape[0] == values.shape[1]:
        names_b = names_a
    rows, columns = values.shape
    labels_a = _labels("names_a", names_a, rows, "rows")
    labels_b = _labels("names_b", names_b, columns, "columns")
    hatched = None if within_chance is None else _plot_marks.as_cells(within_chance, values.shape)
    ends = None if intervals is None else _plot_marks.as_ends(intervals, values.shape)
    ax = _new_axes(labels_a, labels_b, colorbar) if ax is None else ax
    low, high = _scale(values, vmin, vmax)
    image = ax.imshow(values, cmap=_colormap(), vmin=low, vmax=high, origin="lower", interpolation="nearest")
    ax.set_facecolor(MISSING)
    cell = _cell_points(ax, rows, columns)
    _write_labels(ax, labels_a, labels_b, cell)
    ax.tick_params(length=0)
    ax.set_xlabel(label_b or "", parse_math=False)
    ax.set_ylabel(label_a or "", parse_math=False)
    if title is not None:
        ax.set_title(title, fontsize=10, parse_math=False)
    for row in stages_a:
        ax.axhline(row - 0.5, color="0.75", linewidth=0.6)
    for column in stages_b:
        ax.axvline(column - 0.5, color="0.75", linewidth=0.6)
    if annotate is True or (annotate and values.size <= MOST_VALUES):
        _plot_marks.write_values(ax, image, values, ends, cell, must=annotate is True)
    if mark_best:
        _plot_marks.mark_best(ax, values, cell)
    if hatched is not None and hatched.any():
        _plot_marks.hatch(ax, hatched)
    if colorbar:
        _plot_marks.add_colorbar(ax, image, values, colorbar_label)
    if caption:
        _plot_marks.write_caption(ax, caption)
    return ax


def save_figure(figure: Any, path: str | os.PathLike[str], **options: Any) -> None:
    """Write a matplotlib figure to a file atomically: after a failure an existing file is unchanged.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure to write.
    path : str or path
        Its suffix chooses the format, such as .png, .pdf or .svg; without a suffix matplotlib's default
        format is appended.
    **options
        Passed to `Figure.savefig`, such as dpi.

    Raises
    ------
    ValueError
        If matplotlib does not support the suffix, no file can have this name, or the existing file holds
        data (.npz, .safetensors, ...).
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> save_figure(heatmap([[1.0]]).figure, "cka.png", dpi=50)
    """
    import matplotlib

    target = str(as_path("save_figure: path", path))
    if "format" not in options:
        suffix = os.path.splitext(target)[1]
        options["format"] = suffix[1:].lower() or matplotlib.rcParams["savefig.format"]
        target += "" if suffix else f".{options['format']}"
    _files.check_kind("save_figure", target)
    content = io.BytesIO()
    with matplotlib.rc_context(
        {"pdf.fonttype": 42, "ps.fonttype": 42}
    ):  # TrueType fonts, which vector editors and journals accept
        figure.savefig(content, **options)
    _files.write_file(target, content.getvalue())


def _numbers(matrix: npt.ArrayLike) -> npt.NDArray[np.float64]:
    try:
        values = np.asarray(matrix)
        if values.dtype.kind != "c":
            return values.astype(np.float64)
        found = f"has dtype {values.dtype}"
    except (TypeError, ValueError, RuntimeError) as error:
        found = f"is {type(matrix).__name__} ({error})"
    raise TypeError(f"heatmap: matrix must hold real numbers but {found}")


def _labels(argument: str, names: Sequence[str] | None, count: int, what: str) -> list[str]:
    if names is None:
        return [str(index) for index in range(count)]
    if len(names) != count:
        raise ValueError(f"heatmap: {argument} has {len(names)} names but the matrix has {count} {what}")
    return [_elided(str(name)) for name in names]


def _elided(name: str) -> str:
    half = (LONGEST_LABEL - 1) // 2
    return name if len(name) <= LONGEST_LABEL else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def _new_axes(labels_a: list[str], labels_b: list[str], colorbar: bool) -> Axes:
    """Axes in a new pyplot figure whose cells are readable and whose margins hold the labels."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("heatmap: needs matplotlib: pip install matplotlib") from error
    rows, columns = len(labels_a), len(labels_b)
    cell = min(max(0.36, min(0.8, 3 / max(rows, columns))), 12 / max(rows, columns))
    font, _, flat = _label_style(labels_b, cell * POINTS_PER_INCH)
    letter = GLYPH_WIDTH * font / POINTS_PER_INCH
    left = 0.45 + letter * max(map(len, labels_a))
    bottom = 0.45 + (GLYPH_HEIGHT * font / POINTS_PER_INCH if flat else letter * max(map(len, labels_b)))
    right, top = 0.8 if colorbar else 0.15, 0.4
    width, height = cell * columns, cell * rows
    size = left + width + right, bottom + height + top
    figure = plt.figure(figsize=size)
    return figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))


def _colormap() -> Any:
    import matplotlib

    return matplotlib.colormaps["magma"].with_extremes(bad=MISSING)


def _scale(values: npt.NDArray[np.float64], vmin: float | None, vmax: float | None) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0 or np.abs(finite).max() <= 1 + 1e-6:
        low, high = 0.0, 1.0
    else:
        low, high = float(finite.min()), float(finite.max())
    low, high = low if vmin is None else vmin, high if vmax is None else vmax
    return low, high if high > low else low + 1.0


def _figure_of(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("heatmap: ax has been removed from its figure")
    return figure


def _cell_points(ax: Axes, rows: int, columns: int) -> float:
    """The side of a cell in points, at the current size of the figure."""
    figure = _figure_of(ax)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # places the axes
    ax.apply_aspect()
    box = ax.get_window_extent()
    return min(box.width / columns, box.height / rows) * POINTS_PER_INCH / figure.dpi


def _label_style(labels_b: list[str], cell: float) -> tuple[float, int, bool]:
    """The font size, the step between written labels, and whether horizontal labels need no rotation."""
    font = float(np.clip(0.8 * cell, SMALLEST_FONT + 0.5, LARGEST_FONT))
    step = max(1, math.ceil(GLYPH_HEIGHT * font / cell))
    return font, step, max(map(len, labels_b)) * GLYPH_WIDTH * font < cell * step


def _write_labels(ax: Axes, labels_a: list[str], labels_b: list[str], cell: float) -> None:
    font, step, flat = _label_style(labels_b, cell)
    style: dict[str, Any] = {"fontsize": font, "parse_math": False}
    ax.set_yticks(range(0, len(labels_a), step), labels_a[::step], **style)
    ax.set_xticks(range(0, len(labels_b), step), labels_b[::step], rotation=0 if flat else 90, **style)
