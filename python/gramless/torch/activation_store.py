"""Rows of many layers, collected batch by batch: in memory or, beyond a budget, in memory-mapped files.

This module does not depend on models. The files have no names, so that none remains after any end of the
process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from .. import _arrays
from .._paths import from_here
from .._text import printable
from .pooling import Rows


class ActivationStore:
    """A list of growing arrays, one per layer.

    budget: the bytes of all layers that may stay in memory. If the layers exceed it, or certainly will, each
        layer is moved to a file of its own.
    folder: the folder of these files; None uses the system's folder for temporary files.

    >>> with ActivationStore(budget=0) as store:
    ...     store.append([np.ones((2, 3)), np.ones((2, 1))])
    ...     store.append([np.ones((4, 3)), np.ones((4, 1))])
    ...     [layer.shape for layer in store.arrays()], store.on_disk
    ([(6, 3), (6, 1)], True)
    """

    def __init__(self, budget: int, folder: str | Path | None = None) -> None:
        self._budget, self._folder = budget, from_here("compare_models: folder", folder)
        self._chunks: list[list[Rows]] = []
        self._files: list[_GrowingFile] = []
        self._bytes = 0

    @property
    def on_disk(self) -> bool:
        """Whether the budget was exceeded."""
        return bool(self._files)

    def __enter__(self) -> ActivationStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        self._chunks, self._files = [], []

    def append(self, layers: Sequence[Rows], batches: int = 1) -> None:
        """Add the rows of every layer from one batch. batches: how many batches of this size are expected."""
        size = sum(rows.nbytes for rows in layers)
        if not self._chunks:
            self._chunks = [[] for _ in layers]
        self._bytes += size
        for chunks, rows in zip(self._chunks, layers, strict=True):
            chunks.append(rows)
        with self._room():
            self._spill(size * batches)

    def arrays(self) -> list[Rows]:
        """All rows of every layer (n, features), in memory or mapped from its file; no rows can be added
        afterwards.
        """
        if self.on_disk:
            with self._room():
                return [file.mapped() for file in self._files]
        whole = []
        for chunks in self._chunks:  # layer by layer, so that only one layer at a time is in memory twice
            whole.append(_joined(chunks))
            chunks.clear()
        return whole

    def _spill(self, expected: int) -> None:
        """Move the rows in memory to files if they exceed the budget, or certainly will."""
        if not self.on_disk and max(self._bytes, expected) > self._budget:
            for chunks in self._chunks:
                self._files.append(_GrowingFile(self._folder, _arrays.to_host(chunks[0][:0])))
        for file, chunks in zip(self._files, self._chunks, strict=False):
            for rows in chunks:
                file.append(_arrays.to_host(rows))
            chunks.clear()

    @contextmanager
    def _room(self) -> Iterator[None]:
        """A context that turns an OSError into one that names the folder and what to do."""
        try:
            yield
        except OSError as error:
            where = printable(str(self._folder or tempfile.gettempdir()))
            raise OSError(
                error.errno,
                f"compare_models: activations cannot be written to {where} ({error.strerror or error}); pass "
                "a folder with more room, or a larger memory_budget",
            ) from None


def _joined(chunks: list[Any]) -> Rows:
    if len(chunks) == 1:
        return cast("Rows", chunks[0])
    return torch.cat(chunks) if isinstance(chunks[0], torch.Tensor) else np.concatenate(chunks)


class _GrowingFile:
    """An unnamed file to which rows are added; it disappears with the process, for any end of that."""

    def __init__(self, folder: str | Path | None, like: npt.NDArray[Any]) -> None:
        self._dtype, self._features, self._rows = like.dtype, like.shape[1], 0
        self._stream = tempfile.TemporaryFile(prefix="gramless-", dir=folder)  # noqa: SIM115

    def append(self, rows: npt.NDArray[Any]) -> None:
        self._stream.write(np.ascontiguousarray(rows, self._dtype).data)
        self._rows += len(rows)

    def mapped(self) -> npt.NDArray[Any]:
        shape = self._rows, self._features
        if 0 in shape:
            return np.empty(shape, self._dtype)
        self._stream.flush()
        mapped: npt.NDArray[Any] = np.memmap(self._stream, self._dtype, "r", 0, shape)
        self._stream.close()  # the map holds the file
        return mapped

    def close(self) -> None:
        with suppress(OSError):  # a full disk has no room for buffered rows
            self._stream.close()
