"""Rows of arrays in float64, in blocks that fit into a cache: a float64 copy of all rows would be large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .. import _arrays
from .._arrays.namespaces import Array, Arrays, Wanted
from .._losses import EPSILON

BLOCK_BYTES = 2**19


def row_blocks(n: int, d: int) -> Iterator[slice]:
    """Slices that divide the rows of an array (n, d) into blocks."""
    size = max(1, BLOCK_BYTES // (8 * d))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


class UnitRows:
    """The rows u of an array divided by max(|u|, 1e-12), or unchanged: float64, on the backend's device."""

    def __init__(self, backend: Any, x: Any, normalize: bool) -> None:
        self.z = backend.wide(x)  # (n, d)
        self._where, self._lengths = backend.xp.where, None
        if normalize:
            self._lengths = ((self.z * self.z).sum(1) ** 0.5).clip(EPSILON)[:, None]
            self.z = self.z / self._lengths

    def backward(self, by_z: Any) -> Any:
        """The derivative with respect to u from that with respect to `z`."""
        if self._lengths is None:
            return by_z
        along = (by_z * self.z).sum(1)[:, None] * self.z
        return (by_z - self._where(self._lengths == EPSILON, 0.0, along)) / self._lengths


class Pairs:
    """Row i of one array (n, d) with row i of another, block by block; on a device in one block."""

    def __init__(self, backend: Any, arrays: Arrays, normalize: bool) -> None:
        self._backend, self._arrays, self._normalize = backend, arrays, normalize
        self._blocks = list(row_blocks(*arrays[0].shape)) if backend.here else [slice(None)]
        self._held = [self._rows(block) for block in self._blocks] if len(self._blocks) == 1 else None

    def _rows(self, block: slice) -> tuple[slice, UnitRows, UnitRows]:
        q, k = (UnitRows(self._backend, x[block], self._normalize) for x in self._arrays)
        return block, q, k

    def __iter__(self) -> Iterator[tuple[slice, UnitRows, UnitRows]]:
        return iter(self._held) if self._held is not None else map(self._rows, self._blocks)

    def products(self, i: int = 0, j: int = 1) -> Array:
        """The dot product of each row of array i with that of array j (n,)."""
        found = self._backend.empty(self._arrays[0].shape[0])
        for block, *rows in self:
            found[block] = (rows[i].z * rows[j].z).sum(1)
        return found

    def add_gradients(
        self, found: list[Any], inputs: Arrays, wanted: Wanted, by_z: Callable[..., Array]
    ) -> None:
        """Adds by_z(i, block, own, others) to the gradients of the first two inputs, or creates them."""
        asked = [bool(want) and i < 2 for i, want in enumerate(wanted[: len(inputs)])]
        absent = [want and grad is None for want, grad in zip(asked, found, strict=False)]
        for i, made in enumerate(self._backend.gradients(inputs, absent)):
            found[i] = found[i] if made is None else made
        for block, *rows in self:
            for i in (0, 1):
                if asked[i]:
                    target = _arrays.to_host(found[i]) if self._backend.here else found[i]
                    by_u = rows[i].backward(by_z(i, block, rows[i], rows[1 - i]))
                    target[block] = by_u if absent[i] else self._backend.wide(target[block]) + by_u
