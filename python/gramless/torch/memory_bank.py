"""The queue of negatives that a loss keeps between batches."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._gather import gather_rows


class MemoryBank(nn.Module):
    """The last K rows that were added, in a ring buffer (K, D) that starts with random directions.

    New rows replace the oldest ones. A batch that reaches the end of the ring is cut there, and the next one
    starts at the beginning, so that no batch wraps around.

    bank (K, D) and bank_ptr (1,) are buffers in the state_dict, so that training can be resumed. A state_dict
    without them can be loaded too, and leaves the ring unchanged.

    size: 0 or (0, D) for no bank, or (K, D). Raises ValueError for other values.

    >>> MemoryBank("NTXentLoss", (4, 2)).enabled
    True
    """

    bank: Tensor  # (K, D)
    bank_ptr: Tensor  # (1,)

    def __init__(self, function: str, size: int | Sequence[int], gather_distributed: bool = False) -> None:
        super().__init__()
        shape = _as_shape(function, size)
        self.size = shape
        self.enabled = shape[0] > 0
        self.gather_distributed = gather_distributed
        rows = nn.functional.normalize(torch.randn(shape), dim=-1) if self.enabled else torch.empty(0)
        self.register_buffer("bank", rows, persistent=self.enabled)
        self.register_buffer("bank_ptr", torch.zeros(1, dtype=torch.long), persistent=self.enabled)

    def snapshot(self) -> Tensor:
        """A copy of the current rows, (K, D)."""
        return self.bank.detach().clone()

    @torch.no_grad()
    def put(self, rows: Tensor, given: Tensor) -> None:
        """Replace the oldest rows by these unit rows (n, D) or, if gathered, by those of all processes.

        given: the rows before normalisation, whose shapes and dtypes are compared between processes.
        """
        if self.gather_distributed:
            rows = torch.cat(gather_rows("NTXentLoss", rows.detach(), self.bank.shape[0], given))
        count, new = self.bank.shape[0], rows.shape[0]
        if new == 0:
            return
        source = (
            torch.arange(count, device=self.bank.device) - self.bank_ptr
        )  # the source of each row, computed on the device so that nothing waits for it
        replaced = ((source >= 0) & (source < new)).unsqueeze(1)
        incoming = rows.detach().to(self.bank)[source.clamp(0, new - 1)]
        self.bank.copy_(torch.where(replaced, incoming, self.bank))
        after = self.bank_ptr + new
        self.bank_ptr.copy_(torch.where(after < count, after, 0))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any) -> None:
        for name, buffer in self.named_buffers():
            if self.enabled and isinstance(state_dict, dict):
                state_dict.setdefault(prefix + name, buffer)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _as_shape(function: str, size: Any) -> tuple[int, ...]:
    """(0,) or (rows, features); raises TypeError or ValueError for anything else."""
    sentence = f"{function}: memory_bank_size must be 0 or (rows, features) but is {size!r}"
    lengths = tuple(size) if isinstance(size, (tuple, list, torch.Size)) else (size,)
    try:
        shape = tuple(operator.index(length) for length in lengths)
    except TypeError:
        raise TypeError(sentence) from None
    if any(length < 0 for length in shape) or (shape != (0,) and len(shape) != 2):
        raise ValueError(sentence)
    return shape
