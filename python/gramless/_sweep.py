"""A long sweep in parts: kept in a file as it goes, shared among processes, the same bits as in one go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from . import _arrays, _core
from ._checkpoint import Checkpoint, State, check_place, problem_of
from ._sums import Floats, HsicValues, Progress, core_progress, hsic_values
from .kernels import (
    Encoded,
    Estimator,
    Kernel,
    KernelLike,
    as_estimator,
    as_kernel,
    encode,
    wants_median,
    with_sigma,
)

Value = TypeVar("Value")
Report = Callable[[int, int], object] | None


class Processes(Protocol):
    """Who works on a sweep together. Process 0 adds up."""

    size: int
    rank: int

    def share(self, value: Value) -> list[Value]:
        """The values of all processes, in all of them."""

    def in_order(self, own: Floats, owners: int) -> Iterator[Floats]:
        """In process 0 what processes 0, ..., owners - 1 hold; in the others nothing."""

    def spread(self, sums: Floats | None, length: int) -> Floats:
        """In all processes what process 0 holds."""


class Alone:
    """One process."""

    size, rank = 1, 0

    def share(self, value: Value) -> list[Value]:
        return [value]

    def in_order(self, own: Floats, owners: int) -> Iterator[Floats]:
        yield own

    def spread(self, sums: Floats | None, length: int) -> Floats:
        assert sums is not None
        return sums


class _Stages:
    """One progress count for the bandwidths, together about as long as the parts, and for the parts."""

    STEPS = 10_000

    def __init__(self, report: Report, bandwidths: int, parts: int = 1) -> None:
        self._report, self._bandwidths, self.parts = report, bandwidths, parts

    def bandwidth(self, index: int) -> Callable[[int, int], None]:
        return self._within(index / (2 * self._bandwidths), 1 / (2 * self._bandwidths))

    def part(self, index: int) -> Callable[[int, int], None]:
        share = 0.5 if self._bandwidths else 1.0
        return self._within(1 - share + share * index / self.parts, share / self.parts)

    def _within(self, begin: float, share: float) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if self._report is not None:
                self._report(round(self.STEPS * (begin + share * done / total)), self.STEPS)

        return report


def matrix_values(
    function: str,
    xs: Sequence[Any],
    ys: Sequence[Any] | None,
    kernel: KernelLike,
    estimator: Estimator,
    progress: Progress,
    checkpoint: str | os.PathLike[str] | None,
    process_group: Any,
) -> HsicValues:
    """HSIC of every pair of layers, in one go unless a checkpoint or a process group asks for parts."""
    kernel, estimator = as_kernel(kernel, function), as_estimator(estimator, function)
    if checkpoint is None and process_group is None:
        return hsic_values(function, xs, ys, kernel, kernel, estimator, progress)
    return swept_values(function, xs, ys, kernel, estimator, progress, checkpoint, process_group)


def swept_values(
    function: str,
    xs: Sequence[Any],
    ys: Sequence[Any] | None,
    kernel: Kernel,
    estimator: Estimator,
    progress: Progress,
    checkpoint: str | os.PathLike[str] | None,
    process_group: Any,
) -> HsicValues:
    """`hsic_values`, resumed from `checkpoint` if that file exists, with the processes of `process_group`."""
    x = _arrays.describe_layers(function, "xs", xs)
    y = [] if ys is None else _arrays.describe_layers(function, "ys", ys)
    _arrays.check_enough_rows(function, "xs[0]", x[0], estimator)
    if y:
        _arrays.check_rows(function, "xs[0]", x[0], "ys[0]", y[0])
    processes = _processes(function, process_group)
    check_places(function, processes, checkpoint, kernel)
    problem = problem_of(kernel, xs, ys)
    _check_same(function, processes, problem)
    file = None if checkpoint is None or processes.rank > 0 else Checkpoint(function, checkpoint, problem)
    state = _resumed(processes, file)
    report = core_progress(function, progress)
    try:
        kernels = _resolved(x + y, kernel, processes, state, file, report)
        sweep = _core.Sweep(x, y, kernels[: len(x)], kernels[len(x) :], estimator, "auto")
        stages = _Stages(report, len(state.sigmas), sweep.parts)
        _add_parts(function, sweep, processes, state, file, stages)
    except BaseException:  # Ctrl-C too
        if file is not None:
            file.abandon(state)
        raise
    if file is not None:
        file.finish(state)
    sums = processes.spread(state.summed[1] if processes.rank == 0 else None, sweep.sums_length)
    return HsicValues.of_core(sweep.values(sums), len(x), ys is None, _arrays.rows_of(x[0]))


def check_places(
    function: str, processes: Processes, checkpoint: str | os.PathLike[str] | None, kernel: Kernel
) -> None:
    """Raise ValueError in all processes where process 0 cannot keep a sweep in `checkpoint`."""
    refusal = None
    if checkpoint is not None and processes.rank == 0:
        try:
            check_place(function, checkpoint, kernel)
        except ValueError as error:
            refusal = str(error)
    refusal = processes.share(refusal)[0]
    if refusal is not None:
        raise ValueError(refusal)


def _processes(function: str, process_group: Any) -> Processes:
    if process_group is None:
        return Alone()
    from .torch._ranks import Ranks

    return Ranks(function, process_group)


def _check_same(function: str, processes: Processes, problem: dict[str, Any]) -> None:
    for rank, other in enumerate(processes.share(problem)):
        for name, value in problem.items():
            if other[name] != value:
                raise ValueError(
                    f"{function}: every process of process_group must compare the same layers, but {name} is "
                    f"{value!r} in process {processes.rank} and {other[name]!r} in process {rank}"
                )


def _resumed(processes: Processes, file: Checkpoint | None) -> State:
    """What process 0 reads; where it refuses, all do."""
    state, refusal = State(), None
    if file is not None:
        try:
            state = file.read()
            file.begin(state)
        except ValueError as error:
            refusal = str(error)
    refusal, sigmas, done = processes.share((refusal, state.sigmas, state.summed[0]))[0]
    if refusal is not None:
        raise ValueError(refusal)
    return State(sigmas, (done, state.summed[1]))


def _resolved(
    layers: Sequence[Any],
    kernel: Kernel,
    processes: Processes,
    state: State,
    file: Checkpoint | None,
    report: Report,
) -> list[Encoded]:
    """The kernel of every layer, its bandwidth known: a layer's is found by one process."""
    code = encode(kernel)
    if not wants_median(code):
        return [code] * len(layers)
    in_float64, stages = _arrays.computes_in_float64(layers), _Stages(report, len(layers))
    while len(state.sigmas) < len(layers):
        start = len(state.sigmas)
        mine, sigma = min(start + processes.rank, len(layers) - 1), np.nan
        if mine == start + processes.rank:
            name = f"layer {mine} of xs and ys"
            sigma = _core.bandwidth(layers[mine], code, in_float64, stages.bandwidth(mine), name)
        found = processes.share(sigma)[: len(layers) - start]
        state.sigmas = [*state.sigmas, *found]
        if file is not None:
            file.keep(state)
        stages.bandwidth(mine)(1, 1)
    return [with_sigma(code, sigma) for sigma in state.sigmas]


def _add_parts(
    function: str,
    sweep: _core.Sweep,
    processes: Processes,
    state: State,
    file: Checkpoint | None,
    stages: _Stages,
) -> None:
    """Waves of neighbouring parts, one for each process; process 0 adds them in their order."""
    done, sums = state.summed
    if done == 0:
        state.summed = (0, np.zeros(sweep.sums_length))
    elif processes.rank == 0 and (len(sums) != sweep.sums_length or done > sweep.parts):
        raise ValueError(f"{function}: the checkpoint is damaged: {len(sums)} sums after part {done}")
    for first in range(done, sweep.parts, processes.size):
        own, owners = np.zeros(sweep.sums_length), min(processes.size, sweep.parts - first)
        if processes.rank < owners:
            sweep.add_part(first + processes.rank, own, stages.part(first + processes.rank))
        for of_part in processes.in_order(own, owners):
            done, sums = state.summed
            state.summed = (done + 1, sums + of_part)
        if file is not None:
            file.keep(state)
        stages.part(first + owners - 1)(1, 1)
