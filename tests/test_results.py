"""A LayerMatrix can be plotted, written and read again; files of other content raise an error."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from commands import read_csv
from gramless import LayerMatrix

matplotlib.use("agg")
SUFFIXES = pytest.mark.parametrize("suffix", [".safetensors", ".json"])


@pytest.fixture
def result():
    matrix = np.array([[1.0, 0.1 + 0.2, np.nan], [-1e-17, 1 / 3, 0.5]])
    settings = {
        "model_a": "Wide",
        "model_b": "Déep",
        "kernel": "Linear()",
        "left_out_a": {"x": "never ran"},
    }
    z = np.array([[5.0, 1.0, np.nan], [-0.5, 1.5, 0.5]])
    settings |= {"pvalue": "chi2", "correction": "Holm", "cells": 5}
    names = ["conv, 1", "fc"], ["a", "b", "c"]
    return LayerMatrix(matrix, *names, settings, 512, z, np.exp(-z), np.minimum(5 * np.exp(-z), 1))


@SUFFIXES
def test_saving_and_loading_keeps_everything(result, tmp_path, suffix):
    path = tmp_path / f"result{suffix}"
    result.save(path)
    loaded = LayerMatrix.load(path)
    for name in ("matrix", "z", "pvalue", "pvalue_corrected"):
        assert np.array_equal(getattr(loaded, name), getattr(result, name), equal_nan=True)
    assert loaded.n == 512
    assert (loaded.layers_a, loaded.layers_b) == (result.layers_a, result.layers_b)
    assert loaded.settings == result.settings
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_other_programs_read_the_file(result, tmp_path):
    result.save(tmp_path / "result.safetensors")
    load_file = pytest.importorskip("safetensors.numpy").load_file
    assert np.array_equal(load_file(tmp_path / "result.safetensors")["matrix"], result.matrix, equal_nan=True)
    result.save(tmp_path / "result.json")
    record = json.loads((tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert record["matrix"][0] == [1.0, 0.1 + 0.2, None]


def edited(result, path, **changes):
    path.unlink(missing_ok=True)  # a file that is not a result is not replaced
    result.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=r"^LayerMatrix.load: result.json [^\n]*$") as error:
        LayerMatrix.load(path)
    return str(error.value)


def test_files_of_another_version_or_format_are_refused(result, tmp_path):
    path = tmp_path / "result.json"
    assert edited(result, path, version=2).endswith(
        "has version 2 of the format, but this gramless reads version 1"
    )
    assert "holds no LayerMatrix" in edited(result, path, format="other")
    assert "is damaged (a matrix (2, 3), a z (2, 3), " in edited(result, path, layers_a=["one"])
    assert "is damaged" in edited(result, path, matrix="x")
    assert "is damaged" in edited(result, path, settings=3)


def test_a_safetensors_file_of_another_version_is_refused(result, tmp_path, monkeypatch):
    monkeypatch.setattr("gramless._result_files.VERSION", 7)
    result.save(tmp_path / "result.safetensors")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has version 7 of the format, but this gramless reads version 1"):
        LayerMatrix.load(tmp_path / "result.safetensors")


@SUFFIXES
def test_damaged_files_are_refused_in_a_sentence(result, tmp_path, suffix):
    path = tmp_path / f"result{suffix}"
    result.save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:-9], whole[:40], b"[1]", b"\xff" * 60, whole[:8] + b"{}" + whole[10:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^LayerMatrix.load: result") as error:
            LayerMatrix.load(path)
        assert "\n" not in str(error.value)


def test_safetensors_of_others_are_refused(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"matrix": np.eye(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="holds no LayerMatrix"):
        LayerMatrix.load(tmp_path / "other.safetensors")


def test_the_record_of_the_command_is_named(tmp_path):
    pytest.importorskip("click")
    commands = pytest.importorskip("commands")
    np.savez(tmp_path / "x.npz", one=np.random.default_rng(0).standard_normal((20, 3)))
    done = commands.run("compare", tmp_path / "x.npz", "--quiet", "--json", tmp_path / "found.json")
    assert done.exit_code == 0
    with pytest.raises(ValueError, match=r"the output of gramless compare --json; read it with json.load$"):
        LayerMatrix.load(tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["cka"] == [[pytest.approx(1)]]


def test_other_suffixes_are_refused(result, tmp_path):
    with pytest.raises(ValueError, match=r"save: the file must end in .safetensors or .json but is 'x.pkl'"):
        result.save(tmp_path / "x.pkl")
    with pytest.raises(ValueError, match="load: the file must end in"):
        LayerMatrix.load("x.pkl")
    with pytest.raises(FileNotFoundError):
        LayerMatrix.load(tmp_path / "none.json")


def test_csv_holds_every_digit(result, tmp_path):
    result.to_csv(tmp_path / "matrix.csv")
    names_a, names_b, matrix = read_csv((tmp_path / "matrix.csv").read_text())
    assert (names_a, names_b) == (result.layers_a, result.layers_b)
    assert np.array_equal(matrix, result.matrix, equal_nan=True)


def test_plot_draws_names_and_settings(result):
    ax = result.plot(mark_best=True)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["conv, 1", "fc"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("Wide", "Déep")
    assert ax.get_title() == "CKA (linear, n = 512)"
    caption = ax.texts[-1].get_text().splitlines()
    assert caption == [
        "hatched: within chance (corrected p > 0.05; chi2, Holm over 5 cells)",
        "left out: 'x' (never ran) of a",
    ]
    assert len(ax.collections) == 1
    assert len(ax.collections[0].get_paths()) == 4
    assert result.plot(ax=ax, title="mine", colorbar=False).get_title() == "mine"
    matplotlib.pyplot.close("all")


def test_a_dataframe_has_the_names(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda data, **axes: (data, axes)))
    data, axes = result.to_dataframe()
    assert data is result.matrix
    assert axes == {"index": result.layers_a, "columns": result.layers_b}
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_dataframe: needs pandas, which is not installed"):
        result.to_dataframe()


def test_what_it_is_shows(result):
    assert repr(result) == (
        "LayerMatrix(2 x 3 layers, model_a=Wide, model_b=Déep, kernel=Linear(), n=512, 4 within chance, "
        "left out: 'x' (never ran) of a)"
    )
