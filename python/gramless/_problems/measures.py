"""Measures of one embedding and their derivatives, from a kernel's mean over pairs of rows or from an HSIC.

They are computed on the CPU only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _arrays
from .._alignment import times_power, warn_caller
from .._arrays import Floats
from .._arrays.namespaces import Array, Arrays, Wanted
from .._backends.values import HEAD, HsicTask
from .._kernel_rows import directions
from .._progress import Report
from ..kernels import Cosine, Encoded, Linear, encode
from .blocks import row_blocks
from .problem import NOTHING_SAVED, Forward, Problem, Saved, Shape

LINEAR, COSINE = encode(Linear()), encode(Cosine())
LEAST_MEAN = 1e-297  # tiles hold no value below 1e-307, so that means above this have ten digits


def _blocks(x: Array) -> Iterator[slice]:
    return row_blocks(*x.shape)


def _wide(x: Array, rows: slice) -> Floats:
    return np.ascontiguousarray(_arrays.wide_on_host(x[rows]))  # sums of all layouts are in one order


def _sum(parts: Iterator[Floats]) -> Floats:
    return functools.reduce(np.add, parts)


def _along(units: Floats, mean: Floats) -> Floats:
    """The product of each row with the mean; not with BLAS, whose sums depend on the number of threads."""
    return np.asarray((units * mean).sum(axis=1))


def _square(x: Floats) -> float:
    return float(np.sum(x * x))


def _check_on_cpu(backend: Any, inputs: str) -> None:
    if not backend.here:
        backend.cpu_only("it is computed", inputs)


@dataclass(frozen=True)
class PairMean(Problem):
    """The input is x (n, d), the value a function of the mean m of k(x_i, x_j) over i != j; k(x, x) = 1.

    form: "log", whose value is log m, or "diversity", 1 / (1 / n + (1 - 1 / n) m).
    """

    function: str
    kernel: Encoded
    form: str

    arrays = 1

    def _task(self, backend: Any, x: Array) -> HsicTask:
        """HSIC of x with a constant column: the problem uses the kernel's mean, which is computed with it."""
        column = backend.library.zeros((x.shape[0], 1), backend.dtype([x]), backend.device)
        return HsicTask([x], [column], (self.kernel, LINEAR), "biased")

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        _check_on_cpu(backend, "x")
        found = backend.hsic_forward(self._task(backend, inputs[0]), bool(keep), report)
        mean, sigma = float(found.mean_x[0]), float(found.sigmas[0])
        value = self._value(mean, inputs[0].shape[0])
        return value, Saved((np.array([mean, sigma]),)) if keep else NOTHING_SAVED

    def _value(self, mean: float, n: int) -> float:
        if self.form == "diversity":
            return 1 / (1 / n + (1 - 1 / n) * mean)
        return -math.inf if mean <= LEAST_MEAN else math.log(mean)

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        (x,), (mean, sigma) = inputs, saved.arrays[0].tolist()
        n = x.shape[0]
        if not wanted[0]:
            return [None]
        if self.form == "diversity":
            grad = -grad * self._value(mean, n) ** 2 * (1 - 1 / n) * mean
        # The derivative of HSIC with respect to a kernel value is the other kernel's value, less its row
        # means, plus its mean. Zeros whose row sums are given as -n make it 1 / (n - 1)^2 for every pair.
        rows = np.zeros((2, HEAD + n))
        rows[0, 0], rows[:, 1], rows[1, HEAD:] = sigma, 1, -n
        known = mean > LEAST_MEAN or math.isnan(mean)
        by_log = (n - 1) / (n * mean) if known else math.nan if self.form == "log" else 0.0
        own = rows, (np.array([[by_log]]), np.zeros(1), np.zeros(1)), (True, False)
        found = backend.hsic_backward(self._task(backend, x), *own)[0]
        if grad != 1:
            found *= grad
        return [found]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        return (), [(2,)]


@dataclass(frozen=True)
class _Spectrum(Problem):
    """The input is x (n, d), the value a function of HSIC of x with x, a sum of squared eigenvalues."""

    function: str

    arrays = 1
    kernel = LINEAR

    def _task(self, inputs: Arrays) -> HsicTask:
        return HsicTask(inputs, [], (self.kernel, self.kernel), "biased")

    def _by_hsic(self, backend: Any, inputs: Arrays, rows: Any, weight: float) -> Any:
        """The gradient of `weight` times the HSIC, which is in its own unit."""
        weights = np.zeros((1, 1)), np.array([weight]), np.zeros(0)
        return backend.hsic_backward(self._task(inputs), rows, weights, (True,))[0]


