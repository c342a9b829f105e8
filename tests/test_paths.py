"""Names that no file can have raise one error with the argument, in every function that takes a path."""

from __future__ import annotations

import os
import re

import gramless as gl
import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("matplotlib").use("agg")
torch = pytest.importorskip("torch")

from commands import refused  # noqa: E402
from disks import names_in  # noqa: E402
from gramless.cli.files import open_layers  # noqa: E402
from gramless.compat import CKA  # noqa: E402
from gramless.plot import heatmap, save_figure  # noqa: E402
from gramless.torch import compare_models  # noqa: E402

LAYERS = [np.random.default_rng(0).standard_normal((12, d)) for d in (4, 3)]
TENSORS = [torch.from_numpy(x) for x in LAYERS]
NET = torch.nn.Linear(4, 3)
RESULT = gl.LayerMatrix(np.eye(2), ["a", "b"], ["c", "d"])
BATCHES = [torch.from_numpy(LAYERS[0]).float()]


def compared(**options):
    return compare_models(NET, None, BATCHES, progress=False, **options)


def plotted(path):
    cka = CKA(NET, NET)
    cka._result = RESULT
    cka.plot_results(save_path=path)


TAKE_PATHS = {  # function and argument, which begin the sentence, and the call
    "cka_matrix: checkpoint": lambda path: gl.cka_matrix(LAYERS, checkpoint=path),
    "hsic_matrix: checkpoint": lambda path: gl.hsic_matrix(TENSORS, checkpoint=path),
    "layer_matrix: checkpoint": lambda path: gl.layer_matrix({"one": LAYERS[0]}, checkpoint=path),
    "compare_models: checkpoint": lambda path: compared(checkpoint=path),
    "compare_models: folder": lambda path: compared(folder=path),
    "LayerMatrix.save: path": RESULT.save,
    "LayerMatrix.load: path": gl.LayerMatrix.load,
    "LayerMatrix.to_csv: path": RESULT.to_csv,
    "save_figure: path": lambda path: save_figure(heatmap([[1.0]]).figure, path),
    "CKA.plot_results: save_path": plotted,
    "open_layers: path": open_layers,
}
NAMES = {
    "long" * 100 + ".json": r"'(long){10}\.\.\.(ong)(long){8}\.json' is longer than a name can be here",
    "/" + "d/" * 2500 + "x.json": r"'/d/.*/x\.json' is longer than a name can be here",
    "nul\0.json": r"'nul\\x00.json' holds a NUL character",
    "lone\ud800.json": r"'lone\\ud800.json' has characters that no name of a file has",
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert names_in(tmp_path) in ([], ["a.npz"])


@pytest.mark.parametrize("what", TAKE_PATHS)
def test_a_name_that_no_file_can_have_is_one_sentence(what):
    for name, part in NAMES.items():
        with pytest.raises(ValueError, match=rf"^{re.escape(what)} must be a path but {part}$"):
            TAKE_PATHS[what](name)
    for wrong in (3, b"bytes", ["a"]):
        with pytest.raises(
            TypeError, match=rf"^{re.escape(what)} must be a path but is {re.escape(repr(wrong))}$"
        ):
            TAKE_PATHS[what](wrong)


@pytest.mark.parametrize("argument", ["A", "B", "--csv", "--json", "--out", "--checkpoint", "--out of demo"])
def test_the_command_says_the_same(argument, tmp_path):
    np.savez(tmp_path / "a.npz", one=LAYERS[0])
    for name, part in NAMES.items():
        calls = {
            "A": ["compare", name],
            "B": ["compare", "a.npz", name],
            "--out of demo": ["demo", "--out", name],
        }
        sentence = refused(*calls.get(argument, ["compare", "a.npz", argument, name]))
        assert re.fullmatch(rf"Error: {argument.split()[0]} must be a path but {part}", sentence)


def test_a_path_may_be_anything_that_names_a_file(tmp_path):
    """An entry of a folder listed by bytes, and a name that is not valid in the system's encoding."""
    (tmp_path / "folder").mkdir()
    RESULT.save(tmp_path / "folder" / "x.json")
    with os.scandir(os.fsencode(tmp_path / "folder")) as entries:
        assert gl.LayerMatrix.load(next(entries)).layers_a == ["a", "b"]
    odd = os.fsdecode(b"\xff.json")
    RESULT.save(tmp_path / "folder" / odd)
    assert gl.LayerMatrix.load(tmp_path / "folder" / odd).layers_b == ["c", "d"]
    longest = "x" * 250 + ".json"
    RESULT.save(tmp_path / "folder" / longest)
    RESULT.save(tmp_path / "folder" / longest)  # through another name
    assert len(names_in(tmp_path / "folder")) == 3
    for path in (tmp_path / "folder").iterdir():
        path.unlink()
    (tmp_path / "folder").rmdir()
