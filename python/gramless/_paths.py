"""Checks of paths that users give: whether a path can name a file, and whether two name the same file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, TypeAlias

from ._counts import shown

PathLike: TypeAlias = "str | os.PathLike[str]"

LONGEST_SHOWN = 80  # characters of a name in an error


def as_path(what: str, path: Any) -> Path:
    r"""`path` as a Path; raises TypeError or ValueError, starting with `what`, if no file can have that name.

    >>> as_path("--csv", "a\0b")
    Traceback (most recent call last):
    ValueError: --csv must be a path but 'a\x00b' holds a NUL character
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{what} must be a path but is {shown(path)}")
    name, reason = os.fsdecode(path), None
    try:
        os.lstat(name)
    except OSError as error:
        reason = "is longer than a name can be here" if error.errno == errno.ENAMETOOLONG else None
    except ValueError:
        reason = "holds a NUL character" if "\0" in name else "has characters that no name of a file has"
    if reason is not None:
        half = LONGEST_SHOWN // 2
        text = name if len(name) <= LONGEST_SHOWN else f"{name[:half]}...{name[-half:]}"
        raise ValueError(f"{what} must be a path but {text!r} {reason}")
    return Path(name)


def from_here(what: str, path: Any) -> Path | None:
    """`as_path` as an absolute path, because a callback may change the working folder; None stays None.

    >>> from_here("f: folder", None) is None
    True
    """
    return None if path is None else Path(os.path.abspath(as_path(what, path)))


def same_file(one: PathLike, other: PathLike) -> bool:
    """Whether two paths lead to the same file, directly or through symbolic or hard links.

    >>> same_file("a/../b.csv", "b.csv")
    True
    """
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
