"""Saved activations: reads the named layers of one model from a path, each an array (examples, features).

This module does not depend on the command line. It returns memory-mapped arrays without reading their values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from .._formats import Array, FileError, Openers, open_folder, open_npy, open_npz
from .._globs import hint, left_out, matches
from .._layouts import COMMON, Layouts, tokens_for_each
from .._paths import as_path
from .._safetensors import open_safetensors
from .._text import distinct_printable, printable

READERS: dict[str, Callable[[Path], Openers]] = {
    ".npy": open_npy,
    ".npz": open_npz,
    ".safetensors": open_safetensors,
}
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl"}  # never read, because loading one may run code
ROWS_PER_POOLED_CHUNK = 256
NOTED_BYTES = 100e6  # read into memory; above this a note is printed


def open_layers(
    path: str | Path, globs: Sequence[str] = (), note: Callable[[str], object] | None = None
) -> dict[str, Array]:
    """The layers of a file or folder whose names match a glob, memory-mapped if the format allows it.

    Without globs it returns all layers in the order of the file (for a folder, in natural order of the
    names), with globs in the order of the globs. `note` is called with a sentence on names that a glob may
    leave out by mistake, and on a compressed file whose layers need much memory. Raises `FileError`, with one
    sentence, for files that cannot be read safely.
    """
    path = as_path("open_layers: path", path)
    found = _openers(path)
    openers = dict(zip(distinct_printable(found), found.values(), strict=True))
    for sentence in filter(None, (left_out(openers, glob) for glob in globs)):
        if note is not None:
            note(printable(sentence))
    layers = {name: openers[name]() for name in select(openers, globs, printable(path.name))}
    read = sum(array.nbytes for array in layers.values() if not isinstance(array, np.memmap))
    if note is not None and read > NOTED_BYTES:
        note(
            f"compressed, so {read / 1e6:,.0f} MB were read into memory; numpy.savez does not compress, and "
            "its files are memory-mapped"
        )
    return layers


def files_of(path: Path) -> list[Path]:
    """The files to read: the file, or the folder and its .npy files."""
    return [path, *(sorted(path.glob("*.npy")) if path.is_dir() else ())]


def select(names: Iterable[str], globs: Sequence[str], where: str) -> list[str]:
    """The names that match a glob (* within one level, ** across dots), in the order of the globs; raises
    FileError for a glob without a match.
    """
    names = list(names)
    if not globs:
        return names
    chosen: dict[str, None] = {}
    for glob in globs:
        matching = [name for name in names if matches(name, glob)]
        if not matching:
            shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise FileError(
                f"{where}: no layer matches {printable(glob)!r}; it has {len(names)} layers: {shown}"
                f"{printable(hint(names, glob))}"
            )
        chosen.update(dict.fromkeys(matching))
    return list(chosen)


def as_matrices(
    layers: dict[str, Array], where: str, pool: str = "mean", layouts: Layouts | None = None
) -> tuple[dict[str, Array], list[str]]:
    """Every layer as (examples, features), and the names of those that had more than two dimensions.

    `pool="none"` flattens (n, ...) to (n, -1) as a view. `pool="mean"` averages over positions, in chunks of
    rows, and needs a layout; raises `FileError` for a layer without one.
    """
    matrices: dict[str, Array] = {}
    folded: list[str] = []
    for name, array in layers.items():
        if array.ndim < 2:
            raise FileError(
                f"{where}: layer {name!r} has shape {array.shape} but a layer needs two dimensions or more, "
                "(examples, features)"
            )
        if array.ndim == 2:
            matrices[name] = array
            continue
        folded.append(name)
        layout = layouts.given(name, array.ndim) if layouts is not None else None
        if layout is None and pool == "mean":
            usual = COMMON.get(array.ndim, ("N...C",))
            raise FileError(
                f"{where}: layer {name!r} has shape {array.shape}, and a file does not state which "
                f"dimension is features: pass --layout {' or '.join(usual)}, or {name}={usual[0]} for "
                "this layer, to average over positions, or --pool none to keep all positions"
            )
        if layout is not None:
            array = _arranged(array, layout)
        matrices[name] = _pooled(array) if pool == "mean" else _flattened(array)
    return matrices, folded


def check_rows(*sources: tuple[str, dict[str, Array]]) -> int:
    """The number of examples of all layers of all sources; raises FileError if two layers differ in it."""
    named = [(where, *layer) for where, layers in sources for layer in layers.items()]
    first_where, first_name, first = named[0]
    rows = len(first)
    for where, name, array in named:
        if len(array) != rows:
            raise FileError(
                f"layer {first_name!r} of {first_where} has {rows} rows but layer {name!r} of {where} has "
                f"{len(array)}: row i of every layer must come from the same example"
                f"{_instead(first_name, first.shape, name, array.shape)}"
            )
    return rows


def _instead(name_a: str, shape_a: tuple[int, ...], name_b: str, shape_b: tuple[int, ...]) -> str:
    """The end of an error if the columns of one layer may be the examples, or its rows tokens."""
    for name, own, other in ((name_b, shape_b, shape_a), (name_a, shape_a, shape_b)):
        if own[1] == other[0] > 1:
            return f"; if the columns of {name!r} are the examples, save it transposed"
    return _reshape(name_a, shape_a[0], name_b, shape_b[0])


def _reshape(name_a: str, rows_a: int, name_b: str, rows_b: int) -> str:
    """The end of an error if the rows of one layer may be tokens of the examples of the other."""
    found = tokens_for_each(name_a, rows_a, name_b, rows_b)
    if found is None:
        return ""
    name, tokens, examples = found
    return (
        f"; if {name!r} has {tokens} tokens for each example, save it as ({examples}, {tokens}, features) "
        "and pass --pool mean --layout NLC, or save it flattened to a row for each example"
    )


def _openers(path: Path) -> Openers:
    if path.is_dir():
        openers = open_folder(path)
    elif not path.exists():
        raise FileError(f"{printable(str(path))}: no such file or folder")
    elif path.suffix not in READERS:
        convert = "; in Python torch.load(..., weights_only=True) reads it, and numpy.savez writes .npz"
        raise FileError(
            f"{printable(path.name)}: unknown kind of file, expected .npz, .npy, .safetensors "
            f"or a folder of .npy{convert if path.suffix in PICKLES else ''}"
        )
    else:
        openers = READERS[path.suffix](path)
    if not openers:
        raise FileError(f"{printable(path.name)}: it has no layers")
    return openers


def _flattened(array: Array) -> Array:
    """(n, ...) as (n, -1) without a copy; CKA does not depend on the order of the features."""
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        return array.T.reshape(-1, len(array)).T
    return array.reshape(len(array), -1)


def _arranged(array: Array, layout: str) -> Array:
    """The array as a view (examples, positions..., features)."""
    positions = [place for place, letter in enumerate(layout) if letter not in "NC"]
    return array.transpose([layout.index("N"), *positions, layout.index("C")])


def _pooled(array: Array) -> Array:
    """The means of (examples, positions..., features) over positions."""
    axes = tuple(range(1, array.ndim - 1))
    width = array.shape[-1]
    dtype = np.float64 if array.dtype.kind in "iuf" and array.dtype.itemsize > 4 else np.float32
    means = np.empty((len(array), width), dtype)
    for start in range(0, len(array), ROWS_PER_POOLED_CHUNK):
        rows = slice(start, start + ROWS_PER_POOLED_CHUNK)
        means[rows] = array[rows].mean(axis=axes, dtype=np.float64)
    return means
