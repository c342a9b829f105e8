"""Files are written completely or not at all, and never over an input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gramless
import numpy as np
import pytest
from disks import full_disk, names_in
from gramless import _files

pytest.importorskip("click")
pytest.importorskip("rich")
from commands import read_csv, refused, run


@pytest.fixture
def saved(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", first=rng.normal(size=(40, 6)), second=rng.normal(size=(40, 3)))
    return tmp_path / "a.npz"


@pytest.mark.parametrize("option", ["--csv", "--out", "--checkpoint"])
def test_an_output_never_replaces_an_input(saved, tmp_path, option):
    before = saved.read_bytes()
    suffix = ".png" if option == "--out" else ".csv"
    os.symlink(saved, tmp_path / f"symbolic{suffix}")
    os.link(saved, tmp_path / f"hard{suffix}")
    (tmp_path / "sub").mkdir()
    for name in (f"symbolic{suffix}", f"hard{suffix}"):
        for path in (tmp_path / name, tmp_path / "sub" / ".." / name):
            assert "which is read" in refused("compare", saved, option, path)
            assert "which is read" in refused("compare", saved, saved, option, path)
    if option != "--out":
        assert "which is read" in refused("compare", saved, option, saved)
    assert saved.read_bytes() == before


def test_an_output_never_replaces_the_layers_of_a_folder(tmp_path):
    (tmp_path / "acts").mkdir()
    np.save(tmp_path / "acts" / "layer.npy", np.eye(9))
    os.link(tmp_path / "acts" / "layer.npy", tmp_path / "matrix.csv")
    assert "which is read" in refused("compare", tmp_path / "acts", "--csv", tmp_path / "matrix.csv")
    assert "which is read" in refused("compare", tmp_path / "acts", "--csv", tmp_path / "acts" / "layer.npy")
    assert "is a folder" in refused("compare", tmp_path / "acts", "--csv", tmp_path)
    assert np.load(tmp_path / "acts" / "layer.npy").shape == (9, 9)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".pt", ".PTH", ".h5", ".json"])
def test_an_output_has_no_suffix_of_a_data_format(saved, tmp_path, suffix):
    for existing in (False, True):
        if existing:
            (tmp_path / f"other{suffix}").write_text("weights")
        sentence = refused("compare", saved, "--csv", tmp_path / f"other{suffix}")
        assert f"has the suffix of a data format, {suffix.lower()}" in sentence
    os.symlink(tmp_path / f"other{suffix}", tmp_path / "link.csv")
    assert "suffix of a data format" in refused("compare", saved, "--csv", tmp_path / "link.csv")
    assert (tmp_path / f"other{suffix}").read_text() == "weights"


def test_data_under_another_suffix_is_not_replaced(saved, tmp_path):
    for content in (
        saved.read_bytes(),
        b"\x93NUMPY\x01\x00v\x00",
        b'\x10\x00\0\0\0\0\0\0{"x":{}}',
        b"\x80\x04K.",
    ):
        for name, option in (("weights.csv", "--csv"), ("weights.png", "--out")):
            (tmp_path / name).write_bytes(content)
            assert "holds data of another kind" in refused("compare", saved, option, tmp_path / name)
            assert (tmp_path / name).read_bytes() == content


def test_outputs_differ_from_each_other(saved, tmp_path):
    both = tmp_path / "both.png"
    assert "which is read" in refused("compare", saved, "--out", both, "--csv", tmp_path / "." / "both.png")
    assert "which is read" in refused("compare", saved, "--out", both, "--checkpoint", both)
    assert names_in(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("option", ["--csv", "--out", "--checkpoint"])
def test_where_a_folder_cannot_be_written_nothing_is_computed(saved, monkeypatch, tmp_path, option):
    monkeypatch.setattr(gramless, "cka_matrix", lambda *_, **__: pytest.fail("it was computed"))
    name = "x.png" if option == "--out" else "x.csv"
    assert "cannot be written" in refused("compare", saved, option, f"/proc/{name}")
    assert "longer than a name" in refused("compare", saved, option, tmp_path / ("long" * 100 + name))
    assert "folder" in refused("compare", saved, option, tmp_path / "missing" / name)
    assert "folder" in refused("compare", saved, option, saved / name)
    if os.geteuid() != 0:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        assert "cannot be written (Permission denied)" in refused("compare", saved, option, closed / name)


def test_permissions_are_those_of_the_process():
    """Runs as another user if this one is root."""
    script = """
import os, pathlib, sys, tempfile
from gramless._files import check_output
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "closed").mkdir()
(folder / "old.csv").write_text("old")
(folder / "old.csv").chmod(0o444)
(folder / "closed").chmod(0o555)
folder.chmod(0o777)
if os.geteuid() == 0:
    os.seteuid(65534)
for path in (folder / "closed" / "x.csv", folder / "old.csv"):
    try:
        check_output("--csv", path)
    except ValueError as error:
        print(str(error).rpartition(" cannot")[2])
