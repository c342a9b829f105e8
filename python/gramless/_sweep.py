"""A long computation in parts, with a checkpoint or several processes; bitwise identical to one call."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

import numpy as np

from ._arrays import Floats
from ._arrays.libraries import torch_library
from ._arrays.namespaces import Array
from ._backends import Cpu, cpu_backend
from ._backends.cpu import Sweep
from ._backends.values import HsicValues
from ._checkpoint import Checkpoint, State, check_place, problem_of
from ._evaluate import Call
from ._progress import Report
from .kernels import Encoded, Kernel, encode, wants_median, with_sigma

Value = TypeVar("Value")


class Processes(Protocol):
    """The processes that compute a sweep together. Process 0 adds the sums of all parts."""

    size: int
    rank: int

    def together(self) -> AbstractContextManager[None]:
        """A context in which an error of one process is raised in all processes."""

    def check_equal(self, arguments: dict[str, Any]) -> None:
        """Raise ValueError, in all processes, unless all have the same arguments."""

    def all_gather_object(self, value: Value) -> list[Value]:
        """Return the values of all processes in each of them; if a process has failed, raise its error."""

    def poll(self) -> None:
        """Raise the error of another process if one has failed; called during long computations."""

    def gather_in_order(self, own: Floats, owners: int) -> Iterator[Floats]:
        """Gather the values of processes 0, ..., owners - 1 in process 0."""

    def broadcast_sums(self, sums: Floats | None, length: int) -> Floats:
        """Copy the values of process 0 to all processes."""


class Alone:
    """A single process, with the interface of `Processes`."""

    size, rank = 1, 0

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def check_equal(self, arguments: dict[str, Any]) -> None:
        """Does nothing: there is no other process."""

    def all_gather_object(self, value: Value) -> list[Value]:
        return [value]

    def poll(self) -> None:
        """Does nothing: there is no other process."""

    def gather_in_order(self, own: Floats, owners: int) -> Iterator[Floats]:
        yield own

    def broadcast_sums(self, sums: Floats | None, length: int) -> Floats:
        assert sums is not None
        return sums


class _Stages:
    """One progress count over the bandwidths and the parts, in proportion to their work."""

    STEPS = 10_000
    OF_VALUE = 16  # multiply-adds that take as long as a count or an exponential

    def __init__(
        self, report: Report, processes: Processes, layers: Sequence[Array], pairs: int, parts: int = 1
    ) -> None:
        """`layers`: those whose bandwidth is computed."""
        self._report, self._processes, self.parts = report, processes, parts
        work = [layer.shape[1] + self.OF_VALUE for layer in layers]
        self._before = [0.0, *itertools.accumulate(work)]
        self._all = 2 * self._before[-1] + 2 * pairs if layers else 1.0

    def bandwidth(self, index: int) -> Callable[[int, int], None]:
        begin, end = (self._before[i] / self._all for i in (index, index + 1))
        return self._within(begin, end - begin)

    def part(self, index: int) -> Callable[[int, int], None]:
        begin = self._before[-1] / self._all
        return self._within(begin + (1 - begin) * index / self.parts, (1 - begin) / self.parts)

    def _within(self, begin: float, share: float) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            self._processes.poll()
            if self._report is not None:
                self._report(round(self.STEPS * (begin + share * done / total)), self.STEPS)

        return report


def swept_values(
    call: Call, kernel: Kernel, checkpoint: str | os.PathLike[str] | None, processes: Processes
) -> HsicValues:
    """HSIC of the layers of a call, computed by `processes`, resumed from `checkpoint` if it exists."""
    library, described, inputs, names, report, *_ = call
    function, estimator = described.function, described.estimator
    layers = library.detached(function, names, inputs)
    xs, ys = layers[: described.xs], layers[described.xs :]
    backend = cpu_backend(library)
    check_places(function, processes, checkpoint, kernel)
    problem = problem_of(library, kernel, xs, ys)
    kept = {"checkpoint": None if checkpoint is None else "a file"}
    processes.check_equal({"function": function, "estimator": estimator} | kept | problem)
    file = None if checkpoint is None or processes.rank > 0 else Checkpoint(function, checkpoint, problem)
    state = _resumed(processes, file)
    try:
        pairs = len(xs) * (len(xs) + 1) // 2 if not ys else (len(xs) + 1) * (len(ys) + 1)
        stages = _Stages(report, processes, layers if wants_median(encode(kernel)) else [], pairs)
        kernels = _resolved(backend, layers, kernel, processes, state, file, stages)
        sweep = backend.sweep(xs, ys, (kernels[: len(xs)], kernels[len(xs) :]), estimator)
        stages.parts = sweep.parts
        _add_parts(function, sweep, processes, state, file, stages)
    except BaseException:  # KeyboardInterrupt too
        if file is not None:
            file.abandon(state)
        raise
    if file is not None:
        file.finish(state)
    processes.all_gather_object(None)
    sums = processes.broadcast_sums(state.summed[1] if processes.rank == 0 else None, sweep.sums_length)
    return HsicValues.of_core(sweep.values(sums), len(xs), not ys)


def check_places(
    function: str, processes: Processes, checkpoint: str | os.PathLike[str] | None, kernel: Kernel
) -> None:
    """Raise ValueError in all processes if process 0 cannot use `checkpoint` for this kernel."""
    if checkpoint is not None and processes.rank == 0:
        check_place(function, checkpoint, kernel)
    processes.all_gather_object(None)


def processes_of(function: str, process_group: Any) -> Processes:
    """The processes of a torch.distributed group, or this process alone for None."""
    if process_group is None:
        return Alone()
    return torch_library().processes(function, process_group)  # type: ignore[no-any-return]


def _resumed(processes: Processes, file: Checkpoint | None) -> State:
    """The state that process 0 has read, copied to all processes."""
    state = State()
    if file is not None:
        state = file.read()
        file.begin(state)
    sigmas, done = processes.all_gather_object((state.sigmas, state.summed[0]))[0]
    return State(sigmas, (done, state.summed[1]))


def _resolved(
    backend: Cpu,
    layers: Sequence[Array],
    kernel: Kernel,
    processes: Processes,
    state: State,
    file: Checkpoint | None,
    stages: _Stages,
) -> list[Encoded]:
    """The kernel of every layer with its bandwidth; one process computes the bandwidth of each layer."""
    code = encode(kernel)
    if not wants_median(code):
        return [code] * len(layers)
    in_float64 = backend.dtype(layers) == "float64"
    while len(state.sigmas) < len(layers):
        start = len(state.sigmas)
        mine, sigma = min(start + processes.rank, len(layers) - 1), np.nan
        if mine == start + processes.rank:
            name = f"layer {mine} of xs and ys"
            sigma = backend.bandwidth(layers[mine], code, in_float64, stages.bandwidth(mine), name)
        found = processes.all_gather_object(sigma)[: len(layers) - start]
        state.sigmas = [*state.sigmas, *found]
        if file is not None:
            file.keep(state)
        stages.bandwidth(mine)(1, 1)
    return [with_sigma(code, sigma) for sigma in state.sigmas]


def _add_parts(
    function: str,
    sweep: Sweep,
    processes: Processes,
    state: State,
    file: Checkpoint | None,
    stages: _Stages,
) -> None:
    """Compute `processes.size` consecutive parts at a time, one per process; process 0 adds them in order."""
    done, sums = state.summed
    if done == 0:
        state.summed = (0, np.zeros(sweep.sums_length))
    elif processes.rank == 0 and (len(sums) != sweep.sums_length or done > sweep.parts):
        raise ValueError(f"{function}: the checkpoint is damaged: {len(sums)} sums after part {done}")
    for first in range(done, sweep.parts, processes.size):
        own, owners = np.zeros(sweep.sums_length), min(processes.size, sweep.parts - first)
        if processes.rank < owners:
            sweep.add_part(first + processes.rank, own, stages.part(first + processes.rank))
        processes.all_gather_object(None)  # every process has finished its part before the sums are sent
        for of_part in processes.gather_in_order(own, owners):
            done, sums = state.summed
            state.summed = (done + 1, sums + of_part)
        if file is not None:
            file.keep(state)
        stages.part(first + owners - 1)(1, 1)
