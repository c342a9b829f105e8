"""The squared maximum mean discrepancy of two samples and its derivative, from HSIC with an indicator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._arrays.namespaces import Arrays, Wanted
from .._progress import Report
from ..kernels import Encoded, Linear, encode
from .hsic import Hsic
from .problem import Forward, Problem, Saved, Shape

OF_INDICATOR = encode(Linear())


@dataclass(frozen=True)
class Mmd(Problem):
    """The inputs are x (n, d) and y (m, d)."""

    function: str
    kernel: Encoded
    estimator: str

    arrays = 2

    @property
    def _hsic(self) -> Hsic:
        """HSIC of the rows of both samples with the indicator of x's rows: the value up to a factor."""
        kernels = self.kernel, OF_INDICATOR
        return Hsic(self.function, 1, 2, kernels, self.estimator, "hsic", False)

    def _factor(self, inputs: Arrays) -> float:
        return mmd_factor(int(inputs[0].shape[0]), int(inputs[1].shape[0]), self.estimator)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        value, saved = self._hsic.forward(backend, backend.stacked(*inputs), keep, report)
        return value * self._factor(inputs), saved

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        by_hsic, n = grad * self._factor(inputs), inputs[0].shape[0]
        both, _ = self._hsic.backward(backend, backend.stacked(*inputs), saved, by_hsic, (True, False))
        return [part if want else None for part, want in zip((both[:n], both[n:]), wanted, strict=True)]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        return self._hsic.shapes(on_device, [(shapes[0][0] + shapes[1][0],)])


def mmd_factor(n: int, m: int, estimator: str) -> float:
    """MMD^2 of n and m rows divided by HSIC of all rows with the indicator of the first n, kernel linear.

    biased: (N - 1)^2 / (n m / N)^2; unbiased: N (N - 1) (N - 2) (N - 3) / (n m (n - 1) (m - 1)); N = n + m.
    """
    total = n + m
    if estimator == "biased":
        return ((total - 1) / (n * m / total)) ** 2
    return total / n * ((total - 1) / m) * ((total - 2) / (n - 1)) * ((total - 3) / (m - 1))
