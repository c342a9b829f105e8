"""Rows of many layers collected batch by batch: where they are, or beyond a budget in files, mapped.

Knows nothing of models. The files have no name, so that none remains however the process ends.
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

    budget: bytes of all layers that may stay in memory; once they are more, or sure to become more, every
        layer goes to a file of its own.
    folder: where the temporary files are; None is the system's place for such.

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
        """Add the rows of every layer from one batch; `batches` like it are expected in all."""
        size = sum(rows.nbytes for rows in layers)
        if not self._chunks:
            self._chunks = [[] for _ in layers]
        self._bytes += size
        for chunks, rows in zip(self._chunks, layers, strict=True):
            chunks.append(rows)
        with self._room():
            self._spill(size * batches)

    def arrays(self) -> list[Rows]:
        """All rows of every layer (n, features), in memory or mapped from its file. No rows can be added
        after that.
        """
        if self.on_disk:
            with self._room():
                return [file.mapped() for file in self._files]
        whole = []
        for chunks in self._chunks:  # layer by layer, so that only one exists twice at a time
            whole.append(_joined(chunks))
            chunks.clear()
        return whole

    def _spill(self, expected: int) -> None:
        """Move rows in memory to files, once the budget is exceeded or certain to be."""
        if not self.on_disk and max(self._bytes, expected) > self._budget:
            for chunks in self._chunks:
                self._files.append(_GrowingFile(self._folder, _arrays.to_host(chunks[0][:0])))
        for file, chunks in zip(self._files, self._chunks, strict=False):
            for rows in chunks:
                file.append(_arrays.to_host(rows))
            chunks.clear()

    @contextmanager
    def _room(self) -> Iterator[None]:
        """An error context that names the full disk and the solution."""
        try:
            yield
        except OSError as error:
            where = printable(str(self._folder or tempfile.gettempdir()))
            raise OSError(
                error.errno,
                f"compare_models: activations cannot be written to {where} ({error.strerror or error}); give "
                "folder= one with more room, or a larger memory_budget",
            ) from None


def _joined(chunks: list[Any]) -> Rows:
    if len(chunks) == 1:
        return cast("Rows", chunks[0])
    return torch.cat(chunks) if isinstance(chunks[0], torch.Tensor) else np.concatenate(chunks)


class _GrowingFile:
    """A file without a name, to which rows are added; it is removed with the process, however that ends."""

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
        with suppress(OSError):  # what a full disk has not taken
            self._stream.close()
