"""Files whose parsing would need many times their size in memory raise an error before they are parsed."""

from __future__ import annotations

import io
import struct
import tracemalloc

import gramless
import numpy as np
import pytest
from gramless._checkpoint import Checkpoint
from gramless._formats import FileError, open_npz
from gramless._safetensors import open_safetensors
from gramless._untrusted import check_zip, parse_json

HEAD = b'{"format": "gramless.LayerMatrix", "version": 1, "layers_a": '
TEXTS = {
    "strings": (b"[" + b'"a",' * 2**20 + b'"a"]', "more than 1048576 strings"),
    "keys": (b"{" + b'"a":1,' * 2**20 + b'"b":1}', "more than 1048576 strings"),
    "numbers": (b"[" + b"1," * 2**22 + b"1]", "more than 4194304 values"),
    "lists": (b"[" + b"[]," * 2**20 + b"1]", "more than 1048576 lists"),
    "objects": (b"[" + b"{}," * 2**20 + b"1]", "more than 1048576 lists"),
    "wide characters": (b'["' + b"a" * 2**23 + "\U0001f600".encode() + b'"]', "it is not ASCII and has"),
}


def assert_refused_cheaply(read, size, message, error=ValueError):
    """With less memory than twice the file."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=message):
            read()
        assert tracemalloc.get_traced_memory()[1] < 2 * size + 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", TEXTS)
def test_result_files_are_refused_before_they_are_parsed(text, tmp_path):
    content, message = TEXTS[text]
    path = tmp_path / "r.json"
    path.write_bytes(HEAD + content + b"}")
    assert_refused_cheaply(lambda: gramless.LayerMatrix.load(path), len(content), message)


@pytest.mark.parametrize("text", ["strings", "numbers", "lists"])
def test_headers_of_safetensors_are_refused_before_they_are_parsed(text, tmp_path):
    content, message = TEXTS[text]
    if text == "numbers":  # a header has 8 MiB at most
        content, message = b"[" + b"1," * 2**22 + b"1]", "more than the 8388608 that are read"
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(content)) + content)
    assert_refused_cheaply(lambda: open_safetensors(path), len(content), message, FileError)


def archive_of_many_members(wide=False, members=200_000):
    """A zip archive whose directory lists one small member many times."""
    entry = (
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[20] * 2, *[0] * 4, 0, 0, 0, 5, *[0] * 4, 0, 0) + b"a.npy"
    )
    directory = entry * members
    size = len(directory)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1 if wide else size, 0, 0)
    if not wide:
        return directory + end
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, members, members, size, 0)
    return directory + end_64 + struct.pack("<4sLQL", b"PK\x06\x07", 0, size, 1) + end


@pytest.mark.parametrize("wide", [False, True])
def test_archives_are_refused_before_their_members_are_listed(wide, tmp_path):
    content = archive_of_many_members(wide)
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    message = "its directory of members has 10200000 bytes, more than the 8388608 that are read"
    assert_refused_cheaply(lambda: open_npz(path), len(content), message, FileError)
    read = Checkpoint("cka_matrix", path, {}).read
    assert_refused_cheaply(read, len(content), "checkpoint a.npz is damaged or no checkpoint")


def test_what_people_have_is_read(tmp_path):
    names = [f"layers.{i}" for i in range(3000)]
    matrix = gramless.layer_matrix({name: np.arange(6.0)[:, None] + i for i, name in enumerate(names[:4])})
    matrix.save(tmp_path / "r.json")
    assert gramless.LayerMatrix.load(tmp_path / "r.json").layers_a == names[:4]
    np.savez(tmp_path / "a.npz", **{name: np.zeros((2, 1)) for name in names})
    assert list(open_npz(tmp_path / "a.npz")) == names
    assert parse_json('{"é": [1, null]}'.encode()) == {"é": [1, None]}
    for content in (b"", b"PK\x05\x06", b"no archive"):
        check_zip(io.BytesIO(content))
