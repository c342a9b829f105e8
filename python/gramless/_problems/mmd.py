"""The squared maximum mean discrepancy of two samples and its derivative: HSIC with the indicator of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._alignment import in_units
from .._arrays.namespaces import Arrays, Wanted
from .._backends.values import HEAD, HsicTask
from .._progress import Report
from ..kernels import Encoded, Linear, encode
from .problem import Forward, Problem, Shape

OF_INDICATOR = encode(Linear())


@dataclass(frozen=True)
class Mmd(Problem):
    """The inputs are x (n, d) and y (m, d)."""

    function: str
    kernel: Encoded
    estimator: str

    arrays = 2

    def _task(self, backend: Any, inputs: Arrays) -> HsicTask:
        both, group = backend.stacked(*inputs)
        return HsicTask([both], [group], (self.kernel, OF_INDICATOR), self.estimator)

    def _factor(self, inputs: Arrays) -> float:
        return mmd_factor(int(inputs[0].shape[0]), int(inputs[1].shape[0]), self.estimator)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        found = backend.hsic_forward(self._task(backend, inputs), bool(keep), report)
        value = found.xy_of_data()[0, 0] * self._factor(inputs)
        return float(value) if backend.here else value, (found.rows,) if keep else None, None

    def backward(
        self, backend: Any, inputs: Arrays, saved: Any, kept: Any, grad: Any, wanted: Wanted
    ) -> list[Any]:
        task = self._task(backend, inputs)
        by_xy = backend.full(1, 0.0) + grad * self._factor(inputs)
        if backend.here:
            by_xy = backend.full(1, in_units(float(by_xy[0]), int(saved[0][0, 2]), int(saved[0][1, 2])))
        weights = by_xy.reshape(1, 1), backend.full(1, 0.0), backend.full(1, 0.0)
        both, _ = backend.hsic_backward(task, saved[0], weights, [True, False])
        n = inputs[0].shape[0]
        return [part if want else None for part, want in zip((both[:n], both[n:]), wanted, strict=True)]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        return (), [(2, HEAD + shapes[0][0] + shapes[1][0])]


def mmd_factor(n: int, m: int, estimator: str) -> float:
    """MMD^2 of n and m rows by the HSIC of all with the indicator of the first n in {0, 1}, linear kernel.

    biased: (N - 1)^2 / (n m / N)^2; unbiased: N (N - 1) (N - 2) (N - 3) / (n m (n - 1) (m - 1)); N = n + m.
    """
    total = n + m
    if estimator == "biased":
        return ((total - 1) / (n * m / total)) ** 2
    return total / n * ((total - 1) / m) * ((total - 2) / (n - 1)) * ((total - 3) / (m - 1))
