"""Rows of many layers collected batch by batch: where they are, or beyond a budget in .npy files, mapped.

Knows nothing of models. The files lie in a temporary folder that is removed on leaving.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from .. import _arrays
from .pooling import Rows


class Spool:
    """A list of growing arrays, one per layer.

    budget: bytes of all layers that may stay in memory; once they are more, or sure to become more, every
        layer goes to a file of its own.
    folder: where the temporary folder is made; None is the system's place for such.

    >>> with Spool(budget=0) as spool:
    ...     spool.append([np.ones((2, 3)), np.ones((2, 1))])
    ...     spool.append([np.ones((4, 3)), np.ones((4, 1))])
    ...     [layer.shape for layer in spool.arrays()], spool.on_disk
    ([(6, 3), (6, 1)], True)
    """

    def __init__(self, budget: int, folder: str | Path | None = None) -> None:
        self._budget, self._folder = budget, folder
        self._chunks: list[list[Rows]] = []
        self._files: list[_GrowingFile] = []
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._bytes = 0

    @property
    def on_disk(self) -> bool:
        """Whether the budget was exceeded."""
        return self._temporary is not None

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()
        self._chunks, self._files = [], []
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def append(self, layers: Sequence[Rows], batches: int = 1) -> None:
        """Add the rows of every layer from one batch; `batches` like it are expected in all."""
        size = sum(rows.nbytes for rows in layers)
        if not self._chunks:
            self._chunks = [[] for _ in layers]
        self._bytes += size
        for chunks, rows in zip(self._chunks, layers, strict=True):
            chunks.append(rows)
        if not self.on_disk and max(self._bytes, size * batches) > self._budget:
            self._temporary = tempfile.TemporaryDirectory(prefix="gramless-", dir=self._folder)
            self._files = [
                _GrowingFile(Path(self._temporary.name, f"{index}.npy"), _arrays.to_host(chunks[0][:0]))
                for index, chunks in enumerate(self._chunks)
            ]
        for file, chunks in zip(self._files, self._chunks, strict=False):
            for rows in chunks:
                file.append(_arrays.to_host(rows))
            chunks.clear()

    def arrays(self) -> list[Rows]:
        """Every layer whole (n, features): where its rows were, or mapped from its file. Nothing can be added
        after.
        """
        if self.on_disk:
            return [file.mapped() for file in self._files]
        whole = []
        for chunks in self._chunks:  # layer by layer, so that only one exists twice at a time
            whole.append(_joined(chunks))
            chunks.clear()
        return whole


def _joined(chunks: list[Any]) -> Rows:
    if len(chunks) == 1:
        return cast("Rows", chunks[0])
    return torch.cat(chunks) if isinstance(chunks[0], torch.Tensor) else np.concatenate(chunks)


class _GrowingFile:
    """A .npy file to which rows are added; the header has room for the number of rows, written at the end."""

    def __init__(self, path: Path, like: npt.NDArray[Any]) -> None:
        self._path, self._dtype, self._features, self._rows = path, like.dtype, like.shape[1], 0
        self._stream = path.open("wb")
        self._start = self._write_header()

    def _write_header(self) -> int:
        shape = (self._rows, self._features)
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(self._stream, header)
        return self._stream.tell()

    def append(self, rows: npt.NDArray[Any]) -> None:
        self._stream.write(np.ascontiguousarray(rows, self._dtype).data)
        self._rows += len(rows)

    def mapped(self) -> npt.NDArray[Any]:
        self._stream.seek(0)
        if self._write_header() != self._start:
            raise OSError(f"{self._path.name}: the header has no room for {self._rows} rows")
        self._stream.close()
        mapped: npt.NDArray[Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return mapped

    def close(self) -> None:
        self._stream.close()
