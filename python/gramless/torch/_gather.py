"""What processes tell each other, through torch.distributed only."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from ._problem import DTYPES

_DTYPES = list(DTYPES)  # in one order everywhere


def world_size() -> int:
    """How many processes train together; 1 without torch.distributed."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def rank() -> int:
    """This process among them."""
    return torch.distributed.get_rank() if world_size() > 1 else 0


def all_gather(x: Tensor) -> list[Tensor]:
    """x of every process, which have one shape."""
    if world_size() == 1:
        return [x]
    x = x.contiguous()
    found = [torch.empty_like(x) for _ in range(world_size())]
    torch.distributed.all_gather(found, x)
    return found


def gather_rows(function: str, rows: Tensor) -> list[Tensor]:
    """rows (n, d) of every process, without gradients; raises ValueError, everywhere, where shapes differ."""
    check_shards(function, rows)
    return all_gather(rows)


def check_shards(function: str, rows: Tensor, temperature: float | Tensor = 1.0) -> None:
    """Raises ValueError, in every process, unless all hold rows (n, d) of one shape and dtype, and call the
    same function with the same temperature.
    """
    numbers = [*rows.shape, _DTYPES.index(rows.dtype), zlib.crc32(function.encode())]
    own = torch.tensor(numbers, dtype=torch.float64, device=rows.device)
    own = torch.cat([own, torch.as_tensor(temperature, dtype=torch.float64, device=rows.device).reshape(1)])
    every = [part.tolist() for part in all_gather(own)]
    for other, (*_, dtype, name, value) in enumerate(every):
        _, _, first_dtype, first_name, first_value = every[0]
        differing = {
            "function": (f"{first_name:.0f}", f"{name:.0f}"),
            "dtype": tuple(str(_DTYPES[int(i)]).removeprefix("torch.") for i in (first_dtype, dtype)),
            "temperature": (repr(first_value), repr(value)),
        }
        for what, (first, theirs) in differing.items():
            if first != theirs:
                raise ValueError(
                    f"{function}: every process must have the same {what}, but "
                    + (
                        "they differ"
                        if what == "function"
                        else f"process 0 has {first} and process {other} has {theirs}"
                    )
                )
    shapes = [tuple(int(length) for length in part[:2]) for part in every]
    for other, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"{function}: every process must hold as many rows and columns, but process 0 has "
                f"{shapes[0]} and process {other} has {shape}; a loader with drop_last=True sees to it"
            )


def check_available(function: str, gather_distributed: bool) -> None:
    """Raises ValueError where processes are to be gathered by a torch that cannot."""
    if gather_distributed and not torch.distributed.is_available():
        raise ValueError(
            f"{function}: gather_distributed is True but this torch was built without torch.distributed"
        )
