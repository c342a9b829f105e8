"""Exchange of data between the processes of a loss, through torch.distributed."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .._counts import as_flag
from ._ranks import GRACE, LONGEST_SLEEP, error_of, lost
from ._tensors import NAMES

_DTYPES = list(NAMES)  # in the same order in all processes
_LONGEST_SENTENCE = 1000  # bytes
_NUMBERS = 10  # numbers that `check_shards` compares

Also: TypeAlias = tuple[str, float]  # a further option that must agree, and its value
NOTHING: Also = ("", 0.0)

# Whether the call of a loss has reached its first exchange. A later error is raised in one process only.
_compared: ContextVar[bool] = ContextVar("compared", default=False)


def world_size() -> int:
    """The number of processes that train together; 1 without torch.distributed."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def rank() -> int:
    """The rank of this process."""
    return torch.distributed.get_rank() if world_size() > 1 else 0


def all_gather(x: Tensor) -> list[Tensor]:
    """The tensors x of all processes, which must have the same shape."""
    if world_size() == 1:
        return [x]
    x = x.contiguous()
    found = [torch.empty_like(x) for _ in range(world_size())]
    torch.distributed.all_gather(found, x)
    return found


def gather_rows(function: str, rows: Tensor, size: int, given: Tensor) -> list[Tensor]:
    """The rows (n, d) of all processes, without gradients, for memory banks of `size` rows.

    Raises ValueError in all processes if shapes, sizes, or dtypes of `given` (the rows before conversion)
    differ.
    """
    check_shards(function, [given], use="a memory bank", also=("memory_bank_size", size))
    return all_gather(rows)


def check_shards(
    function: str,
    sides: Sequence[Tensor],
    temperature: float | Tensor = 1.0,
    normalize: bool = True,
    scale: float | Tensor = 1.0,
    use: str = "",
    also: Also = NOTHING,
) -> None:
    """Raise ValueError in all processes unless all have rows (n, d) of the same shape and dtype, and call the
    same function for the same use with the same options. If a process has failed, raise its error instead.
    also: the name and value of a further option to compare.
    """
    place, rows = _place(), sides[0]
    dtype = functools.reduce(torch.promote_types, (side.dtype for side in sides))
    numbers = [0, *rows.shape, _DTYPES.index(dtype), _checksum(f"{function} {use}")]
    numbers += [rows.device.type == "cpu", normalize, also[1]]
    parts = [torch.tensor(numbers, dtype=torch.float64, device=place)]
    for value in (temperature, scale):
        parts.append(torch.as_tensor(value, dtype=torch.float64, device=place).detach().reshape(1))
    _compared.set(True)
    every = [part.tolist() for part in all_gather(torch.cat(parts))]
    if any(failed for failed, *_ in every):
        raise _told(function)
    _check_same(function, every, also[0])
    shapes = [(int(part[1]), int(part[2])) for part in every]
    for other, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"{function}: every process must have the same number of rows and columns, but process 0 has "
                f"{shapes[0]} and process {other} has {shape}; pass drop_last=True to the loader"
            )


def _checksum(text: str) -> int:
    """A hash of a text that is the same in all processes, and that torch.compile can trace."""
    found = 0
    for letter in text:
        found = (131 * found + ord(letter)) % 2**31
    return found


def _check_same(function: str, every: list[list[float]], also: str) -> None:
    """Raise ValueError unless all processes have the same numbers, except for the shapes."""
    words: dict[str, Callable[[float], str]] = {
        "dtype": lambda x: str(_DTYPES[int(x)]).removeprefix("torch."),
        "function": "{:.0f}".format,
        "device": lambda x: "the CPU" if x else "a GPU",
        "normalize": lambda x: str(bool(x)),
        also: (lambda x: "one" if x else "None") if also == "weight_fn" else "{:g}".format,
        "temperature": repr,
        "logit_scale": repr,
    }
    for place, (what, word) in enumerate(words.items(), 3):
        first = word(every[0][place])
        for other, numbers in enumerate(every):
            theirs = word(numbers[place])
            if theirs != first:
                values = f"process 0 has {first} and process {other} has {theirs}"
                raise ValueError(
                    f"{function}: every process must have the same {what}, but "
                    f"{'they differ' if what == 'function' else values}"
                )


