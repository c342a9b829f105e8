"""NumPy's formats of saved activations: .npy, folders of .npy, and .npz.

Each opener maps a path to {layer name: function that returns the array}. Arrays are memory-mapped if the
format allows it, and nothing is unpickled. All sizes that a file states are checked before they are used; any
fault raises one `FileError` with one sentence.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from ._text import printable
from ._untrusted import check_zip

Array = NDArray[Any]
Openers = dict[str, Callable[[], Array]]

NUMBERS = frozenset(np.dtype(kind) for kind in "bBhHiIqQlLefd?")
LARGEST_NPY_HEADER = 10_000  # bytes; numpy also refuses larger headers, but only after it has read them
MOST_INFLATED = 1032  # the largest number of bytes that one byte of deflate can expand to
_OF_SPARSE = frozenset(["format", "shape", "data"])  # entries of every file of scipy.sparse.save_npz
LOCAL_ZIP_HEADER = struct.Struct("<4s22xHH")  # signature, length of the name, length of the extra field


class FileError(ValueError):
    """A file of activations cannot be used; the message is one sentence that names the file."""


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key under which "block.2" comes before "block.10".

    >>> sorted(["b10", "b2", "a"], key=natural_key)
    ['a', 'b2', 'b10']
    """
    parts = re.split(
        r"0*(\d+)", name
    )  # text at even places, digits at odd ones; more digits mean a larger number
    return [(len(part) if place % 2 else 0, part) for place, part in enumerate(parts)]


def open_npy(path: Path) -> Openers:
    """The one layer of a .npy file, named after the file."""
    return {path.stem: partial(_map_npy, path, printable(path.name), 0, file_size(path))}


def open_folder(path: Path) -> Openers:
    """Every .npy file in a folder, in natural order of the names."""
    found = sorted(
        (entry for entry in path.iterdir() if entry.suffix == ".npy"), key=lambda e: natural_key(e.stem)
    )
    return {
        entry.stem: partial(_map_npy, entry, printable(f"{path.name}/{entry.name}"), 0, file_size(entry))
        for entry in found
    }


def open_npz(path: Path) -> Openers:
    """The .npy members of an .npz archive, in file order; stored members are mapped, compressed ones read."""
    file_size(path)
    with blame(path, "is not a readable .npz archive"), path.open("rb") as stream:
        check_zip(stream)
        with zipfile.ZipFile(stream) as archive:
            every = archive.infolist()
        cut = next((member.orig_filename for member in every if "\0" in member.orig_filename), None)
        if cut is not None:  # zipfile cuts the name there, so that the layer would be left out
            raise FileError(f"{printable(path.name)}: the name {cut!r} of a layer holds a NUL character")
        members = [member for member in every if member.filename.endswith(".npy")]
    openers: Openers = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name in openers:
            raise FileError(f"{printable(path.name)}: the archive holds two layers named {name!r}")
        stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
        openers[name] = partial(_map_stored_member if stored else _read_member, path, member)
    if openers.keys() >= _OF_SPARSE:
        raise FileError(f"{printable(path.name)}: a sparse matrix of scipy, not layers; save x.toarray()")
    return openers


def file_size(path: Path) -> int:
    """Size of a regular file in bytes; raises FileError for devices and pipes, which may never end."""
    if not path.is_file():
        raise FileError(f"{printable(path.name)}: not a regular file")
    return path.stat().st_size


@contextmanager
def blame(path: Path, complaint: str) -> Iterator[None]:
    """Convert any exception that a parser raises on a damaged file into one FileError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings would show text of an untrusted header
            yield
    except FileError:
        raise
    except PermissionError as error:
        raise FileError(f"{printable(path.name)}: permission denied") from error
    except Exception as error:  # on malformed bytes parsers raise exceptions of any type, also RecursionError
        reason = printable(" ".join(str(error).split())[:120].rstrip(".")) or type(error).__name__
        raise FileError(f"{printable(path.name)}: {complaint} ({reason})") from error


def _npy_header(stream: BinaryIO, label: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The checked shape, Fortran order and dtype of the .npy data at the stream's position."""
    with blame(Path(label), "not a readable .npy array"):
        version = npy_format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise FileError(f"{label}: .npy format {version} does not hold plain numbers")
        length_field = stream.read(2 if version == (1, 0) else 4)
        length = int.from_bytes(length_field, "little")
        if length > LARGEST_NPY_HEADER:
            raise FileError(
                f"{label}: its header has {length} bytes, more than the {LARGEST_NPY_HEADER} that are read"
            )
        header = io.BytesIO(length_field + stream.read(length))
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran_order, dtype = read(header)
    if dtype.newbyteorder("=") not in NUMBERS:
        raise FileError(f"{label}: dtype {str(dtype)!r} is not a real number type of 64 bits or less")
    if any(side < 0 for side in shape):
        raise FileError(f"{label}: shape {shape} has a negative side")
    return shape, fortran_order, dtype


