"""Names from files: no terminal commands when printed, no formulas in spreadsheets, and distinct."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from gramless._text import csv_text, distinct_printable

pytest.importorskip("click")
pytest.importorskip("rich")
from commands import read_csv, refused, run
from gramless._formats import FileError
from gramless.cli.files import open_layers

ESCAPE = "\x1b]0;owned\x07"


def save(path, layers):
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in layers.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, np.asarray(values))
    return path


def layers(*names, rows=9):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(rows, 3)) for name in names}


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".pt", "/"])
def test_errors_show_no_escape_sequence(tmp_path, suffix):
    path = tmp_path / f"x{ESCAPE}{suffix.strip('/')}"
    if suffix == "/":
        path.mkdir()
        (path / f"{ESCAPE}.npy").write_bytes(b"\x93NUMPY")
    else:
        path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + bytes(100))
    for arguments in (
        ["compare", path],
        ["compare", path, "--csv", path / "x.csv"],
        ["compare", tmp_path / f"missing{ESCAPE}.npz"],
    ):
        sentence = refused(*arguments)
        assert "\x1b" not in sentence
        assert "\x07" not in sentence
        assert "x1b]0;owned" in sentence


def test_names_of_layers_in_errors_show_no_escape_sequence(tmp_path):
    file = save(tmp_path / "x.npz", layers(f"a{ESCAPE}", "b") | {f"c{ESCAPE}": np.zeros(9)})
    for arguments in (["compare", file], ["compare", file, "--layers", f"no{ESCAPE}"]):
        assert "\x1b" not in refused(*arguments)
    short = save(tmp_path / "y.npz", {f"a{ESCAPE}": np.zeros((8, 2))})
    assert "\x1b" not in refused("compare", file, short, "--layers", "a*")
    header = {f"w{ESCAPE}": {"dtype": f"F{ESCAPE}", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    assert "\x1b" not in refused("compare", tmp_path / "x.safetensors")


def test_results_and_their_errors_show_no_escape_sequence(tmp_path):
    pytest.importorskip("torch")
    from gramless import LayerMatrix

    result = LayerMatrix(np.eye(1), [f"a{ESCAPE}"], ["b"], {"model_a": f"Net{ESCAPE}", "kernel": "\u202e"})
    assert repr(result).isprintable()
    assert "x1b]0;owned" in repr(result)
    result.to_csv(tmp_path / "x.csv")
    assert "\x1b" not in (tmp_path / "x.csv").read_text()
    result.save(tmp_path / "x.json")
    assert LayerMatrix.load(tmp_path / "x.json").layers_a == [f"a{ESCAPE}"]
    for suffix in (".json", ".safetensors"):
        path = tmp_path / f"bad{ESCAPE}{suffix}"
        for content in (b"{", b"\xff", json.dumps({"format": ESCAPE}).encode()):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"^LayerMatrix\.load: bad") as found:
                LayerMatrix.load(path)
            assert str(found.value).isprintable()


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
)
def test_no_name_is_a_formula_in_a_spreadsheet(tmp_path, start):
    name = f'{start}HYPERLINK("http://x";1)'
    file = save(tmp_path / "x.npz", layers(name, "b"))
    for names in read_csv(run("compare", file, "--csv", "-").stdout)[:2]:
        assert names[1] == "b"
        assert names[0].startswith(("'", "\\"))
    assert csv_text(np.ones((1, 1)), [name], [name]).splitlines()[1].lstrip('"').startswith(("'", "\\"))


def test_names_with_apostrophes_stay_apart_in_csv(tmp_path):
    names = ["=1", "'=1", "''=1", " =1", "' =1", "'a", "a"]
    file = save(tmp_path / "x.npz", layers(*names))
    written = read_csv(run("compare", file, "--csv", "-").stdout)[0]
    assert len(set(written)) == len(names)
    assert [name[1:] if name.lstrip("' ").startswith("=") else name for name in written] == names


def test_a_name_that_a_zip_file_cuts_short_is_refused(tmp_path):
    file = save(tmp_path / "x.npz", layers("aXb", "ok"))
    file.write_bytes(file.read_bytes().replace(b"aXb.npy", b"a\0b.npy"))
    assert r"the name 'a\x00b.npy' of a layer holds a NUL character" in refused("compare", file)


def test_sizes_beyond_any_file_are_not_shown(tmp_path):
    header = {"w": {"dtype": "F32", "shape": [10**4000], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode()
    (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    assert refused("compare", tmp_path / "x.safetensors").count("0") < 9


def test_names_that_print_alike_are_two_layers(tmp_path):
    names = ["a\x1b", "a\\x1b", "b"]
    file = save(tmp_path / "x.npz", layers(*names))
    names_a, names_b, matrix = read_csv(run("compare", file, "--csv", "-").stdout)
    assert names_a == names_b == ["a\\x1b", "a\\\\x1b", "b"]
    assert matrix.shape == (3, 3)
    assert len(open_layers(file)) == 3
    chosen = read_csv(run("compare", file, "--layers", "a\\\\x1b", "--layers-b", "b", "--csv", "-").stdout)
    assert (chosen[0], chosen[1]) == (["a\\\\x1b"], ["b"])
    assert len(set(distinct_printable([*names, "a\\\\x1b", "\u00e9", "e\u0301"]))) == 6


ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}]


@pytest.mark.parametrize("environment", ASCII)
@pytest.mark.parametrize(
    "arguments", [[], ["--csv", "-"], ["--out", "caf\u00e9.png"], ["--layers", "\u00fc"]]
)
def test_names_beyond_ascii_on_an_ascii_terminal(tmp_path, environment, arguments):
    pytest.importorskip("matplotlib")
    file = save(tmp_path / "caf\u00e9.npz", layers("\u00e9", "\u4e2d\u6587", "\U0001f600"))
    command = [sys.executable, "-m", "gramless", "compare", str(file), *arguments]
    for terminal in (False, True):
        ours, theirs = pty.openpty() if terminal else os.pipe()
        process = subprocess.Popen(
            command,
            stdout=theirs,
            stderr=theirs,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment | {"TERM": "dumb"},
            cwd=tmp_path,
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the width of a terminal
                break
            if not piece:
                break
            shown += piece
        os.close(ours)
        assert process.wait(60) == (2 if "--layers" in arguments else 0), shown
        assert b"Traceback" not in shown
        if "--layers" not in arguments:  # click writes its errors in UTF-8
            assert shown.isascii()
        if not arguments or "--csv" in arguments:
            assert b"\\xe9" in shown


# Sizes that are claimed


def zipped(path, head, filler, length, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("x.npy", "w") as stream:
        stream.write(head)
        for _ in range(length // 2**20):
            stream.write(filler * 2**20)
    return path


def peak_of(call):
    tracemalloc.start()
    try:
        with pytest.raises((FileError, ValueError)) as found:
            call()
        return str(found.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_headers_are_capped_before_they_are_read(tmp_path):
    length = 100 * 2**20
    head = b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little")
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        file = zipped(tmp_path / "x.npz", head, b" ", length, compression)
        sentence, peak = peak_of(lambda file=file: open_layers(file))
        assert f"its header has {length} bytes" in sentence
        assert peak < 2**20
    with (tmp_path / "x.npy").open("wb") as stream:
        stream.write(head)
        stream.truncate(length + 12)
    assert peak_of(lambda: open_layers(tmp_path / "x.npy"))[1] < 2**20
    with (tmp_path / "x.safetensors").open("wb") as stream:
        stream.write(length.to_bytes(8, "little") + b"[" * 100)
        stream.truncate(length + 8)
    sentence, peak = peak_of(lambda: open_layers(tmp_path / "x.safetensors"))
    assert f"its header has {length} bytes" in sentence
    assert peak < 2**20


def test_compressed_layers_that_cannot_be_what_they_claim_are_refused_unread(tmp_path):
    header = b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 1), }"
    head = header.ljust(127) + b"\n" + b"abcd"
    file = zipped(tmp_path / "x.npz", head, b" ", 50 * 2**20)
    sentence, peak = peak_of(lambda: open_layers(file))
    assert f"{50 * 2**20} bytes follow the array of shape (4, 1)" in sentence
    assert peak < 2**20
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = zipped(tmp_path / "y.npz", head, b" ", 2**20, compression)
        assert "not compressed by deflate" in peak_of(lambda file=file: open_layers(file))[0]
    content = bytearray(zipped(tmp_path / "z.npz", head, b" ", 2**20).read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "z.npz").write_bytes(content)
    assert "more than its" in peak_of(lambda: open_layers(tmp_path / "z.npz"))[0]


def test_a_copy_in_another_byte_order_is_made_only_where_it_fits(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.eye(9, dtype=">f4"))
    assert open_layers(tmp_path / "x.npy")["x"].dtype.isnative
    monkeypatch.setattr("gramless._formats._available_memory", lambda: 9 * 9 * 4 - 1)
    with pytest.raises(FileError, match=r"^x\.npy: its 324 bytes are in another machine's byte order"):
        open_layers(tmp_path / "x.npy")


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors"])
def test_devices_and_pipes_are_no_files_of_activations(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        assert "not a regular file" in refused("compare", tmp_path / f"{name}{suffix}")


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_devices_pipes_and_huge_files_are_no_results(tmp_path, suffix):
    pytest.importorskip("torch")
    from gramless import LayerMatrix
    from gramless._result_files import LONGEST_JSON

    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(ValueError, match="not a regular file"):
            LayerMatrix.load(tmp_path / f"{name}{suffix}")
    if suffix == ".json":
        os.truncate(os.open(tmp_path / "huge.json", os.O_CREAT | os.O_WRONLY), LONGEST_JSON + 1)
        (tmp_path / "lists.json").write_bytes(b"[" + b"[]," * 2**21 + b"[]]")
        for name in ("huge", "lists"):
            _, peak = peak_of(lambda name=name: LayerMatrix.load(tmp_path / f"{name}.json"))
            assert peak < 2**24
