"""Files of a `LayerMatrix`: .safetensors, with names and settings as JSON in its metadata, or .json."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _files
from ._paths import as_path
from ._safetensors import metadata, open_safetensors
from ._text import printable
from ._untrusted import parse_json

Floats = npt.NDArray[np.float64]

FORMAT, VERSION = "gramless.LayerMatrix", 1
LONGEST_JSON = 2**26  # bytes that are read
ARRAYS = ("matrix", "z", "pvalue", "pvalue_corrected", "low", "high", "standard_error")
_SUFFIXES = (".safetensors", ".json")


def save(path: str | os.PathLike[str], arrays: Mapping[str, Floats], fields: Mapping[str, Any]) -> None:
    """Write arrays of one shape with their names and settings; after a failure the file is unchanged."""
    target = _checked(path, "save")
    if target.is_file() and _is_foreign(target):
        what = "tensors other than" if target.suffix == ".safetensors" else "something other than"
        raise ValueError(
            f"LayerMatrix.save: {printable(target.name)} holds {what} a LayerMatrix; name another file"
        )
    record: dict[str, Any] = {"format": FORMAT, "version": VERSION, **fields}
    if target.suffix == ".json":
        content = json.dumps(record | {name: _rows(x) for name, x in arrays.items()}, indent=1).encode()
    else:
        content = _safetensors_bytes(arrays, json.dumps(record))
    _files.write_file(target, content)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The entries that `save` wrote, by name: layers_a, layers_b, n, settings, record and the arrays.

    Raises ValueError for a file of another format or version, and for a damaged file.
    """
    source = _checked(path, "load")
    record, name = _read(source), printable(source.name)
    if record.get("format") != FORMAT:
        of_command = {"gramless", "cka", "layers_a"} <= record.keys()
        hint = " but the output of gramless compare --json; read it with json.load" if of_command else ""
        raise ValueError(f"LayerMatrix.load: {name} holds no LayerMatrix{hint}")
    if record.get("version") != VERSION:
        raise ValueError(
            f"LayerMatrix.load: {name} has version {record.get('version')!r} of the format, "
            f"but this gramless reads version {VERSION}"
        )
    try:
        names = {key: [str(entry) for entry in record[key]] for key in ("layers_a", "layers_b")}
        n, settings, depends = record["n"], dict(record["settings"]), dict(record.get("record", {}))
        if not (n is None or (type(n) is int and n > 0)):
            raise ValueError(f"n is {n!r}")
        arrays = {key: np.array(record[key], np.float64) for key in ARRAYS if key in record}
        shape = len(names["layers_a"]), len(names["layers_b"])
        if set(arrays) >= {"matrix"} and all(values.shape == shape for values in arrays.values()):
            return {**names, "n": n, "settings": settings, "record": depends, **arrays}
        shapes = ", ".join(f"a {key} {values.shape}" for key, values in arrays.items())
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"LayerMatrix.load: {name} is damaged ({printable(str(error))})") from None
    raise ValueError(
        f"LayerMatrix.load: {name} is damaged ({shapes or 'no matrix'} for {shape[0]} x {shape[1]} layers)"
    )


def _checked(path: Any, method: str) -> Path:
    found = as_path(f"LayerMatrix.{method}: path", path)
    if found.suffix not in _SUFFIXES:
        raise ValueError(
            f"LayerMatrix.{method}: the file must end in {' or '.join(_SUFFIXES)} but is {found.name!r}"
        )
    return found


def _rows(values: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(v) else v for v in row] for row in values.tolist()]


def _safetensors_bytes(arrays: Mapping[str, Floats], record: str) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"gramless": record}}
    data = b""
    for name, values in arrays.items():
        content = np.ascontiguousarray(values, "<f8").tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "F64", "shape": list(values.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def _read(source: Path) -> Mapping[str, Any]:
    """The entries of the file; those of a file of another program lack the entry "format" of gramless."""
    try:
        if source.suffix == ".json":
            record = parse_json(_files.read_file("it", source, LONGEST_JSON))
            return record if isinstance(record, dict) else {}
        tensors = open_safetensors(source)  # checks every length
        record = parse_json(metadata(source).get("gramless", "{}").encode())
        return dict(record) | {name: tensors[name]() for name in ARRAYS if name in tensors}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:  # FileError is a ValueError
        reason = printable(" ".join(str(error).split()))
        raise ValueError(f"LayerMatrix.load: {printable(source.name)} cannot be read ({reason})") from None


def _is_foreign(target: Path) -> bool:
    """Whether an existing file holds anything but a result."""
    if target.suffix == ".json":
        return _files.is_foreign_json(target)
    try:
        return "gramless" not in metadata(target)
    except ValueError:  # damaged
        return False
