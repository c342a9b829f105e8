"""Damaged or malformed files, and paths that are not files, raise one error; no file is unpickled."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gramless._formats import FileError
from gramless.cli.files import as_matrices, open_layers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_files import LAYERS, save, save_safetensors


class Trap:
    """An object whose unpickling would create a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_nothing_is_ever_unpickled(tmp_path, suffix):
    trap, path = tmp_path / "sprung", tmp_path / f"x{suffix}"
    values = np.array([[Trap(trap)]], dtype=object)
    np.save(path, values) if suffix == ".npy" else np.savez(path, x=values)
    with pytest.raises(FileError, match="dtype 'object' is not a real number type"):
        open_layers(path)
    path.write_bytes(values.dumps())
    with pytest.raises(FileError):
        open_layers(path)
    assert not trap.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(FileError, match="not a regular file"):
        open_layers(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 44]},
        {"dtype": "F32", "shape": [4, 3], "data_offsets": [4, 52]},
        {"dtype": "F32", "shape": [4, -3], "data_offsets": [0, 48]},
        {"dtype": "F32", "shape": [4, 3.0], "data_offsets": [0, 48]},
        {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 48]},
        {"dtype": "C64", "shape": [2, 3], "data_offsets": [0, 48]},
        {"dtype": ["F32"], "shape": [4, 3], "data_offsets": [0, 48]},
        {"dtype": "F32", "shape": [4, 3]},
        [1, 2, 3],
    ],
)
def test_a_safetensors_header_that_does_not_add_up_is_refused(tmp_path, entry):
    save_safetensors(tmp_path / "x.safetensors", {"block.2": LAYERS["block.2"]}, **{"block.2": entry})
    with pytest.raises(FileError, match=r"x\.safetensors"):
        open_layers(tmp_path / "x.safetensors")


def test_a_safetensors_name_that_occurs_twice_is_refused(tmp_path):
    entry = '"x":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}'
    text = f"{{{entry},{entry}}}".encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(FileError, match="a name occurs twice"):
        open_layers(tmp_path / "x.safetensors")


def test_a_compressed_member_with_a_wrong_checksum_is_refused(tmp_path):
    path = save(tmp_path / "x.zip", {"x": np.zeros((4, 300))})
    with zipfile.ZipFile(path) as archive:
        place = archive.start_dir + 16  # the checksum in the archive's directory
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(FileError, match="CRC"):
        open_layers(path)


def test_a_compressed_member_larger_than_the_machine_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = save(tmp_path / "x.zip", {"x": np.zeros((4, 300))})
    monkeypatch.setattr(os, "sysconf", lambda name: 32)
    with pytest.raises(FileError, match=r"claims \d+ bytes, more than this machine's memory"):
        open_layers(path)


@pytest.mark.parametrize("name", ["x.npz", "x.zip", "x.safetensors", "folder"])
def test_a_truncated_file_is_one_sentence_wherever_it_ends(tmp_path, name):
    path = save(tmp_path / name)
    whole = path / "block.2.npy" if path.is_dir() else path
    raw = whole.read_bytes()
    for length in range(0, len(raw), 7):
        whole.write_bytes(raw[:length])
        with pytest.raises(FileError) as caught:
            open_layers(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["x.npz", "x.zip", "x.safetensors", "folder"]),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=3
    ),
)
def test_a_damaged_file_is_read_or_refused_but_nothing_else(tmp_path_factory, name, changes):
    path = save(tmp_path_factory.mktemp("damaged") / name)
    target = path / "block.2.npy" if path.is_dir() else path
    raw = bytearray(target.read_bytes())
    for place, junk in changes:
        start = int(place * min(len(raw), 700))
        raw[start : start + len(junk)] = junk
    target.write_bytes(raw)
    try:
        layers = open_layers(path)
        as_matrices(layers, path.name)
    except FileError as error:
        refusal = str(error)
    else:
        refusal = ""
        for values in layers.values():
            values.sum()
    assert "\n" not in refusal
