"""What is known of an unfinished sweep, in a file: written whole or not at all, read without unpickling."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _arrays, _core
from ._sums import Floats

Problem: TypeAlias = dict[str, Any]

FORMAT = "gramless.sweep"
HASHED_BYTES = 2**22  # at a time
BUSY_SHARE = 0.02  # of the time that writing may take
LEAST_PAUSE = 1.0  # seconds from one writing to the next


@dataclass
class State:
    """Bandwidths found so far, in the order of the layers, and how many parts are in the sums.

    Replaced as wholes, so that an interruption finds them consistent.
    """

    sigmas: list[float] = field(default_factory=list)
    summed: tuple[int, Floats] = (0, np.zeros(0))


def problem_of(kernel: object, xs: Sequence[Any], ys: Sequence[Any] | None) -> Problem:
    """What makes two sweeps the same: kernel, shapes, dtypes, and a digest of all values.

    >>> problem_of("kernel", [np.ones((3, 2))], None)["shapes"]
    [[3, 2]]
    """
    arrays = [_readable(layer) for layer in (*xs, *(ys or ()))]
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        rows = max(1, HASHED_BYTES // (array.shape[1] * array.itemsize))
        for start in range(0, len(array), rows):
            digest.update(np.ascontiguousarray(array[start : start + rows]).view(np.uint8).data)
    return {
        "gramless": _core.__version__,
        "kernel": repr(kernel),
        "layers": [len(xs), 0 if ys is None else len(ys)],
        "shapes": [list(array.shape) for array in arrays],
        "dtypes": [array.dtype.name for array in arrays],
        "values": digest.hexdigest(),
    }


def _readable(layer: Any) -> npt.NDArray[Any]:
    if not _arrays.is_tensor(layer):
        return np.asarray(layer)
    tensor = layer.detach().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":  # numpy has none
        import torch

        tensor = tensor.view(torch.int16)
    return np.asarray(tensor.numpy())


class Checkpoint:
    """The file of one sweep; errors name `function`."""

    def __init__(self, function: str, path: str | os.PathLike[str], problem: Problem) -> None:
        self._function, self._path, self._problem = function, Path(path), problem
        if self._path.is_dir() or not self._path.absolute().parent.is_dir():
            raise ValueError(f"{function}: checkpoint must be a file in a folder that exists but is {path!r}")
        self._next = time.monotonic() + LEAST_PAUSE

    def read(self) -> State:
        """Where to go on: at the start if there is no file. Raises ValueError for any other file."""
        if not self._path.exists():
            return State()
        try:
            with self._path.open("rb") as stream, np.load(stream, allow_pickle=False) as entries:
                found = json.loads(str(entries["problem"]))
                sigmas, done, sums = (entries[name] for name in ("sigmas", "done", "sums"))
            if found.pop("format") != FORMAT:
                raise ValueError("another format")
            state = State([float(sigma) for sigma in sigmas], (int(done), sums.astype(np.float64)))
        except Exception as error:  # whatever a file of something else makes the parsers raise
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ValueError(
                f"{self._function}: checkpoint {self._path.name} is damaged or no checkpoint ({reason})"
            ) from None
        for name, ours in self._problem.items():
            if found.get(name) != ours:
                raise ValueError(
                    f"{self._function}: checkpoint {self._path.name} belongs to another sweep, its {name} "
                    f"{found.get(name)!r} where this one's are {ours!r}; remove it or name another file"
                )
        return state

    def keep(self, state: State) -> None:
        """Write the state, unless that was done a moment ago."""
        if time.monotonic() >= self._next:
            self.write(state)

    def write(self, state: State) -> None:
        started = time.monotonic()
        done, sums = state.summed
        unfinished = self._path.with_name(f".{self._path.name}.unfinished")
        with unfinished.open("wb") as stream:
            problem = json.dumps({"format": FORMAT} | self._problem)
            np.savez(stream, problem=problem, sigmas=np.array(state.sigmas), done=done, sums=sums)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(self._path)
        now = time.monotonic()
        self._next = now + max(LEAST_PAUSE, (now - started) / BUSY_SHARE)
