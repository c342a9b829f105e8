"""The state of an unfinished sweep in a file, which is written atomically and read without unpickling."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from . import _core, _files
from ._arrays import Floats
from ._arrays.namespaces import Array, Library
from ._paths import as_path
from ._text import printable
from ._untrusted import check_zip, parse_json
from .kernels import Kernel

Problem: TypeAlias = dict[str, Any]

FORMAT = "gramless.sweep"
HASHED_BYTES = 2**22  # hashed at a time
BUSY_SHARE = 0.02  # share of the time that writing may take
LEAST_PAUSE = 1.0  # seconds from one writing to the next
LONGEST_PROBLEM = 2**24  # bytes


@dataclass
class State:
    """The bandwidths found so far, in the order of the layers, and (number of parts summed, their sums).

    A new state replaces the old one as a whole, so that the fields are consistent after an interruption.
    """

    sigmas: list[float] = field(default_factory=list)
    summed: tuple[int, Floats] = (0, np.zeros(0))


def problem_of(library: Library, kernel: object, xs: Sequence[Array], ys: Sequence[Array]) -> Problem:
    """The identity of a sweep: kernel, shapes, dtypes, and a digest of all values.

    >>> from gramless._arrays.namespaces import NUMPY
    >>> problem_of(NUMPY, "kernel", [np.ones((3, 2))], [])["shapes"]
    [[3, 2]]
    """
    layers = [*xs, *ys]
    arrays = [library.bits(layer) for layer in layers]
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        rows = max(1, HASHED_BYTES // (array.shape[1] * array.itemsize))
        for start in range(0, len(array), rows):
            digest.update(np.ascontiguousarray(array[start : start + rows]).view(np.uint8).data)
    return {
        "gramless": _core.__version__,
        "kernel": repr(kernel),
        "layers": [len(xs), len(ys)],
        "shapes": [list(array.shape) for array in arrays],
        "dtypes": [library.dtype(layer) for layer in layers],
        "values": digest.hexdigest(),
    }


def check_place(function: str, path: str | os.PathLike[str], kernel: Kernel) -> None:
    """Raise ValueError, before anything is computed, if `path` cannot be the checkpoint for this kernel."""
    Checkpoint(function, path, {"gramless": _core.__version__, "kernel": repr(kernel)}).read()


class Checkpoint:
    """The checkpoint file of one sweep; errors name `function`.

    If the first write fails, `begin` raises ValueError. A later failure is a warning: the file keeps the
    previous state, and the sweep still returns its result.
    """

    def __init__(self, function: str, path: str | os.PathLike[str], problem: Problem) -> None:
        path = as_path(f"{function}: checkpoint", path)
        self._function, self._path, self._problem = function, Path(os.path.abspath(path)), problem
        self._name = printable(self._path.name)
        if self._path.is_dir() or not Path(os.path.realpath(path)).parent.is_dir():
            raise ValueError(
                f"{function}: checkpoint must be a file in a folder that exists but is {str(path)!r}"
            )
        _files.check_output(f"{function}: checkpoint", path, suffixes=frozenset())
        self._next = time.monotonic() + LEAST_PAUSE
        self._warned = False

    def read(self) -> State:
        """The state to resume from, an empty one if there is no file.

        Raises ValueError for a file that is damaged or belongs to another sweep.
        """
        if not self._path.exists():
            return State()
        try:
            found, state = self._parsed()
        except Exception as error:  # on malformed bytes the parsers raise exceptions of any type
            reason = printable(" ".join(str(error).split())[:120]) or type(error).__name__
            raise ValueError(
                f"{self._function}: checkpoint {self._name} is damaged or no checkpoint ({reason})"
            ) from None
        for name, ours in self._problem.items():
            if found.get(name) != ours:
                raise ValueError(
                    f"{self._function}: checkpoint {self._name} belongs to another sweep, with {name} "
                    f"{found.get(name)!r} instead of {ours!r}; remove it or name another file"
                )
        return state

    def _parsed(self) -> tuple[Problem, State]:
        size = _files.regular_size("checkpoint", self._path)
        with self._path.open("rb") as stream:
            check_zip(stream)
            with zipfile.ZipFile(stream) as archive:  # an uncompressed member is no larger than the file
                for entry in archive.infolist():
                    limit = min(size, LONGEST_PROBLEM) if entry.filename == "problem.npy" else size
                    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
                        raise ValueError(f"{entry.filename} is compressed or too long")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as entries:
                found = parse_json(str(entries["problem"]).encode())
                sigmas, done, sums = (entries[name] for name in ("sigmas", "done", "sums"))
        if found.pop("format") != FORMAT:
            raise ValueError("another format")
        if not sigmas.ndim == sums.ndim == 1 or np.any(sigmas < 0):  # 0 for equal rows, NaN for rows with NaN
            raise ValueError("its bandwidths or sums are not valid")
        if int(done) != done or done < 0 or len(sigmas) > sum(found.get("layers", ())):
            raise ValueError("its numbers of bandwidths or parts are not valid")
        return found, State([float(sigma) for sigma in sigmas], (int(done), sums.astype(np.float64)))

    def begin(self, state: State) -> None:
        """Write the state before the work begins. Raises ValueError if the file cannot be written."""
        try:
            self.write(state)
        except OSError as error:
            raise ValueError(
                f"{self._function}: checkpoint {self._name} cannot be written ({error.strerror or error})"
            ) from None

    def keep(self, state: State) -> None:
        """Write the state unless the last write is too recent; of all failures only the first one warns."""
        if time.monotonic() >= self._next:
            self.finish(state)

    def finish(self, state: State) -> None:
        """Write the state; of all failures only the first one warns."""
        try:
            self.write(state)
        except Exception as error:
            self._next = time.monotonic() + LEAST_PAUSE
            if not self._warned:
                self._warned = True
                reason = " ".join(str(error).split()) or type(error).__name__
                warnings.warn(
                    f"{self._function}: checkpoint {self._name} cannot be written ({printable(reason)}); the "
                    "sweep continues without it",
                    RuntimeWarning,
                    stacklevel=5,
                )

    def abandon(self, state: State) -> None:
        """Write the state while an exception propagates; a failure does not replace that exception."""
        with contextlib.suppress(Exception):  # warnings may have been turned into errors
            self.finish(state)

    def write(self, state: State) -> None:
        """Replace the file by this state. Raises OSError if that fails."""
        started = time.monotonic()
        done, sums = state.summed
        problem = json.dumps({"format": FORMAT} | self._problem)
        content = io.BytesIO()
        np.savez(content, problem=problem, sigmas=np.array(state.sigmas), done=done, sums=sums)
        _files.write_file(self._path, content.getvalue())
        now = time.monotonic()
        self._next = now + max(LEAST_PAUSE, (now - started) / BUSY_SHARE)
