"""Nearest neighbours of layers: computed once per layer, compared for all pairs, with z and p-values."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ._backends import backend_of
from ._chance import TIE, ChanceRequest, Floats, hypotheses
from ._counts import at_least, shown
from ._layer_calls import checked_layers
from ._neighbors import in_order, overlap_moments, pair_counts
from ._permutations import Chance, chance_of_counts
from ._progress import ProgressLike, ends, reporter
from ._record import environment, seed_of
from ._runtime import VERSION
from ._text import duration
from .named_layers import records_of_sides, sides_of
from .results import LayerMatrix


def neighbor_count(function: str, k: Any, name: str, x: Any, least: int = 1) -> int:
    """k as an int, checked to be less than the number of rows of x."""
    count, n = at_least(least, function, "k", k), int(x.shape[0])
    if count >= n:
        raise ValueError(f"{function}: k must be less than the number of rows, {n} in {name}, but is {count}")
    return count


def find_neighbors(
    function: str, library: Any, layers: Sequence[Any], k: int, with_cosines: bool, progress: ProgressLike
) -> tuple[Any, list[Any]]:
    """The backend and, for each layer, its neighbours (None if rows are not finite) and their cosines."""
    report = reporter(function, progress)
    layers = library.detached(function, [None] * len(layers), layers)
    backend = backend_of(library, layers[0], function)
    with ends(report):
        return backend, backend.nearest_neighbors(layers, k, with_cosines, report)


def shared_fractions(
    function: str, library: Any, xs: Sequence[Any], ys: Sequence[Any], k: int, progress: ProgressLike
) -> Floats:
    """The shared fractions of all xs with all ys; an empty ys compares xs with themselves."""
    backend, found = find_neighbors(function, library, [*xs, *ys], k, False, progress)
    return _fractions(backend, *_sides([rows for rows, _ in found], len(xs)), int(xs[0].shape[0]) * k)


def _sides(rows: list[Any], count: int) -> tuple[list[Any], list[Any]]:
    return rows[:count], rows[count:] or rows


def _fractions(backend: Any, of_x: list[Any], of_y: list[Any], total: int) -> Floats:
    """The numbers of shared neighbours divided by `total`; NaN for layers whose rows are not finite."""
    values = np.full((len(of_x), len(of_y)), math.nan)
    finite_x, finite_y = ([i for i, r in enumerate(side) if r is not None] for side in (of_x, of_y))
    if finite_x and finite_y:
        shared = backend.shared_neighbors([of_x[i] for i in finite_x], [of_y[j] for j in finite_y])
        values[np.ix_(finite_x, finite_y)] = shared / total
    return values


_DEFAULTS = {"kernel": "linear", "estimator": "unbiased", "k": 10}  # other options have the default None


def check_statistic(function: str, statistic: Any, k: Any, of_cka: Mapping[str, Any]) -> None:
    """Raise ValueError for an unknown statistic and for options that only the other statistic has."""
    if not isinstance(statistic, str) or statistic not in ("cka", "mutual_knn"):
        raise ValueError(f'{function}: statistic must be "cka" or "mutual_knn" but is {shown(statistic)}')
    options, other = ({"k": k}, "mutual_knn") if statistic == "cka" else (of_cka, "cka")
    for name, value in options.items():
        if value is None or (isinstance(value, (str, int)) and value == _DEFAULTS.get(name)):
            continue
        raise ValueError(
            f'{function}: {name} is an option of statistic="{other}" but statistic is "{statistic}" '
            f"and {name} is {shown(value)}"
        )


def compared_neighbors(
    function: str,
    xs: Any,
    ys: Any,
    tokens: Mapping[str, Any],
    k: Any,
    *,
    pvalue: Any = "auto",
    n_resamples: Any = 199,
    rng: Any = None,
    digests: bool = False,
    progress: ProgressLike = False,
) -> LayerMatrix:
    """`mutual_knn` of every layer of xs with every layer of ys. tokens: options of `sides_of`."""
    request = ChanceRequest.of(function, pvalue, n_resamples, rng)
    if request.method not in ("auto", "permutation", None):
        raise ValueError(
            f'{function}: pvalue must be "auto", "permutation" or None for statistic="mutual_knn" '
            f"but is {pvalue!r}"
        )
    sides = sides_of(function, xs, ys, **tokens)
    others = None if sides.y is None else sides.y.arrays
    count, library, layers, labels = checked_layers(function, sides.x.arrays, others, sides.labels)
    k, n = neighbor_count(function, k, labels[0], layers[0]), int(layers[0].shape[0])
    backend, found = find_neighbors(function, library, layers, k, False, progress)
    of_x, of_y = _sides([rows for rows, _ in found], count)
    start = time.perf_counter()
    matrix = _fractions(backend, of_x, of_y, n * k)
    seconds = time.perf_counter() - start
    cells = hypotheses((len(of_x), len(of_y)), sides.y is None)
    chance = _chance(request, backend, of_x, of_y, matrix, cells, seconds, progress)
    settings = {"statistic": "mutual kNN", "k": k, **sides.settings, **(chance.settings or {})}
    record = environment() | {"function": function, "n": n, "k": k, "seed": seed_of(rng)}
    record |= records_of_sides(sides, library.detached(function, [None] * len(layers), layers), None, digests)
    names_y = sides.x.names if sides.y is None else sides.y.names
    of_chance = chance.z, chance.pvalue, chance.corrected
    settings |= {"gramless": VERSION}
    return LayerMatrix(matrix, list(sides.x.names), list(names_y), settings, n, *of_chance, record=record)


def _chance(
    request: ChanceRequest,
    backend: Any,
    of_x: list[Any],
    of_y: list[Any],
    matrix: Floats,
    cells: npt.NDArray[np.bool_],
    seconds: float,
    progress: ProgressLike,
) -> Chance:
    """z from the exact mean and variance over all permutations of the rows of ys, p-values from a sample."""
    defined = ~np.isnan(matrix)
    if not defined.any():
        return Chance(np.full(matrix.shape, math.nan))
    n, k = next(rows for rows in of_x if rows is not None).shape
    mean, deviation = _moments(n, k, of_x, of_y)

    def z_of(values: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(deviation > 0, (values - mean) / deviation, math.nan)

    z = z_of(matrix)
    if request.method is None:
        return Chance(z)
    orders = request.orders(n)
    about = f"{orders.size} permutations, about {duration(orders.size * seconds)}"
    report = reporter(request.function, progress, about)
    alone, largest = np.zeros(z.shape, np.int64), np.zeros(z.shape, np.int64)
    asked = cells & ~np.isnan(z)
    with ends(report):
        for done, order in enumerate(orders.drawn(), 1):
            permuted = [None if rows is None else in_order(rows, order) for rows in of_y]
            null = z_of(_fractions(backend, of_x, permuted, n * k))
            alone += null >= z - TIE
            largest += np.where(asked, null, -math.inf).max() >= z - TIE
            if report is not None:
                report(done, orders.size)
    return chance_of_counts(z, alone, largest, cells, orders)


def _moments(n: int, k: int, of_x: list[Any], of_y: list[Any]) -> tuple[float, Floats]:
    """Mean and standard deviation of the shared fraction of every pair; NaN if rows are not finite."""
    counts: dict[int, Any] = {
        id(rows): None if rows is None else pair_counts(rows) for rows in [*of_x, *of_y]
    }
    deviation = np.full((len(of_x), len(of_y)), math.nan)
    for i, x in enumerate(of_x):
        for j, y in enumerate(of_y):
            if x is not None and y is not None:
                variance = overlap_moments(n, k, counts[id(x)], counts[id(y)]).variance
                deviation[i, j] = math.sqrt(variance)
    return k / (n - 1), deviation