@dataclass(frozen=True)
class ParticipationRatio(_Spectrum):
    """(trace C)^2 / trace(C^2), C the covariance of the columns."""

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        _check_on_cpu(backend, "x")
        found = backend.hsic_forward(self._task(inputs), bool(keep), report)
        trace, squares = float(found.diagonal_x[0] - found.mean_x[0]), float(found.xx[0])
        if squares <= 0 and keep != "traced":
            warn_caller(f"{self.function}: not defined, because the rows of x are equal up to rounding")
        value = math.nan if squares <= 0 else trace * trace / squares
        numbers = np.array([trace, squares, float(found.exponent_x[0])])
        return value, Saved((numbers, found.rows)) if keep else NOTHING_SAVED

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        (x,), (numbers, rows) = inputs, saved.arrays
        trace, squares, exponent = numbers.tolist()
        if not wanted[0]:
            return [None]
        by_trace = 0.0 if squares <= 0 else 2 * grad * trace / squares
        found = self._by_hsic(backend, inputs, rows, -by_trace * trace / (2 * squares) if by_trace else 0.0)
        n, target = x.shape[0], _arrays.to_host(found)
        mean = _sum(_wide(x, block).sum(axis=0) for block in _blocks(x)) / n
        for block in _blocks(x):  # trace C = sum |x_i - mean|^2 / (n - 1)
            target[block] += times_power(_wide(x, block) - mean, -int(exponent)) * (2 * by_trace / (n - 1))
        return [found]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        return (), [(3,), (1, HEAD + shapes[0][0])]


@dataclass(frozen=True)
class CosineDiversity(_Spectrum):
    """n^2 / sum_ij K_ij^2, K the cosines of rows.

    With unit rows u, their mean m and a_i = <u_i, m> it is the inverse of ((n - 1) / n)^2 HSIC + (2 / n)
    sum_i a_i^2 - |m|^4, for the biased HSIC centres K.
    """

    kernel = COSINE

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        _check_on_cpu(backend, "x")
        (x,), n = inputs, inputs[0].shape[0]
        found = backend.hsic_forward(self._task(inputs), bool(keep), report)
        unit = float(times_power(1.0, 2 * int(found.exponent_x[0]))) * ((n - 1) / n) ** 2
        mean = _sum(directions(_wide(x, block))[0].sum(axis=0) for block in _blocks(x)) / n
        along = np.concatenate([_along(directions(_wide(x, block))[0], mean) for block in _blocks(x)])
        total = unit * float(found.xx[0]) + 2 * _square(along) / n - _square(mean) ** 2
        saved = Saved((np.array([total, unit]), mean, found.rows)) if keep else NOTHING_SAVED
        return math.nan if total == 0 else 1 / total, saved

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        (x,), (numbers, mean, rows) = inputs, saved.arrays
        if not wanted[0]:
            return [None]
        (total, unit), n = numbers.tolist(), x.shape[0]
        weight = 0.0 if total == 0 else -grad / total**2
        found = self._by_hsic(backend, inputs, rows, weight * unit)
        target, weighted = _arrays.to_host(found), -_square(mean) * mean
        for block in _blocks(x):
            units, _ = directions(_wide(x, block))
            weighted = weighted + (_along(units, mean)[:, None] * units).sum(axis=0) / n
        for block in _blocks(x):
            units, lengths = directions(_wide(x, block))
            by_units = 4 * weight / n * (_along(units, mean)[:, None] * mean + weighted)
            target[block] += _by_rows(by_units, units, lengths)
        return [found]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n, d = shapes[0]
        return (), [(2,), (d,), (1, HEAD + n)]


def _by_rows(by_units: Floats, units: Floats, lengths: Floats) -> Floats:
    """The derivative with respect to rows, from that with respect to unit rows; 0 for rows of zeros."""
    across = by_units - (by_units * units).sum(axis=1, keepdims=True) * units
    return np.asarray(np.where(lengths == 0, 0.0, across) / np.where(lengths == 0, 1.0, lengths))


@dataclass(frozen=True)
class Alignment(Problem):
    """The inputs are x and y (n, d), the value the mean of |x_i - y_i|^alpha, of unit rows if normalised."""

    function: str
    alpha: float
    normalize: bool

    arrays = 2

    def _differences(
        self, inputs: Arrays, block: slice
    ) -> tuple[list[tuple[Floats, Floats]], Floats, Floats]:
        """Both sides as they are compared, with their lengths; unit differences and their lengths before."""
        sides = [_wide(side, block) for side in inputs]
        both = [directions(side) if self.normalize else (side, np.ones((len(side), 1))) for side in sides]
        with np.errstate(invalid="ignore"):  # inf - inf
            return both, *directions(both[0][0] - both[1][0])

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        _check_on_cpu(backend, "x and y")
        lengths = [self._differences(inputs, block)[2] for block in _blocks(inputs[0])]
        with np.errstate(over="ignore"):
            powers = np.concatenate(lengths)[:, 0] ** self.alpha
        return backend.total(powers) / len(powers), NOTHING_SAVED

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        n, found = inputs[0].shape[0], backend.gradients(inputs, wanted)
        with np.errstate(over="ignore", invalid="ignore"):
            for block in _blocks(inputs[0]):
                sides, along, lengths = self._differences(inputs, block)
                apart = np.where(lengths == 0, 1.0, lengths)  # equal rows get derivative 0 for every alpha
                slopes = apart ** (self.alpha - 1) * (self.alpha * grad / n)
                for target, (units, own), sign in zip(found, sides, (1.0, -1.0), strict=True):
                    if target is not None:
                        by_units = sign * slopes * along
                        by_rows = _by_rows(by_units, units, own) if self.normalize else by_units
                        _arrays.to_host(target)[block] = by_rows
        return list(found)

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        return (), []
