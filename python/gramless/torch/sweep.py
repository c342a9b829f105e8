"""Runs batches through both models and computes the matrix from their rows, exactly or batch by batch."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .. import _arrays
from .._alignment import NO_HSIC, aligned
from .._backends import backend_of
from .._chance import ChanceRequest
from .._layer_calls import bandwidths, layer_values, layers_of
from .._layer_chance import chance_of_layers
from .._layer_intervals import CellIntervals, IntervalRequest
from .._layouts import Layouts
from .._permutations import Chance
from .._progress import ProgressLike, reporter
from .._record import rows_records
from .._scaled_sums import ScaledSums
from .._sweep import Alone, swept_values
from ..kernels import Estimator, Kernel, encode
from ..minibatch import MinibatchCKA
from ..results import LayerMatrix
from ._ranks import Ranks
from .activation_store import ActivationStore
from .batches import BatchReader, length
from .exchange import all_rows, check_layers, merged
from .forward_passes import check_masks, check_widths, warn_of_left_out
from .grams import CentredGram, unbiased_hsic
from .hooks import Recorder
from .pooling import Pool, Rows
from .records import Digests, record_of, settings_of
from .requests import check_batch, check_examples
from .tensors import moved

FUNCTION = "compare_models"
Method: TypeAlias = Literal["exact", "minibatch"]
Weighting: TypeAlias = Literal["mean", "pairs"]


@dataclass(frozen=True)
class Plan:
    """The checked arguments of `compare_models`."""

    kernel: Kernel
    estimator: Estimator
    method: Method
    weighting: Weighting
    pool: Pool
    reader: BatchReader
    budget: int
    folder: str | Path | None
    progress: ProgressLike
    checkpoint: str | Path | None = None
    ranks: Ranks | None = None  # the processes, each with batches of its own
    layouts: Layouts = field(default_factory=lambda: Layouts(FUNCTION, None))  # given by the user
    chance: ChanceRequest = field(default_factory=lambda: ChanceRequest.of(FUNCTION, "auto", 199, None))
    intervals: IntervalRequest = field(default_factory=lambda: IntervalRequest.of(FUNCTION, None))
    rng: Any = None
    digests: bool = False


@dataclass
class Side:
    """One of two models, or one model on one of two dataloaders, with its recorded layers."""

    model: nn.Module
    recorder: Recorder
    batch: int  # the index of its batch in a pair of batches
    channels_last: bool = True  # until the model fails with it
    masks: tuple[str, ...] | None = None  # of the first batch

    def record(self, batch: Any, reader: BatchReader) -> list[Any]:
        """The layers of one batch. On CPUs images are passed in channels-last format, because torch's
        convolutions are faster with it; a model that fails with it, as in view(), gets them unchanged.
        """
        masks, rows = reader.masks(batch), reader.rows(batch)
        self.masks = masks.names if self.masks is None else self.masks
        check_masks(FUNCTION, self.recorder.owner, masks.names, self.masks)
        if self.channels_last:
            run = partial(reader.run, self.model, pictures_last=True)
            try:
                return self.recorder.record(run, batch, masks, rows)
            except RuntimeError:
                self.channels_last = False
        return self.recorder.record(partial(reader.run, self.model), batch, masks, rows)


@dataclass
class _Outcome:
    matrix: npt.NDArray[np.float64]
    self_hsic: list[npt.NDArray[np.float64]]  # of the layers of each side
    examples: int
    batches: int
    on_disk: bool = False
    chance: Chance | None = None
    intervals: CellIntervals = field(default_factory=CellIntervals)
    rows: list[dict[str, Any]] | None = None  # the records of the layers' rows


def compared(sides: Sequence[Side], loaders: Sequence[Any], device: torch.device, plan: Plan) -> LayerMatrix:
    """Run all batches and compare the layers of the sides, or of the one side with themselves."""
    digests = Digests(len(loaders)) if plan.digests else None
    batches = _recorded(sides, loaders, device, plan, digests)
    total = length(loaders[0]) or 1
    outcome = (_minibatch if plan.method == "minibatch" else _exact)(sides, batches, total, plan)
    warn_of_left_out(FUNCTION, [side.recorder for side in sides], stacklevel=4)
    names = [side.recorder.names for side in (sides[0], sides[-1])]
    constant = [
        f"{name!r} of {side.recorder.owner}"
        for side, values in zip(sides, outcome.self_hsic, strict=False)
        for name, value in zip(side.recorder.names, values, strict=True)
        if value <= 0
    ]
    if constant:
        warnings.warn(
            f"{FUNCTION}: the CKA of layer {', '.join(constant)} is NaN: its HSIC with itself is not "
            f"positive: {NO_HSIC}",
            RuntimeWarning,
            stacklevel=3,
        )
    chance = outcome.chance or Chance(None)
    settings = settings_of(sides, outcome.examples, outcome.batches, outcome.on_disk, plan)
    settings |= (chance.settings or {}) | plan.intervals.settings
    found = chance.z, chance.pvalue, chance.corrected, *outcome.intervals
    record = record_of(sides, outcome.examples, outcome.rows, plan, digests)
    return LayerMatrix(outcome.matrix, names[0], names[1], settings, outcome.examples, *found, record=record)


def _recorded(
    sides: Sequence[Side],
    loaders: Sequence[Any],
    device: torch.device,
    plan: Plan,
    digests: Digests | None,
) -> Iterator[list[list[Any]]]:
    """The layers of every side for every batch; loads each batch once."""
    report, total = _report(plan.progress, "forward passes"), length(loaders[0])
    for index, pair in enumerate(plan.reader.paired(loaders)):
        if plan.ranks is not None:
            plan.ranks.poll()
        if index == 0:
            plan.reader.check_mask_places(pair)
        if digests is not None:
            digests.add(pair)
        on_device = [moved(FUNCTION, pair[0], device)]
        on_device.append(on_device[0] if pair[1] is pair[0] else moved(FUNCTION, pair[1], device))
        found = []
        for side in sides:
            found.append(side.record(on_device[side.batch], plan.reader))
        _check_rows(sides, found)
        yield found
        if report is not None:
            report(index + 1, max(total or 0, index + 1))


def _report(progress: ProgressLike, description: str) -> Callable[[int, int], object] | None:
    return reporter(FUNCTION, _possible(progress), description)


def _possible(progress: ProgressLike) -> ProgressLike:
    """`progress`, or False instead of True if rich is missing, because True is the default."""
    return False if progress is True and importlib.util.find_spec("rich") is None else progress


def _check_rows(sides: Sequence[Side], found: Sequence[Sequence[Rows]]) -> None:
    first = len(found[0][0])
    for side, layers in zip(sides, found, strict=True):
        for name, rows in zip(side.recorder.names, layers, strict=True):
            if len(rows) != first:
                raise ValueError(
                    f"{FUNCTION}: layer {sides[0].recorder.names[0]!r} of model_a has {first} rows for a "
                    f"batch but {name!r} of {side.recorder.owner} has {len(rows)}"
                )


def _minibatch(
    sides: Sequence[Side], batches: Iterator[list[list[Any]]], _total: int, plan: Plan
) -> _Outcome:
    minibatch = MinibatchCKA(plan.kernel, plan.weighting)
    examples = count = 0
    for found in batches:
        rows = len(found[0][0])
        check_batch(FUNCTION, count, rows)
        if any(isinstance(kept, CentredGram) for side in found for kept in side):
            weight = rows * (rows - 3) if plan.weighting == "pairs" else 1
            sums = unbiased_hsic(found[0], found[1] if len(found) > 1 else None)
            minibatch._add(1, len(found) == 1, ScaledSums.of(*sums, weight=weight))
        else:
            minibatch.update(*_together(found))
        examples, count = examples + rows, count + 1
    examples, count = _over_processes(sides, examples, count, plan, {})
    if plan.ranks is not None:
        minibatch = merged(plan.ranks, minibatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # `compared` warns of constant layers by name
        matrix = minibatch.compute()
    _, *self_hsic = minibatch._sums.on_host()[:3]
    return _Outcome(matrix, self_hsic, examples, count)


def _exact(sides: Sequence[Side], batches: Iterator[list[list[Rows]]], total: int, plan: Plan) -> _Outcome:
    examples = count = 0
    with ExitStack() as stack:
        stores = [stack.enter_context(ActivationStore(plan.budget // len(sides), plan.folder)) for _ in sides]
        widths: list[list[int]] = []
        for found in batches:
            widths = widths or [[rows.shape[1] for rows in layers] for layers in found]
            for side, store, layers, expected in zip(sides, stores, found, widths, strict=True):
                check_widths(FUNCTION, side.recorder, layers, expected, count)
                store.append(layers, total)
            examples, count = examples + len(found[0][0]), count + 1
        arrays = [store.arrays() for store in stores] if count else []
        shapes = {"widths": widths, "dtypes": [[str(rows.dtype) for rows in own] for own in arrays]}
        examples, count = _over_processes(sides, examples, count, plan, shapes)
        if plan.ranks is not None:
            stores = [
                stack.enter_context(ActivationStore(plan.budget // len(sides), plan.folder)) for _ in sides
            ]
            arrays = [
                all_rows(plan.ranks, [_arrays.to_host(x) for x in own], store)
                for own, store in zip(arrays, stores, strict=True)
            ]
        together = _together(arrays)
        (xy, xx, yy), chance, intervals, sigmas = _values(sides, *together, plan=plan)
        rows = rows_records([layer for own in together for layer in own], sigmas, plan.digests)
        on_disk = any(store.on_disk for store in stores)
        hsic = aligned(xy, xx, yy), [xx, yy]
        return _Outcome(*hsic, examples, count, on_disk, chance, intervals, rows)


def _together(sides: Sequence[Sequence[Rows]]) -> list[list[Rows]]:
    """The layers of all sides on one GPU with one dtype if they are on the same GPU, else on the host."""
    layers = [layer for side in sides for layer in side]
    tensors = [layer for layer in layers if isinstance(layer, torch.Tensor)]
    if len(tensors) < len(layers) or len({layer.device for layer in tensors}) > 1:
        return [[_arrays.to_host(layer) for layer in side] for side in sides]
    dtype = reduce(torch.promote_types, (layer.dtype for layer in tensors))
    return [[cast("torch.Tensor", layer).to(dtype) for layer in side] for side in sides]


def _values(
    sides: Sequence[Side], xs: Sequence[Rows], ys: Sequence[Rows] | None = None, *, plan: Plan
) -> tuple[tuple[_arrays.Floats, ...], Chance, CellIntervals, list[float] | None]:
    """HSIC of xs with ys and of each with itself, z and p-values, intervals, and bandwidths."""
    call = layers_of(FUNCTION, xs, ys, plan.kernel, plan.estimator, "hsic", _report(plan.progress, "CKA"))
    start = time.perf_counter()
    if _arrays.is_on_device(xs[0]) or (plan.checkpoint is None and plan.ranks is None):
        found = layer_values(call)
    else:
        found = swept_values(call, plan.kernel, plan.checkpoint, plan.ranks or Alone())
    seconds = time.perf_counter() - start
    code, library, progress = encode(plan.kernel), call.library, _possible(plan.progress)
    sigmas = bandwidths(backend_of(library, call.inputs[0], FUNCTION), call.inputs, code, found)
    xs, ys = call.inputs[: len(xs)], call.inputs[len(xs) :] or None
    chance = chance_of_layers(
        plan.chance,
        library,
        xs,
        ys,
        code,
        plan.estimator,
        found,
        seconds,
        progress,
        sigmas,
        plan.ranks is None,
    )
    labels = [f"{name!r} of {side.recorder.owner}" for side in sides for name in side.recorder.names]
    intervals = plan.intervals.of_layers(xs, ys, code, plan.estimator, sigmas, labels, progress)
    return tuple(map(_arrays.to_host, found[:3])), chance, intervals, sigmas


def _over_processes(
    sides: Sequence[Side], examples: int, batches: int, plan: Plan, shapes: dict[str, Any]
) -> tuple[int, int]:
    """The numbers of examples and batches of all processes; raises ValueError if they are too few."""
    if plan.ranks is not None:
        found = shapes | {"attention_mask": [side.masks for side in sides]}
        check_layers(FUNCTION, plan.ranks, [side.recorder.names for side in sides], found, examples)
        counts = plan.ranks.all_gather_object((examples, batches))
        examples, batches = (sum(count) for count in zip(*counts, strict=True))
    if batches == 0:
        raise ValueError(f"{FUNCTION}: the dataloader has no batches")
    check_examples(FUNCTION, examples, plan.estimator)
    plan.intervals.check_rows(examples)
    return examples, batches