def ends_together(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate the forward of a loss with `gather_distributed` so that an error in one process, before it
    exchanges rows with the others, is raised in all processes.
    """

    @functools.wraps(forward)
    def together(loss: Any, *arguments: Any, **options: Any) -> Tensor:
        if not (loss.gather_distributed and world_size() > 1 and _exchanges(loss, arguments, options)):
            return forward(loss, *arguments, **options)
        token = _compared.set(False)
        try:
            return forward(loss, *arguments, **options)
        except BaseException as error:  # KeyboardInterrupt too
            if not _compared.get():
                _tell(error)
            elif _of_connection(error):
                reason = " ".join(str(error).split())[:200]
                raise lost(type(loss).__name__, reason) from None
            raise
        finally:
            _compared.reset(token)

    return together


def _of_connection(error: BaseException) -> bool:
    """Whether torch.distributed has lost a process; gloo has no exception type of its own."""
    kinds = getattr(torch.distributed, "DistError", ())
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def _exchanges(loss: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether the other processes reach an exchange too: with a memory bank, only calls that fill it do."""
    bank = getattr(loss, "memory_bank", None)
    if bank is None or not bank.enabled:
        return True
    first = arguments[0] if arguments else next(iter(options.values()), None)
    return torch.is_grad_enabled() and bool(getattr(first, "requires_grad", True))


def _tell(error: BaseException) -> None:
    """Send the error of this process to the other processes, which are or will be in `check_shards`."""
    text = f"{type(error).__name__}\n{' '.join(str(error).split())}".encode()[:_LONGEST_SENTENCE]
    head = torch.zeros(_NUMBERS, dtype=torch.float64)
    head[0] = 1
    with contextlib.suppress(RuntimeError):  # if a process is lost, the others get that error anyway
        if _arrives(head.to(_place())):
            _arrives(_padded(text))


def _arrives(x: Tensor) -> bool:
    """Send x to all processes; returns whether they receive it within GRACE seconds."""
    found = [torch.empty_like(x) for _ in range(world_size())]
    work = torch.distributed.all_gather(found, x, async_op=True)
    until = time.monotonic() + GRACE
    while work is not None and not work.is_completed():
        if time.monotonic() > until:
            return False
        time.sleep(LONGEST_SLEEP / 10)
    return True


def _told(function: str) -> Exception:
    """The error that a failed process has sent."""
    texts = [bytes(part.tolist()).rstrip(b"\0") for part in all_gather(_padded(b""))]
    process, text = next(pair for pair in enumerate(texts) if pair[1])
    name, _, sentence = text.decode(errors="ignore").partition("\n")
    return error_of(function, process, name, sentence)


def _padded(text: bytes) -> Tensor:
    return torch.tensor(list(text.ljust(_LONGEST_SENTENCE, b"\0")), dtype=torch.uint8, device=_place())


def _place() -> torch.device:
    """The device for the exchange of a few numbers, which does not depend on the arguments of a process."""
    config = getattr(torch.distributed.distributed_c10d, "get_backend_config", str)
    backends = str(config()) if world_size() > 1 else "cpu"
    return torch.device("cpu") if "cpu" in backends else torch.device("cuda", torch.cuda.current_device())


def check_available(function: str, gather_distributed: bool) -> None:
    """Raise ValueError if gather_distributed is True but torch was built without torch.distributed."""
    if as_flag(function, "gather_distributed", gather_distributed) and not torch.distributed.is_available():
        raise ValueError(
            f"{function}: gather_distributed is True but this torch was built without torch.distributed"
        )
