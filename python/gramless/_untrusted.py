"""Bounds on the memory that parsers need for a file, checked before they read it."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

# Limits for JSON. Python needs 64 bytes for an empty list and 32 for a number; the text has 3 and 2.
MOST_LISTS, MOST_STRINGS, MOST_VALUES = 2**20, 2**20, 2**22
MOST_NON_ASCII = 2**23  # bytes of a text that is not ASCII; in Python each character may take four bytes
LARGEST_DIRECTORY = 2**23  # bytes for about 80,000 members of a zip archive; Python needs 13 times as many

_END = struct.Struct("<4s8xLL2x")  # signature, size and offset of the directory
_END_64, _LOCATOR_BYTES = struct.Struct("<4s36xQ8x"), 20
_LONGEST_COMMENT = 2**16


def parse_json(content: bytes, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value of a JSON text. Raises ValueError if the value would need far more memory than the text.

    >>> parse_json(b'{"n": [1, 2]}')
    {'n': [1, 2]}
    >>> parse_json(b"[" + b"1," * 2**22 + b"1]")
    Traceback (most recent call last):
    ValueError: it holds more than 4194304 values
    """
    counts = (
        ("lists", content.count(b"[") + content.count(b"{"), MOST_LISTS),
        ("strings", content.count(b'"') // 2, MOST_STRINGS),
        ("values", content.count(b",") + 1, MOST_VALUES),
    )
    for what, count, most in counts:
        if count > most:
            raise ValueError(f"it holds more than {most} {what}")
    if len(content) > MOST_NON_ASCII and not content.isascii():
        raise ValueError(f"it is not ASCII and has {len(content)} bytes, more than {MOST_NON_ASCII}")
    return json.loads(content, object_pairs_hook=hook)


def check_zip(stream: BinaryIO) -> None:
    """Raise ValueError if the directory of a zip archive exceeds LARGEST_DIRECTORY bytes."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _LONGEST_COMMENT - _END.size - _END_64.size - _LOCATOR_BYTES))
    tail = stream.read()
    stream.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + _END.size > len(tail):
        return  # not an archive; zipfile raises the error
    directory = _END.unpack_from(tail, end)[1]
    wide = end - _LOCATOR_BYTES - _END_64.size
    if wide >= 0 and tail.startswith(b"PK\x06\x06", wide):
        directory = max(directory % (2**32 - 1), _END_64.unpack_from(tail, wide)[1])
    if directory > LARGEST_DIRECTORY:
        raise ValueError(
            f"its directory of members has {directory} bytes, more than the {LARGEST_DIRECTORY} that are read"
        )
