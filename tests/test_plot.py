"""Heatmaps stay readable at every size: labels do not overlap, values fit their cells, nothing is cut off."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from gramless import LayerMatrix
from gramless.plot import heatmap, save_figure

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("agg")

SIZES = [(1, 1), (1, 9), (9, 1), (3, 3), (18, 23), (30, 5), (100, 100)]


def names(count: int, prefix: str = "encoder.layer.") -> list[str]:
    return [f"{prefix}{index}" for index in range(count)]


def band(rows: int, columns: int) -> np.ndarray:
    i, j = np.linspace(0, 1, rows)[:, None], np.linspace(0, 1, columns)[None]
    return np.exp(-(((i - j) / 0.3) ** 2)) - 0.01


def boxes(texts: list) -> list:
    return [text.get_window_extent() for text in texts if text.get_text()]


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_labels_never_overlap(rows, columns):
    ax = heatmap(band(rows, columns), names(rows), names(columns))
    ax.figure.draw_without_rendering()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        found = boxes(labels)
        assert found
        assert not any(a.overlaps(b) for a, b in pairwise(found))


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_nothing_is_cut_off(rows, columns):
    ax = heatmap(
        band(rows, columns),
        names(rows),
        names(columns),
        title="CKA",
        label_a="A",
        label_b="B",
        mark_best=True,
    )
    ax.figure.draw_without_rendering()
    inner = ax.get_tightbbox()
    for child in ax.child_axes:
        inner = inner.union([inner, child.get_tightbbox()])
    outer = ax.figure.bbox
    assert inner.x0 >= 0
    assert inner.y0 >= 0
    assert inner.x1 <= outer.x1
    assert inner.y1 <= outer.y1


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_values_are_written_only_where_they_fit(rows, columns):
    ax = heatmap(band(rows, columns))
    ax.figure.draw_without_rendering()
    assert len(ax.texts) == (0 if rows * columns > 225 else rows * columns)
    cell = ax.get_window_extent().width / columns
    for text in ax.texts:
        assert text.get_window_extent().width < cell
        assert text.get_fontsize() >= 5


def test_the_first_layers_meet_at_the_lower_left():
    ax = heatmap([[1.0, 0.2], [0.3, 0.4]], ["a0", "a1"], ["b0", "b1"])
    corner = ax.transData.transform((0, 0))
    assert (corner < ax.transData.transform((1, 1))).all()
    assert [text.get_text() for text in ax.texts] == ["1.00", "0.20", "0.30", "0.40"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a0", "a1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b0", "b1"]


def test_text_is_dark_on_bright_cells_and_bright_on_dark_ones():
    ax = heatmap([[0.0, 1.0, np.nan]])
    assert [text.get_color() for text in ax.texts] == ["white", "black", "black"]


def test_cka_has_a_fixed_scale_and_other_values_their_own():
    assert heatmap([[0.4, 0.6]]).images[0].get_clim() == (0, 1)
    assert heatmap([[-0.02, 0.6]]).images[0].get_clim() == (0, 1)
    assert heatmap([[3.0, 12.0]]).images[0].get_clim() == (3, 12)
    assert heatmap([[0.4, 0.6]], vmin=0.5, vmax=0.9).images[0].get_clim() == (0.5, 0.9)
    assert heatmap([[5.0, 5.0]]).images[0].get_clim() == (5, 6)


def test_values_near_zero_have_no_sign():
    assert heatmap([[-0.001]]).texts[0].get_text() == "0.00"


def test_best_matches_are_outlined_row_by_row():
    ax = heatmap([[0.1, 0.9], [np.nan, np.nan], [0.8, np.nan]], mark_best=True)
    assert [patch.get_xy() for patch in ax.patches] == [(0.5, -0.5), (-0.5, 1.5)]


@pytest.mark.parametrize("matrix", [[[np.nan, np.nan]], [[np.inf, 1.0]], [[-np.inf, np.inf]]])
def test_values_that_are_not_finite_are_drawn(matrix):
    heatmap(matrix, mark_best=True).figure.draw_without_rendering()


def test_names_are_text_and_not_markup():
    ax = heatmap([[1.0]], ["$\\frac{"], ["x_{1}$"], title="$\\nope$", label_a="$^$", label_b="%")
    ax.figure.draw_without_rendering()
    assert ax.get_yticklabels()[0].get_text() == "$\\frac{"


def test_long_names_lose_their_middle():
    label = heatmap([[1.0]], ["first" + "x" * 100 + "last"]).get_yticklabels()[0].get_text()
    assert label.startswith("first")
    assert label.endswith("last")
    assert len(label) < 40


def test_axes_of_the_caller_are_used_whatever_their_layout():
    for layout in (None, "tight", "constrained"):
        figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout=layout)
        assert heatmap(band(6, 6), names(6), ax=axes[1]) is axes[1]
        figure.draw_without_rendering()
        assert not axes[0].images


def test_one_list_of_names_serves_a_square_matrix():
    ax = heatmap(np.eye(2), ["a", "b"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0],), r"matrix must have two dimensions and values but has shape \(2,\)"),
        ((np.zeros((0, 3)),), r"has shape \(0, 3\)"),
        ((np.eye(2), ["a"]), "names_a has 1 names but the matrix has 2 rows"),
        ((np.eye(2), ["a", "b"], ["c"]), "names_b has 1 names but the matrix has 2 columns"),
    ],
)
def test_shapes_that_do_not_fit_are_one_sentence(arguments, message):
    with pytest.raises(ValueError, match="heatmap: .*" + message):
        heatmap(*arguments)


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        (np.eye(2) * 1j, "has dtype complex128"),
        ([["a"]], r"is list \(could not convert string to float: .*\)"),
        ([[1.0], [1.0, 2.0]], r"is list \(.*inhomogeneous.*\)"),
        ({"a": 1}, r"is dict \(.*\)"),
    ],
)
def test_what_holds_no_real_numbers_is_one_sentence(matrix, found):
    with pytest.raises(TypeError, match=f"^heatmap: matrix must hold real numbers but {found}$"):
        heatmap(matrix)


def test_a_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        heatmap([[1.0]])


def test_many_cells_are_a_texture_and_hold_no_numbers():
    for size, written in ((15, 225), (16, 0), (40, 0)):
        ax = heatmap(band(size, size), ax=plt.figure(figsize=(20, 20)).add_subplot())
        assert len(ax.texts) == written
        plt.close(ax.figure)
    assert len(heatmap(band(16, 16), annotate=True).texts) == 256


def test_a_colour_bar_says_what_its_numbers_are():
    [bar] = heatmap([[1.0]], colorbar_label="CKA").child_axes
    assert bar.get_ylabel() == "CKA"
    found = LayerMatrix(np.eye(2), ["a", "b"], ["a", "b"])
    assert [child.get_ylabel() for child in found.plot().child_axes] == ["CKA"]
    [bar] = heatmap([[1.0]]).child_axes
    assert bar.get_ylabel() == ""


@pytest.mark.parametrize("suffix", ["pdf", "ps", "eps"])
def test_files_for_papers_hold_fonts_that_can_be_edited(tmp_path, suffix):
    path = tmp_path / f"map.{suffix}"
    save_figure(heatmap([[1.0, 0.5]], ["layer"]).figure, path)
    content = path.read_bytes()
    assert b"/Type3" not in content
    assert b"FontType 3" not in content
    assert b"/CIDFontType2" in content or b"/FontType 42" in content