check_output("--csv", folder / "new.csv")
print(sorted(os.listdir(folder)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        " be written (Permission denied)",
        " be written (Permission denied)",
        "['closed', 'old.csv']",
    ]


@pytest.mark.parametrize("kind", ["csv", "png", "safetensors", "json", "to_csv"])
def test_a_full_disk_keeps_the_old_file(saved, tmp_path, kind):
    pytest.importorskip("matplotlib")
    pytest.importorskip("torch")
    from gramless import LayerMatrix

    first, second = (LayerMatrix(np.eye(2) * k, ["a", "b"], ["c", "d"]) for k in (1, 2))
    path = tmp_path / f"result.{'csv' if kind == 'to_csv' else kind}"
    options = {"csv": "--csv", "png": "--out"}

    def write(result):
        if kind in options:
            return run("compare", saved, options[kind], path)
        return result.to_csv(path) if kind == "to_csv" else result.save(path)

    write(first)
    before = path.read_bytes()
    assert before
    for most_bytes in (0, 10):
        with full_disk(most_bytes):
            if kind in options:
                assert f"File too large: '{path}'" in refused("compare", saved, options[kind], path)
            else:
                with pytest.raises(OSError, match=r"File too large: '.*result\."):
                    write(second)
        assert path.read_bytes() == before
    assert names_in(tmp_path) == ["a.npz", path.name]


def test_links_are_followed_and_permissions_kept(saved, tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "real.csv").chmod(0o640)
    (tmp_path / "link.csv").symlink_to("real.csv")
    run("compare", saved, "--csv", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert read_csv((tmp_path / "real.csv").read_text())[0] == ["first", "second"]
    assert (tmp_path / "real.csv").stat().st_mode & 0o777 == 0o640
    (tmp_path / "to_come.csv").symlink_to("sub.csv")
    run("compare", saved, "--csv", tmp_path / "to_come.csv")
    assert (tmp_path / "to_come.csv").is_symlink()
    before = os.umask(0o027)
    try:
        run("compare", saved, "--csv", tmp_path / "new.csv")
    finally:
        os.umask(before)
    assert (tmp_path / "new.csv").stat().st_mode & 0o777 == 0o640


def test_devices_and_pipes_are_written_to_and_stay(saved, tmp_path):
    assert run("compare", saved, "--csv", "/dev/null").exit_code == 0
    assert not Path("/dev/null").is_file()
    assert "No space left on device: '/dev/full'" in refused("compare", saved, "--csv", "/dev/full")
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    run("compare", saved, "--csv", tmp_path / "pipe")
    assert read_csv(reader.communicate(timeout=20)[0])[0] == ["first", "second"]


def test_a_file_without_unnamed_files_is_written_all_the_same(saved, tmp_path, monkeypatch):
    """On file systems that have no O_TMPFILE."""
    monkeypatch.delattr(os, "O_TMPFILE")
    _files.write_file(tmp_path / "x.csv", b"one")
    with full_disk(1), pytest.raises(OSError, match="File too large"):
        _files.write_file(tmp_path / "x.csv", b"two")
    assert (tmp_path / "x.csv").read_bytes() == b"one"
    _files.check_output("--csv", tmp_path / "y.csv")
    assert names_in(tmp_path) == ["a.npz", "x.csv"]


def test_results_do_not_replace_tensors_of_others(tmp_path):
    pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.numpy").save_file
    from gramless import LayerMatrix

    result = LayerMatrix(np.eye(2), ["a", "b"], ["c", "d"])
    save_file({"weight": np.eye(3)}, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"save: model.safetensors holds tensors other than a LayerMatrix"):
        result.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"to_csv: .* has the suffix of a data format"):
        result.to_csv(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == before
    for _ in range(2):  # its own are replaced
        result.save(tmp_path / "result.safetensors")
    assert LayerMatrix.load(tmp_path / "result.safetensors").layers_b == ["c", "d"]


def test_results_do_not_replace_json_of_others(saved, tmp_path):
    pytest.importorskip("torch")
    from gramless import LayerMatrix

    result, file = LayerMatrix(np.eye(2), ["a", "b"], ["c", "d"]), tmp_path / "package.json"
    for content in (b'{"name": "package"}', b"[1, 2]", b"not JSON at all"):
        file.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"^LayerMatrix.save: package.json holds something other than a LayerMatrix"
        ):
            result.save(file)
        done = run("compare", saved, "--json", file)
        assert done.exit_code == 2
        assert "package.json holds data of another kind; name another file" in done.stderr
        assert file.read_bytes() == content
    file.write_bytes(b"")  # as mktemp makes it
    for _ in range(2):  # its own are replaced
        result.save(file)
        assert run("compare", saved, "--json", file, "--quiet").exit_code == 0


def test_figures_are_written_whole_or_not_at_all(tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    from gramless.plot import heatmap, save_figure

    figure = heatmap([[1.0]]).figure
    save_figure(figure, tmp_path / "x")
    before = (tmp_path / "x.png").read_bytes()
    assert before.startswith(b"\x89PNG")
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        save_figure(figure, tmp_path / "x.png", dpi=200)
    with pytest.raises(ValueError, match=r"save_figure: .* suffix of a data format"):
        save_figure(figure, tmp_path / "x.npz")
    assert (tmp_path / "x.png").read_bytes() == before
    assert names_in(tmp_path) == ["x.png"]
