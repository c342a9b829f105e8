"""The processes of a torch.distributed group that compute one call together: all return or all raise.

Every exchange begins with `all_gather_object`, whose messages hold either a value or the error that ended the
call in their process. A process that fails takes part in one more exchange, so that all receive its error.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from .._arrays import Floats

Value = TypeVar("Value")
Array = npt.NDArray[Any]

LONGEST_SLEEP = 0.01  # seconds between two checks of an exchange
PAUSE = 0.5  # seconds between two checks of the store
GRACE = 10.0  # seconds that a failed process waits for the others
_KNOWN = "_gramless_known_to_all"  # set on exceptions that every process has or will receive
_SAME_TYPE = {error.__name__: error for error in (ValueError, TypeError, NotImplementedError, RuntimeError)}


class _Message(NamedTuple):
    """The message of a process in `all_gather_object`."""

    value: Any
    error: tuple[str, str] | None = None  # the type and the message of an error


class Ranks:
    """The ranks of a process group, as `gramless._sweep.Processes`; errors name `function`."""

    def __init__(self, function: str, process_group: Any) -> None:
        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError(f"{function}: process_group is given but torch.distributed is not initialized")
        self.size, self.rank = distributed.get_world_size(process_group), distributed.get_rank(process_group)
        if self.rank < 0:
            raise ValueError(f"{function}: this process is not in process_group")
        self._function, self._group = function, process_group
        on_gpu = "nccl" in str(distributed.get_backend(process_group))
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._signals = _Signals(_store_of(process_group))
        first = {"token": uuid.uuid4().hex, "function": function}
        every = self.all_gather_object(first)
        self._signals.name(every[0]["token"])
        self._compare([{"function": other["function"]} for other in every])

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A context in which an error of one process is raised in all processes, with its message."""
        try:
            yield
            self.all_gather_object(None)  # no process leaves the context before all have succeeded
        except BaseException as error:  # KeyboardInterrupt too
            if not hasattr(error, _KNOWN):
                setattr(error, _KNOWN, True)
                self._tell(error)
            raise

    def check_equal(self, arguments: dict[str, Any]) -> None:
        """Raise ValueError in all processes unless all have the same arguments."""
        self._compare(self.all_gather_object(arguments))

    def _compare(self, every: list[dict[str, Any]]) -> None:
        for name in every[0]:
            for rank, other in enumerate(every):
                if other.get(name) != every[0][name]:
                    raise _known(
                        ValueError(
                            f"{self._function}: every process of process_group must have the same arguments, "
                            f"but {name} is {every[0][name]!r} in process 0 and {other.get(name)!r} in "
                            f"process {rank}"
                        )
                    )

    def all_gather_object(self, value: Value) -> list[Value]:
        """Return the values of all processes in each of them; if a process has failed, raise its error."""
        messages = self._exchange(_Message(value))
        for rank, message in enumerate(messages):
            if message.error is not None:
                raise _known(error_of(self._function, rank, *message.error))
        return [message.value for message in messages]

    def poll(self) -> None:
        """Raise the error of another process if one has failed; called during long computations."""
        signal = self._signals.look()
        if signal is not None and signal.lost:
            raise self._given_up(signal)
        if signal is not None:
            self.all_gather_object(None)  # the failed process waits in this exchange

    def gather_in_order(self, own: Floats, owners: int) -> Iterator[Floats]:
        """Gather the values of processes 0, ..., owners - 1 in process 0.

        It is a collective operation, because gloo's sends and receives cannot be polled for completion.
        """
        every = self._gathered(torch.from_numpy(own))
        if self.rank == 0:
            yield from (part.numpy() for part in every[:owners])

    def broadcast_sums(self, sums: Floats | None, length: int) -> Floats:
        return self.broadcast(np.zeros(length) if sums is None else sums, 0)

    def broadcast(self, values: Array, owner: int) -> Array:
        """Copy the values of process `owner` to all; others pass an array of the same shape and dtype."""
        tensor = torch.from_numpy(values).to(self._device)
        begin = partial(distributed.broadcast, tensor, self._global(owner), self._group, async_op=True)
        self._wait(begin)
        return np.asarray(tensor.cpu().numpy())

    def _global(self, rank: int) -> int:
        return distributed.get_global_rank(self._group, rank)

    def _exchange(self, message: _Message) -> list[_Message]:
        own = torch.frombuffer(bytearray(pickle.dumps(message)), dtype=torch.uint8)
        lengths = self._gathered(torch.tensor([len(own)], dtype=torch.int64))
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(own)] = own
        every = self._gathered(padded)
        return [
            pickle.loads(part[: int(length)].numpy().tobytes())
            for part, length in zip(every, lengths, strict=True)
        ]

    def _gathered(self, own: Tensor) -> list[Tensor]:
        own = own.to(self._device)
        found = [torch.empty_like(own) for _ in range(self.size)]
        begin = partial(distributed.all_gather, found, own, self._group, async_op=True)
        self._wait(begin, in_gather=True)
        return [part.cpu() for part in found]

    def _wait(self, begin: Any, in_gather: bool = False) -> None:
        """Wait until an exchange is complete; raises if a process is lost or has failed."""
        sleep, since = 1e-5, time.monotonic()
        try:
            work = begin()
            while work is not None and not work.is_completed():
                time.sleep(sleep)
                sleep = min(2 * sleep, LONGEST_SLEEP)
                signal = self._signals.look()
                patient = in_gather and time.monotonic() < since + GRACE
                if signal is not None and (signal.lost or not patient):
                    raise self._given_up(signal)
            if work is not None:
                work.wait()
        except BaseException as error:
            self._signals.set("lost")  # after an aborted exchange the group is no longer synchronized
            if isinstance(error, RuntimeError) and not hasattr(error, _KNOWN):
                raise _known(self._lost(" ".join(str(error).split())[:200])) from None
            setattr(error, _KNOWN, True)
            raise

    def _given_up(self, signal: _Signal) -> Exception:
        self._signals.set("lost")
        if signal.failed is None:
            return _known(self._lost("another process reported it"))
        return _known(error_of(self._function, *signal.failed))

    def _lost(self, reason: str) -> Exception:
        return lost(self._function, reason)

    def _tell(self, error: BaseException) -> None:
        """Send an error to the other processes, through the store and in their next `all_gather_object`."""
        name, sentence = type(error).__name__, " ".join(str(error).split())
        self._signals.set("failed", json.dumps([self.rank, name, sentence]))
        with contextlib.suppress(RuntimeError):  # if a process is lost, the others get that error anyway
            self._exchange(_Message(None, (name, sentence)))


