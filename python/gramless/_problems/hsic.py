"""HSIC and CKA of a pair, or of all pairs of layers, and their derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._alignment import aligned, in_units, ratio, times_power, warn_undefined
from .._arrays.namespaces import Arrays, Wanted
from .._backends.values import HEAD, HsicTask, HsicValues, Kernels
from .._progress import Report
from .problem import NOTHING_SAVED, Forward, Problem, Saved, Shape


@dataclass(frozen=True)
class Hsic(Problem):
    """The inputs are xs and then ys; without ys, xs are compared with themselves."""

    function: str
    xs: int
    arrays: int
    kernels: Kernels
    estimator: str
    form: str  # "hsic", "cka", "root" (of one CKA), "rsa", or "loss": 1 - cka, and 1 where cka is not defined
    matrix: bool  # whether the value is a matrix of all pairs, or the number of one pair

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        if not (keep or self.matrix) and backend.here and report is None:
            return self._of_numbers(backend.hsic_pair(*inputs, self.kernels, self.estimator)), NOTHING_SAVED
        values = backend.hsic_forward(self.task(inputs), bool(keep), report)
        traced, number = keep == "traced", backend.here and not self.matrix
        sums: Any = values[:3]
        if traced or not number:  # of numbers nothing else refers to this memory
            sums = map(backend.copied, sums)
        saved = Saved((*sums, values.rows)) if keep else NOTHING_SAVED
        warns = backend.here and not traced
        if number:
            return self._of_numbers([x.item() for x in values[:7]], warns), saved
        value = self.value(values, backend.xp.where, warns)
        return value if self.matrix else value[0, 0], saved

    def value(self, values: HsicValues, where: Callable[..., Any] = np.where, warns: bool = True) -> Any:
        """The value of all pairs, (xs, ys)."""
        if self.form == "hsic":
            return values.xy_of_data()
        if warns:
            self._warn(values)
        if self.form == "loss":
            return 1 - aligned(values.xy, values.xx, values.yy, 0.0, where)
        return aligned(values.xy, values.xx, values.yy, math.nan, where)

    def _of_numbers(self, numbers: Sequence[Any], warns: bool = True) -> Any:
        """The value of one pair, from numbers: at 16 rows, arrays of them would take as long as the sums."""
        xy, xx, yy, exponent_x, exponent_y, *_ = numbers
        if self.form == "hsic":
            return in_units(xy, exponent_x, exponent_y)
        if warns and not (xx > 0 and yy > 0):
            self._warn(HsicValues(*numbers))
        if self.form == "loss":
            return 1 - ratio(xy, xx, yy, 0.0)
        found = ratio(xy, xx, yy, math.nan)
        return math.sqrt(max(found, 0.0)) if self.form == "root" else found  # this order keeps NaN

    def task(self, inputs: Arrays) -> HsicTask:
        return HsicTask(inputs[: self.xs], inputs[self.xs : self.arrays], self.kernels, self.estimator)

    def _warn(self, values: HsicValues) -> None:
        """Warns of representations whose CKA is not defined, with the reason; a loss is always defined."""
        sides = [("x", values.xx, values.mean_x), ("y", values.yy, values.mean_y)]
        if self.form == "loss":
            return
        if self.arrays == self.xs:
            del sides[1]
        of_layers = [
            (f"{side}s[{i}]" if self.matrix else side, hsic, kernel, mean)
            for (side, *numbers), kernel in zip(sides, self.kernels, strict=False)
            for i, (hsic, mean) in enumerate(zip(*map(np.atleast_1d, numbers), strict=True))
        ]
        warn_undefined(self.function, of_layers, "RSA" if self.form == "rsa" else "CKA")

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        weights = self._weights_of_pair if backend.here and not self.matrix else self._weights
        by_values = weights(backend, saved.arrays, -grad if self.form == "loss" else grad)
        own = saved.arrays[3], by_values, wanted[: self.arrays]
        return backend.hsic_backward(self.task(inputs), *own)  # type: ignore[no-any-return]

    def _weights_of_pair(self, backend: Any, saved: Any, grad: float) -> Sequence[float]:
        """The derivatives with respect to xy, xx, yy of one pair, as numbers."""
        if self.form == "hsic":
            return in_units(grad, int(saved[3][0, 2]), int(saved[3][1, 2])), 0.0, 0.0
        xy, xx, yy = [x.item() for x in saved[:3]]
        if xx <= 0 or yy <= 0:
            return 0.0, 0.0, 0.0
        c = aligned(xy, xx, yy)
        if self.form == "root":
            grad = grad / (2 * math.sqrt(c)) if c > 0 else 0.0
        return grad * aligned(1.0, xx, yy), -grad * c / (2 * xx), -grad * c / (2 * yy)

    def _weights(self, backend: Any, saved: Any, grad: Any) -> Sequence[Any]:
        """Derivatives with respect to xy (xs, ys), xx (xs,), yy (ys,); without ys, xx has those of both."""
        xy, xx, yy, rows = saved
        lx, ly = xy.shape
        if not self.matrix:
            grad = (backend.full(1, 0.0) + grad).reshape(1, 1)
        if self.form == "hsic":
            if backend.here:
                exponents = rows[:, 2].astype(int)
                grad = times_power(grad, exponents[:lx, None] + exponents[None, -ly:])
            by_xy, by_xx, by_yy = grad, backend.full(lx, 0.0), backend.full(ly, 0.0)
        else:
            by_xy, by_xx, by_yy = _derivatives(backend.xp.where, xy, xx, yy, grad)
        if self.arrays > self.xs:
            return by_xy, by_xx, by_yy
        return by_xy, by_xx + by_yy, backend.full(0, 0.0)

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        lx, ly, n = self.xs, (self.arrays - self.xs) or self.xs, shapes[0][0]
        return (lx, ly) if self.matrix else (), [(lx, ly), (lx,), (ly,), (self.arrays, HEAD + n)]


def _derivatives(where: Callable[..., Any], xy: Any, xx: Any, yy: Any, grad: Any) -> tuple[Any, Any, Any]:
    """Derivatives of `aligned` with respect to xy, xx, yy, times grad (Lx, Ly); 0 where undefined."""
    by = where((xx <= 0)[:, None] | (yy <= 0)[None, :], 0.0, grad)
    xx, yy = where(xx <= 0, 1.0, xx), where(yy <= 0, 1.0, yy)
    of_xy = by * aligned(xy, xx, yy, where=where)
    return by * aligned(xy * 0 + 1, xx, yy, where=where), of_xy.sum(1) / (-2 * xx), of_xy.sum(0) / (-2 * yy)