def _map_npy(path: Path, label: str, offset: int, size: int) -> Array:
    """Memory-map the .npy data that occupies `size` bytes at `offset` of a file."""
    with blame(path, "cannot be opened"), path.open("rb") as stream:
        stream.seek(offset)
        shape, fortran_order, dtype = _npy_header(stream, label)
        start = stream.tell()
        check_length(label, shape, dtype, offset + size - start)
        return map_array(path, dtype, shape, start, "F" if fortran_order else "C")


def map_array(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], start: int, order: str = "C"
) -> Array:
    if 0 in shape:
        return np.empty(shape, dtype)  # an empty range cannot be mapped
    mapped: Array = np.memmap(path, dtype, "r", start, shape, order)  # type: ignore[call-overload]
    return _native(printable(path.name), mapped)


def _native(label: str, array: Array) -> Array:
    """The array in this machine's byte order: unchanged, or copied if the file has the other byte order."""
    if array.dtype.isnative:
        return array
    if array.nbytes > _available_memory():
        raise FileError(
            f"{label}: its {array.nbytes} bytes are in another machine's byte order, and this machine's "
            "memory has no room for a copy"
        )
    return array.astype(array.dtype.newbyteorder("="))


def check_length(label: str, shape: tuple[int, ...], dtype: np.dtype[Any], available: int) -> None:
    needed = math.prod(shape) * dtype.itemsize
    if needed > available:
        raise FileError(
            f"{label}: truncated, shape {shape} of {dtype} needs {needed} bytes "
            f"but {max(available, 0)} are there"
        )
    if 0 in shape and max(shape) > 2**48:
        raise FileError(f"{label}: shape {shape} is not credible")


def _map_stored_member(path: Path, member: zipfile.ZipInfo) -> Array:
    label = printable(f"{path.name}[{member.filename}]")
    with blame(path, "is not a readable .npz archive"), path.open("rb") as stream:
        stream.seek(member.header_offset)
        signature, name_length, extra_length = LOCAL_ZIP_HEADER.unpack(stream.read(LOCAL_ZIP_HEADER.size))
        start = member.header_offset + LOCAL_ZIP_HEADER.size + name_length + extra_length
        if signature != b"PK\x03\x04" or start + member.file_size > file_size(path):
            raise FileError(f"{label}: truncated, or the archive's directory points at the wrong place")
    return _map_npy(path, label, start, member.file_size)


def _read_member(path: Path, member: zipfile.ZipInfo) -> Array:
    label = printable(f"{path.name}[{member.filename}]")
    _check_claim(label, member)
    complaint = "is not a readable .npz archive"
    with blame(path, complaint), zipfile.ZipFile(path) as archive, archive.open(member) as stream:
        shape, fortran_order, dtype = _npy_header(stream, label)  # type: ignore[arg-type]
        check_length(label, shape, dtype, member.file_size - stream.tell())
        surplus = member.file_size - stream.tell() - math.prod(shape) * dtype.itemsize
        if surplus > 0:
            raise FileError(f"{label}: {surplus} bytes follow the array of shape {shape}")
        values = np.empty(math.prod(shape), dtype)
        into = values.view(np.uint8).data
        while len(into):
            count = stream.readinto(into)  # type: ignore[attr-defined]
            if not count:
                raise FileError(f"{label}: truncated, {len(into)} bytes are missing")
            into = into[count:]
        while stream.read(1 << 16):
            pass  # the checksum is compared at the end of the member
        return _native(label, values.reshape(shape, order="F" if fortran_order else "C"))


def _check_claim(label: str, member: zipfile.ZipInfo) -> None:
    """Raise FileError unless a member is compressed as by numpy, and its size is possible and fits memory."""
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(f"{label}: encrypted, or not compressed by deflate as numpy.savez_compressed does")
    claim = f"{label}: the compressed layer claims {member.file_size} bytes, more than "
    if member.file_size > MOST_INFLATED * (member.compress_size + 1):
        raise FileError(f"{claim}its {member.compress_size} bytes can hold")
    if member.file_size > _available_memory():
        raise FileError(
            f"{claim}this machine's memory has room for: save it with numpy.savez, which does not compress, "
            "so that it can be memory-mapped"
        )


def _available_memory() -> int:
    """The available memory in bytes, without swapping, or else all memory of the machine; 2^62 if unknown."""
    memory = 2**62
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        memory = min(memory, 1024 * int(available.split()[1]))
    return memory
