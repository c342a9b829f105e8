"""Comparison of named layers, given as mappings, sequences or tokens, with a `LayerMatrix` as the result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _arrays, _tokens
from ._alignment import aligned, warn_undefined
from ._arrays import checks
from ._arrays.libraries import library_of
from ._arrays.namespaces import NUMPY
from ._backends import backend_of
from ._backends.values import HsicValues
from ._chance import ChanceRequest
from ._evaluate import Call
from ._layer_calls import bandwidths, check_in_parts, layer_values, layers_of
from ._layer_chance import chance_of_layers
from ._layer_intervals import IntervalRequest
from ._progress import ProgressLike
from ._record import environment, layer_records, seed_of
from ._runtime import VERSION
from ._sweep import processes_of, swept_values
from .kernels import as_kernel, encode
from .results import LayerMatrix


class Side(NamedTuple):
    """The layers of one model: names, labels for errors, arrays (rows, features), the shapes of the given
    arrays, and how these were pooled to rows.
    """

    names: list[str]
    labels: list[str]
    arrays: list[Any]
    shapes: list[tuple[int, ...]]
    pools: list[str | None]


class Sides(NamedTuple):
    """The layers of one model or two, and the settings of their pooling."""

    x: Side
    y: Side | None
    settings: dict[str, Any]

    @property
    def labels(self) -> list[str]:
        return [*self.x.labels, *(self.y.labels if self.y is not None else [])]


def sides_of(
    function: str,
    xs: Any,
    ys: Any,
    names: Any = None,
    pool: Any = None,
    rows: Any = "examples",
    mask: Any = None,
    mask_y: Any = None,
) -> Sides:
    """The layers of xs and ys with their names and with pooled tokens; reads every array once."""
    _tokens.check_pool(function, pool, rows)
    names_x, names_y = _namesrecords_of_sides(function, ys, names)
    x = _side(function, "xs", xs, names_x, mask, "mask", pool, rows)
    y = None
    if ys is not None:
        own = (mask, "mask") if mask_y is None else (mask_y, "mask_y")
        y = _side(function, "ys", ys, names_y, *own, pool, rows)
    elif mask_y is not None:
        raise ValueError(f"{function}: mask_y is given but ys is None")
    settings = {"pool": _pool_name(pool)}
    settings |= {"rows": rows if rows == "tokens" else None}
    return Sides(x, y, {name: value for name, value in settings.items() if value is not None})


def _pool_name(pool: Any) -> str | None:
    return str(getattr(pool, "__name__", repr(pool))) if callable(pool) else pool


def _namesrecords_of_sides(function: str, ys: Any, names: Any) -> tuple[Any, Any]:
    if ys is None or names is None:
        return names, None
    if isinstance(names, (str, bytes)) or not isinstance(names, Sequence) or len(names) != 2:
        raise TypeError(f"{function}: with ys, names must be a pair, (names of xs, names of ys)")
    return names[0], names[1]


def _side(
    function: str, argument: str, layers: Any, names: Any, mask: Any, mask_name: str, pool: Any, rows: str
) -> Side:
    if _tokens.is_mapping(layers):
        if names is not None:
            raise ValueError(f"{function}: {argument} is a mapping, whose keys are the names; omit names=")
        names, arrays = _tokens.named_layers(layers)
        labels = [f"{argument}[{name!r}]" for name in names]
        if not arrays:
            raise ValueError(f"{function}: {argument} has no layers")
    else:
        arrays = _sequence(function, argument, layers, pool is not None or rows == "tokens")
        labels = [f"{argument}[{i}]" for i in range(len(arrays))]
        if names is None:
            names = [str(i) for i in range(len(arrays))]
        names = _tokens.check_names(function, "names", names, len(arrays))
    _arrays.check_copyable(function, mask_name, mask)
    valid = _tokens.check_mask(function, mask_name, mask, _arrays.to_host)
    for label, x in zip(labels, arrays, strict=True):
        _arrays.check_shaped(function, label, x)
    shapes: list[tuple[int, ...]] = [
        () if isinstance(x, type) else tuple(getattr(x, "shape", ())) for x in arrays
    ]
    pools: list[str | None] = [None] * len(arrays)
    for i, (label, x) in enumerate(zip(labels, arrays, strict=True)):
        if getattr(x, "ndim", None) == 2 and not callable(pool):
            continue
        library = library_of(function, [(label, x)])
        (x,) = library.detached(function, [label], [library.read(function, label, x)])
        if callable(pool):
            arrays[i] = _tokens.pooled_by(function, label, pool, x, names[i], mask)
        else:
            checks.real(function, label, library, x)
            arrays[i] = _tokens.rows_of(function, label, library, x, valid, pool, rows)
        if len(x.shape) != 2 or callable(pool):
            pools[i] = "tokens" if rows == "tokens" else _pool_name(pool)
    return Side(list(names), labels, arrays, shapes, pools)


def _sequence(function: str, argument: str, layers: Any, of_tokens: bool) -> list[Any]:
    """The layers as a list, from a sequence or from one array (layers, examples, tokens, features)."""
    if of_tokens and getattr(layers, "ndim", 0) == 4:
        return list(layers)
    if of_tokens and getattr(layers, "ndim", 0) == 3:
        raise ValueError(
            f"{function}: {argument} is one array of shape {tuple(layers.shape)} but must be a sequence or a "
            "mapping of layers; pass [x] for one layer (examples, tokens, features)"
        )
    return checks.sequence(function, argument, layers)


def named_call(
    function: str,
    xs: Any,
    ys: Any,
    kernel: Any,
    estimator: Any,
    statistic: str,
    progress: ProgressLike,
    checkpoint: Any,
    process_group: Any,
) -> Call:
    """The call of a function of layers for a mapping, which returns a `LayerMatrix`."""
    options = {"progress": progress, "checkpoint": checkpoint, "process_group": process_group}
    return Call(
        NUMPY,
        _Function(function),
        (),
        ("xs", "ys"),
        in_parts=lambda: compared(function, xs, ys, {}, kernel, estimator, statistic, **options),
    )


class _Function(NamedTuple):
    """A placeholder for the problem in a call that returns a `LayerMatrix`."""

    function: str


def _call(function: str, sides: Sides, kernel: Any, estimator: Any, progress: Any = None) -> Call:
    ys = None if sides.y is None else sides.y.arrays
    return layers_of(function, sides.x.arrays, ys, kernel, estimator, "cka", progress, sides.labels)


def compared(
    function: str,
    xs: Any,
    ys: Any,
    tokens: Mapping[str, Any],
    kernel: Any,
    estimator: Any,
    statistic: str,
    *,
    pvalue: Any = "auto",
    n_resamples: Any = 199,
    rng: Any = None,
    level: Any = None,
    digests: bool = False,
    progress: ProgressLike = False,
    checkpoint: Any = None,
    process_group: Any = None,
) -> LayerMatrix:
    """Compare every layer of xs with every layer of ys. tokens: options of `sides_of`; statistic: "CKA" or
    "HSIC".
    """
    processes = processes_of(function, process_group)
    with processes.together():
        request = ChanceRequest.of(function, pvalue, n_resamples, rng)
        intervals = IntervalRequest.of(function, level)
        kernel, sides = as_kernel(kernel, function), sides_of(function, xs, ys, **tokens)
        call = _call(function, sides, kernel, estimator, progress)
        library, problem, inputs, names, *_ = call
        n, in_parts = int(inputs[0].shape[0]), checkpoint is not None or process_group is not None
        intervals.check_rows(n)
        alone = process_group is None
        (request if alone else request.shared(n, problem.estimator)).chosen(n, problem.estimator)
        if in_parts:
            check_in_parts(call)
        start = time.perf_counter()
        values = swept_values(call, kernel, checkpoint, processes) if in_parts else layer_values(call)
        seconds = time.perf_counter() - start
    _warn(function, sides, encode(kernel), values)
    layers = library.detached(function, names, inputs)
    of_x, of_y = layers[: problem.xs], layers[problem.xs :] or None
    code = encode(kernel), problem.estimator
    sigmas = bandwidths(backend_of(library, layers[0], function), layers, code[0], values)
    chance = chance_of_layers(request, library, of_x, of_y, *code, values, seconds, progress, sigmas, alone)
    xy, xx, yy = map(_arrays.to_host, values[:3])
    cka = np.asarray(aligned(xy, xx, yy))
    matrix = cka if statistic == "CKA" else np.asarray(_arrays.to_host(values.xy_of_data()))
    settings = {"statistic": statistic, "kernel": repr(kernel), "estimator": problem.estimator}
    settings |= {**sides.settings, **(chance.settings or {}), **intervals.settings, "gramless": VERSION}
    names_y = sides.x.names if sides.y is None else sides.y.names
    found = chance.z, chance.pvalue, chance.corrected
    bounds = intervals.of_layers(of_x, of_y, *code, sigmas, sides.labels, progress)
    of_call = {"function": function, "n": n, "kernel": repr(kernel), "estimator": problem.estimator}
    record = (
        environment() | of_call | {"seed": seed_of(rng)} | records_of_sides(sides, layers, sigmas, digests)
    )
    return LayerMatrix(
        matrix, list(sides.x.names), list(names_y), settings, n, *found, *bounds, record=record
    )


def records_of_sides(
    sides: Sides, layers: Sequence[Any], sigmas: Sequence[float] | None, digests: bool
) -> dict[str, Any]:
    """The entries of the record for the layers of both sides, or of the only side."""
    found, start = {}, 0
    for name, side in (("layers_a", sides.x), ("layers_b", sides.y)):
        if side is None:
            continue
        own = slice(start, start + len(side.names))
        start, rows = own.stop, layers[own]
        shapes = [shape or x.shape for shape, x in zip(side.shapes, rows, strict=True)]
        known = None if sigmas is None else sigmas[own]
        found[name] = layer_records(side.names, rows, known, side.pools, shapes, digests)
    return found


def _warn(function: str, sides: Sides, code: Any, values: HsicValues) -> None:
    """Warn of layers for which CKA is not defined; on a GPU their values are NaN without a warning."""
    if values.mean_x is None:
        return
    of_sides = [(sides.x, values.xx, values.mean_x)]
    if sides.y is not None:
        of_sides.append((sides.y, values.yy, values.mean_y))
    warn_undefined(
        function,
        [
            (label, own[i], code, means[i])
            for side, own, means in of_sides
            for i, label in enumerate(side.labels)
        ],
    )