class _Signal(NamedTuple):
    """A signal found in the store."""

    failed: tuple[int, str, str] | None  # the process, and the type and message of its error
    lost: bool  # whether an exchange was aborted


class _Signals:
    """Flags of one call in the store of its group, for processes that are not in an exchange."""

    def __init__(self, store: Any) -> None:
        self._store, self._prefix = store, ""
        self._next = time.monotonic() + PAUSE

    def name(self, token: str) -> None:
        """Set the prefix of the keys of this call, which other calls in the same store do not use."""
        self._prefix = f"gramless/{token}"

    def set(self, flag: str, text: str = "") -> None:
        if self._store is not None and self._prefix:
            with contextlib.suppress(RuntimeError):  # the lost process may have hosted the store
                self._store.set(f"{self._prefix}/{flag}", text)

    def look(self) -> _Signal | None:
        """The flags that are set, read at most every PAUSE seconds; None otherwise."""
        if self._store is None or not self._prefix or time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + PAUSE
        failed, lost = (f"{self._prefix}/{flag}" for flag in ("failed", "lost"))
        try:
            found = [self._store.check([key]) for key in (failed, lost)]
            if not any(found):
                return None
            return _Signal(tuple(json.loads(self._store.get(failed))) if found[0] else None, found[1])
        except RuntimeError:  # the process that hosted the store has ended
            return _Signal(None, True)


def _store_of(process_group: Any) -> Any:
    """The store of a group, through a function that is private to torch; None if that is missing, so that
    errors are only sent in the next exchange.
    """
    find = getattr(distributed.distributed_c10d, "_get_process_group_store", None)
    return None if find is None else find(process_group)


def _known(error: Exception) -> Exception:
    """Mark an error that need not be sent to other processes."""
    setattr(error, _KNOWN, True)
    return error


def lost(function: str, reason: str) -> Exception:
    """The error for a lost process."""
    return RuntimeError(f"{function}: a process of process_group ended or lost its connection ({reason})")


def error_of(function: str, rank: int, name: str, sentence: str) -> Exception:
    if name in _SAME_TYPE and sentence.startswith(f"{function}"):
        return _SAME_TYPE[name](f"{sentence} (in process {rank})")
    return RuntimeError(f"{function}: process {rank} ended with {name}: {sentence}")
