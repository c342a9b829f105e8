"""The .safetensors format, as in its specification: a JSON header, then the tensors without gaps.

This module memory-maps the tensors. The safetensors package copies every tensor for numpy, and does not
support bfloat16 with numpy.
"""

from __future__ import annotations

import math
import re
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ._formats import Array, FileError, Openers, blame, check_length, file_size, map_array, natural_key
from ._text import printable
from ._untrusted import parse_json

SAFETENSORS_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?", "U8": "u1", "I8": "i1",
    "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
}  # fmt: skip
LARGEST_JSON_HEADER = 2**23  # bytes, enough for about 80,000 tensors


def open_safetensors(path: Path) -> Openers:
    """The tensors of a .safetensors file, memory-mapped.

    They keep the order of the file. If that is the alphabetical order in which the safetensors library writes
    tensors, they are in natural order of their names instead.
    """
    header, start = _safetensors_header(path)
    header.pop("__metadata__", None)
    names = list(header)
    dtypes = [header[name]["dtype"] for name in names]
    groups = sorted(dict.fromkeys(dtypes), key=_bits, reverse=True)  # the library writes wide types first
    rank = {code: place for place, code in enumerate(groups)}
    if names == sorted(names, key=lambda name: (rank[header[name]["dtype"]], name)):
        names.sort(key=natural_key)
    return {name: partial(_map_tensor, path, name, header[name], start) for name in names}


def metadata(path: Path) -> dict[str, Any]:
    """The entry `__metadata__` of a .safetensors file; empty if there is none."""
    found = _safetensors_header(path)[0].get("__metadata__", {})
    return found if isinstance(found, dict) else {}


def _is_code(dtype: object) -> bool:
    return isinstance(dtype, str) and len(dtype) <= 16


def _bits(code: str) -> int:
    """The number of bits of an element, read from the name of its dtype."""
    return int(re.sub(r"\D", "", code.partition("_")[0]) or 8)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header and the offset of the data; checks every entry and that the data have no gaps."""
    size, label = file_size(path), printable(path.name)
    with blame(path, "not a readable .safetensors file"), path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        start = 8 + length
        if LARGEST_JSON_HEADER < length <= size - 8:
            raise FileError(
                f"{label}: its header has {length} bytes, more than the {LARGEST_JSON_HEADER} that are read"
            )
        if length > size - 8:
            raise FileError(f"{label}: truncated, its header needs {length} bytes but {size - 8} are there")
        header = parse_json(stream.read(length), _unique)
        if not isinstance(header, dict):
            raise TypeError("the header is not an object")
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        for name, entry in tensors.items():
            sides, ends = entry["shape"], entry["data_offsets"]
            whole = [number for number in (*sides, *ends) if type(number) is int and 0 <= number < 2**63]
            if len(ends) != 2 or len(whole) != len(sides) + 2 or not _is_code(entry["dtype"]):
                raise ValueError(f"the entry of {name!r} is malformed")
        end = 0
        for name, entry in sorted(tensors.items(), key=lambda item: tuple(item[1]["data_offsets"])):
            if entry["data_offsets"][0] != end or entry["data_offsets"][1] < end:
                raise ValueError(f"the bytes of {name!r} do not follow the tensor before it")
            end = entry["data_offsets"][1]
    if start + end != size:
        raise FileError(
            f"{label}: truncated or damaged, its tensors need {start + end} bytes but {size} are there"
        )
    return header, start


def _map_tensor(path: Path, name: str, entry: dict[str, Any], start: int) -> Array:
    label, shape = printable(f"{path.name}[{name}]"), tuple(entry["shape"])
    dtype = _safetensors_dtype(label, entry["dtype"])
    begin, end = entry["data_offsets"]
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise FileError(f"{label}: shape {shape} of {entry['dtype']} does not fill its {end - begin} bytes")
    with blame(path, "cannot be mapped"):
        check_length(label, shape, dtype, end - begin)
        return map_array(path, dtype, shape, start + begin)


def _safetensors_dtype(label: str, code: str) -> np.dtype[Any]:
    if code == "BF16":
        try:
            import ml_dtypes
        except ImportError as error:
            raise FileError(
                f"{label}: bfloat16 needs the ml_dtypes package: pip install ml_dtypes"
            ) from error
        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    if code not in SAFETENSORS_DTYPES:
        raise FileError(f"{label}: dtype {code!r} is not a real number type that can be compared")
    return np.dtype(SAFETENSORS_DTYPES[code])
