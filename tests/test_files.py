"""Saved activations: every format returns the saved values, memory-mapped; wrong paths raise one error."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from gramless._formats import FileError, natural_key
from gramless._layouts import Layouts
from gramless.cli import files
from gramless.cli.files import as_matrices, check_rows, open_layers, printable
from hypothesis import given
from hypothesis import strategies as st

LAYERS = {
    "block.2": np.arange(12, dtype=np.float32).reshape(4, 3),
    "block.10": np.asfortranarray(np.arange(20, dtype=np.float64).reshape(4, 5)),
    "a-stem": np.arange(8, dtype=np.int16).reshape(4, 2),
}


def save(path: Path, layers: dict[str, np.ndarray] = LAYERS) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **layers)
    elif path.suffix == ".zip":
        path = path.with_suffix(".npz")
        np.savez_compressed(path, **layers)
    elif path.suffix == ".safetensors":
        save_safetensors(path, {name: np.ascontiguousarray(values) for name, values in layers.items()})
    else:
        path.mkdir()
        for name, values in layers.items():
            np.save(path / f"{name}.npy", values)
    return path


def save_safetensors(path: Path, layers: dict[str, np.ndarray], **changes: object) -> None:
    """A minimal writer: it keeps the order, and can write files that the library refuses to write."""
    codes = {"float32": "F32", "float64": "F64", "int16": "I16", "float16": "F16"}
    header: dict[str, object] = {"__metadata__": {"by": "a test"}}
    end = 0
    for name, values in layers.items():
        begin, end = end, end + values.nbytes
        header[name] = {
            "dtype": codes[values.dtype.name],
            "shape": values.shape,
            "data_offsets": [begin, end],
        }
    header.update(changes)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in layers.values()))


@pytest.mark.parametrize("name", ["x.npz", "x.zip", "x.safetensors", "folder"])
def test_every_format_gives_back_what_was_saved(tmp_path, name):
    layers = open_layers(save(tmp_path / name))
    assert set(layers) == set(LAYERS)
    for layer, values in layers.items():
        assert values.dtype == LAYERS[layer].dtype
        np.testing.assert_array_equal(values, LAYERS[layer])


@pytest.mark.parametrize("name", ["x.npz", "x.safetensors", "folder"])
def test_layers_are_memory_mapped_and_read_only(tmp_path, name):
    for values in open_layers(save(tmp_path / name)).values():
        assert isinstance(values, np.memmap)
        assert not values.flags.writeable


def test_a_single_array_is_a_layer_named_after_its_file(tmp_path):
    np.save(tmp_path / "conv.npy", LAYERS["block.2"])
    assert list(open_layers(tmp_path / "conv.npy")) == ["conv"]


@pytest.mark.parametrize("name", ["x.npz", "x.safetensors"])
def test_files_keep_their_order(tmp_path, name):
    assert list(open_layers(save(tmp_path / name))) == ["block.2", "block.10", "a-stem"]


def test_folders_are_in_natural_order(tmp_path):
    assert list(open_layers(save(tmp_path / "folder"))) == ["a-stem", "block.2", "block.10"]


def test_alphabetical_safetensors_are_in_natural_order(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    layers = {f"block.{i}": LAYERS["block.2"] for i in (2, 10, 1)}
    library.save_file(layers, tmp_path / "x.safetensors")
    assert list(open_layers(tmp_path / "x.safetensors")) == ["block.1", "block.2", "block.10"]


@given(st.lists(st.tuples(st.sampled_from("ab."), st.integers(0, 10**30)), max_size=4))
def test_natural_order_compares_numbers_as_numbers(parts):
    name = "".join(f"{text}{number}" for text, number in parts)
    assert natural_key(name + "x9") < natural_key(name + "x10")
    assert natural_key(name + "x007") == natural_key(name + "x7")


def test_safetensors_bfloat16_is_mapped(tmp_path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    library.save_file(
        {"x": torch.tensor([[1.5, -2.0], [3.0, 0.25]], dtype=torch.bfloat16)}, tmp_path / "x.safetensors"
    )
    values = open_layers(tmp_path / "x.safetensors")["x"]
    assert isinstance(values, np.memmap)
    assert values.dtype == bfloat16
    np.testing.assert_array_equal(values.astype(np.float32), [[1.5, -2.0], [3.0, 0.25]])


def test_files_from_big_endian_machines_are_converted(tmp_path):
    np.save(tmp_path / "x.npy", LAYERS["block.2"].astype(">f4"))
    np.savez_compressed(tmp_path / "x.npz", x=LAYERS["block.2"].astype(">f4"))
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        (values,) = open_layers(path).values()
        assert values.dtype.isnative
        np.testing.assert_array_equal(values, LAYERS["block.2"])


def test_globs_choose_and_order_layers(tmp_path):
    path = save(tmp_path / "x.npz")
    assert list(open_layers(path, ["a-*", "block.*"])) == ["a-stem", "block.2", "block.10"]
    with pytest.raises(FileError, match=r"no layer matches 'conv\*'; it has 3 layers: block\.2"):
        open_layers(path, ["block.*", "conv*"])


def test_more_dimensions_are_flattened_as_a_view(tmp_path):
    layers = {
        "c": np.arange(24.0).reshape(2, 3, 2, 2),
        "f": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    }
    opened = open_layers(save(tmp_path / "x.npz", layers))
    matrices, folded = as_matrices(opened, "x.npz", "none")
    assert folded == ["c", "f"]
    for name, matrix in matrices.items():
        assert matrix.shape == (2, 12)
        assert np.shares_memory(matrix, opened[name])
        np.testing.assert_array_equal(np.sort(matrix), np.sort(layers[name].reshape(2, 12)))


def test_pooling_averages_positions_and_tokens():
    rng = np.random.default_rng(0)
    maps, tokens = rng.normal(size=(700, 3, 2, 2)), rng.normal(size=(700, 5, 4)).astype(np.float32)
    matrices, _ = as_matrices(
        {"maps": maps, "tokens": tokens}, "x.npz", "mean", Layouts("f", ["NCHW", "NLC"])
    )
    np.testing.assert_array_equal(matrices["maps"], maps.mean(axis=(2, 3)))
    np.testing.assert_array_equal(
        matrices["tokens"], tokens.mean(axis=1, dtype=np.float64).astype(np.float32)
    )


def test_vectors_are_refused_by_name():
    with pytest.raises(FileError, match=r"x.npz: layer 'loss' has shape \(7,\)"):
        as_matrices({"loss": np.zeros(7)}, "x.npz")


def test_different_row_counts_name_both_layers_and_both_counts():
    with pytest.raises(FileError, match=r"layer 'a' of A\.npz has 5 rows but layer 'b' of B\.npz has 4"):
        check_rows(("A.npz", {"a": np.zeros((5, 2))}), ("B.npz", {"b": np.zeros((4, 2))}))


@pytest.mark.parametrize("values", [np.zeros((2, 2), complex), np.array([["a"]]), np.zeros((2, 2), "f4,i4")])
def test_values_that_are_not_numbers_are_refused(tmp_path, values):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(FileError, match=r"x.npy: dtype .* is not a real number type"):
        open_layers(tmp_path / "x.npy")


def touched(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "nothing.npz", "no such file or folder"),
        (lambda path: path, "it has no layers"),
        (lambda path: touched(path / "x.csv"), r"x.csv: unknown kind of file, .* or a folder of .npy$"),
        (lambda path: touched(path / "x.pt"), r"x.pt: unknown kind of file.*torch.load\(.*numpy.savez"),
        (lambda path: touched(path / "x.npy"), "x.npy: not a readable .npy array"),
        (lambda path: touched(path / "x.npz"), "x.npz: is not a readable .npz archive"),
        (lambda path: touched(path / "x.safetensors"), "x.safetensors: not a readable .safetensors file"),
    ],
)
def test_hopeless_paths_are_one_sentence(tmp_path, make, message):
    with pytest.raises(FileError, match=message):
        open_layers(make(tmp_path))


def test_names_from_files_cannot_drive_the_terminal():
    assert printable("a\x1b[2Jb\u202e\ud800") == "a\\x1b[2Jb\\u202e\\ud800"


@pytest.mark.parametrize("suffix", [".npz", ".zip", ".safetensors", ""])
def test_a_note_says_how_much_of_a_compressed_file_is_read_into_memory(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(files, "NOTED_BYTES", 100)
    path, notes = save(tmp_path / f"saved{suffix}", {"zeros": np.zeros((500, 500))}), []
    open_layers(path, (), notes.append)
    assert [note.partition(";")[0] for note in notes] == (
        ["compressed, so 2 MB were read into memory"] if suffix == ".zip" else []
    )
