"""Records with torch's profiler which kernels of gramless ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..kernel_names import kernel_name


@contextmanager
def record_kernels(where: str) -> Iterator[set[str] | None]:
    """A set that is filled when the block ends; None without a GPU."""
    if where != "cuda":
        yield None
        return
    found: set[str] = set()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        yield found
    found |= {name for event in profile.key_averages() if (name := kernel_name(event.key))}
