"""z and p-values of a CKA matrix. The backend computes the matrix for permuted rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._alignment import aligned
from ._chance import (
    TIE,
    Bools,
    ChanceRequest,
    Floats,
    Moments,
    Orders,
    hypotheses,
    mirrored,
    pvalues,
)
from ._chance import holm as holm_corrected
from ._progress import ProgressLike, reporter
from ._text import duration

LAYERS_AT_ONCE = 64  # in one pass, which holds a tile for each
COPIED_BYTES = 2**28  # of permuted rows at a time


class Chance(NamedTuple):
    """z (La, Lb), p-values of each cell, uncorrected and corrected for the number of cells, and settings."""

    z: Floats | None
    pvalue: Floats | None = None
    corrected: Floats | None = None
    settings: dict[str, Any] | None = None


class Layers(NamedTuple):
    """The compared layers in the form that the backend reads; ys None compares xs with themselves."""

    backend: Any
    xs: Sequence[Any]
    ys: Sequence[Any] | None
    kernels: tuple[Any, Any]
    estimator: str

    @property
    def others(self) -> Sequence[Any]:
        return self.xs if self.ys is None else self.ys


def chance_of(
    request: ChanceRequest,
    layers: Layers,
    cka: Floats,
    moments: Moments,
    seconds: float,
    progress: ProgressLike,
) -> Chance:
    """z and p-values of a CKA matrix by the requested method. seconds: the time that the matrix took."""
    n, cells = int(layers.xs[0].shape[0]), hypotheses(cka.shape, layers.ys is None)
    z, method = moments.z(cka), request.chosen(n, layers.estimator)
    if method is None:
        return Chance(z)
    if method != "permutation":
        settings: dict[str, Any] = {"pvalue": method, "cells": int(np.count_nonzero(cells & ~np.isnan(z)))}
        found = np.where(np.isnan(z), math.nan, pvalues(method, cka, n, moments))
        return Chance(
            z, found, _whole(holm_corrected(found, cells), cells), settings | {"correction": "Holm"}
        )
    orders = request.orders(n)
    about = f"{orders.size} permutations, about {duration(orders.size * seconds)}"
    report = reporter(request.function, progress, about)
    return chance_of_counts(z, *_counted(layers, z, moments, cells, orders, report), cells, orders)


def chance_of_counts(
    z: Floats, alone: npt.NDArray[np.int64], largest: npt.NDArray[np.int64], cells: Bools, orders: Orders
) -> Chance:
    """p-values from counts of permutations. alone, largest: how many have, in the same cell and in the
    largest of all cells, at least the cell's z.
    """
    undefined = np.isnan(z)
    settings: dict[str, Any] = {"pvalue": "permutation", "cells": int(np.count_nonzero(cells & ~undefined))}
    found, corrected = (np.where(undefined, math.nan, orders.pvalue(c)) for c in (alone, largest))
    corrected = np.where(cells, corrected, found) if cells.any() else found
    settings |= {"correction": "maximum", "n_resamples": orders.size}
    return Chance(z, _whole(found, cells), _whole(corrected, cells), settings)


def _whole(values: Floats, cells: Bools) -> Floats:
    return values if cells.all() else mirrored(values, cells)


def _counted(
    layers: Layers, z: Floats, moments: Moments, cells: Bools, orders: Orders, report: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For every cell, how many permutations have at least its z, in the same cell and in the largest cell."""
    alone, largest, done = np.zeros(z.shape, np.int64), np.zeros(z.shape, np.int64), 0
    asked = cells & ~np.isnan(z)
    for null in _null(layers, moments, orders):
        alone += np.count_nonzero(null >= z - TIE, axis=0)
        most = np.where(asked, null, -math.inf).max(axis=(1, 2))
        largest += np.count_nonzero(most[:, None, None] >= z - TIE, axis=0)
        done += len(null)
        if report is not None:
            report(done, orders.size)
    return alone, largest


def _null(layers: Layers, moments: Moments, orders: Orders) -> Iterator[Floats]:
    """z for one permutation of the rows of all ys after the other, in batches (permutations, La, Lb)."""
    others = layers.others
    bytes_of_one = 8 * sum(math.prod(y.shape) for y in others)
    at_once = max(1, min(LAYERS_AT_ONCE // len(others), COPIED_BYTES // bytes_of_one))
    drawn = orders.drawn()
    batches = iter(lambda: list(islice(drawn, at_once)), [])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the matrix itself has warned of tied medians
        found = layers.backend.permuted_values(
            layers.xs, others, layers.kernels, layers.estimator, map(np.stack, batches)
        )
        first = next(found)
    for values in chain([first], found):
        cka = np.asarray(aligned(values.xy, values.xx, values.yy))
        yield moments.z(cka.reshape(len(cka), -1, len(others)).transpose(1, 0, 2))
