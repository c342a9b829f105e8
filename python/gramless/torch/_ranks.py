"""The processes of a group that share a sweep, through torch.distributed only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed

from .._sums import Floats

Value = TypeVar("Value")
Array = npt.NDArray[Any]


class Ranks:
    """`gramless._sweep.Processes` as ranks of a process group; errors name `function`."""

    def __init__(self, function: str, process_group: Any) -> None:
        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError(f"{function}: process_group is given but torch.distributed is not initialized")
        self.size, self.rank = distributed.get_world_size(process_group), distributed.get_rank(process_group)
        if self.rank < 0:
            raise ValueError(f"{function}: this process is not in process_group")
        self._group = process_group
        on_gpu = "nccl" in str(distributed.get_backend(process_group))
        self._device = torch.device("cuda" if on_gpu else "cpu")

    def share(self, value: Value) -> list[Value]:
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value, self._group)
        return found

    def in_order(self, own: Floats, owners: int) -> Iterator[Floats]:
        if self.rank == 0:
            yield own
            for other in range(1, owners):
                received = torch.empty(len(own), dtype=torch.float64, device=self._device)
                distributed.recv(received, self._global(other), self._group)
                yield received.cpu().numpy()
        elif self.rank < owners:
            distributed.send(torch.from_numpy(own).to(self._device), self._global(0), self._group)

    def spread(self, sums: Floats | None, length: int) -> Floats:
        return self.broadcast(np.zeros(length) if sums is None else sums, 0)

    def broadcast(self, values: Array, owner: int) -> Array:
        """In all processes the values of one; elsewhere they only have their shape and dtype."""
        tensor = torch.from_numpy(values).to(self._device)
        distributed.broadcast(tensor, self._global(owner), self._group)
        return np.asarray(tensor.cpu().numpy())

    def _global(self, rank: int) -> int:
        return distributed.get_global_rank(self._group, rank)
