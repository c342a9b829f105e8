"""Which kernels of gramless ran, as torch's profiler saw them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..kernel_names import kernel_name


@contextmanager
def record_kernels(where: str) -> Iterator[set[str] | None]:
    """A set that is filled when the block ends; None where there is no GPU to look at."""
    if where != "cuda":
        yield None
        return
    found: set[str] = set()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        yield found
    found |= {name for event in profile.key_averages() if (name := kernel_name(event.key))}
