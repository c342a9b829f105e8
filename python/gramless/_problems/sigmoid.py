"""The sigmoid loss of pairs (SigLIP) and its derivative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Any

from .._arrays.namespaces import Arrays, Wanted
from .._backends.values import SigmoidTask
from .._progress import Report
from .problem import Forward, Loss, Saved, Shape


@dataclass(frozen=True)
class Sigmoid(Loss):
    """The inputs are a, b, the scale of logits and their bias.

    One walk over the pairs gives the sums of every row, from which the derivatives of scale and bias follow,
    and the gradients of a and b, unless the backward gets a weight for each row.
    """

    in_one_walk: bool = False  # whether a traced forward also saves gradients

    arrays = 2

    def differentiated(self) -> Sigmoid:
        return Sigmoid(self.function, self.normalize, self.reduction, self.reduction != "none")

    def _task(self, backend: Any, inputs: Arrays) -> SigmoidTask:
        scale, bias = map(backend.number, inputs[2:])
        return SigmoidTask(inputs[0], inputs[1], scale, bias, self.normalize)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        task, n = self._task(backend, inputs), inputs[0].shape[0]
        traced = keep == "traced"
        eager = self.reduction != "none" and (self.in_one_walk if traced else keep == "tiles")
        weights = self.by_losses(backend, 1.0, n, n) if eager else None
        sums, grads = backend.sigmoid_pairs(task, weights, [eager, eager])
        value = self.reduced(backend, sums[0], n)
        if eager and traced:
            return value, Saved((sums, *grads))
        return value, Saved((sums,), grads if eager else None)

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        (sums, *grads), n = saved.arrays, inputs[0].shape[0]
        if saved.kept or grads:
            times = _times if saved.kept else mul
            of_rows = zip(saved.kept or grads, wanted, strict=False)
            found = [times(g, grad) if want else None for g, want in of_rows]
        elif any(wanted[:2]):
            weights = self.by_losses(backend, grad, n, n)
            found = backend.sigmoid_pairs(self._task(backend, inputs), weights, wanted[:2])[1]
        else:
            found = [None, None]
        by_loss = self.by_each_loss(grad, n)
        of_numbers = zip((sums[2], sums[1]), wanted[2:], strict=True)
        return [*found, *[backend.total(by_loss * x) if want else None for x, want in of_numbers]]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n = shapes[0][0]
        return self.value_shape(n), [(3, n), *(shapes[:2] if self.in_one_walk else ())]

    def saved_dtype(self, place: int, computed: str) -> str:
        return computed if place else "float64"


def _times(grad: Any, factor: float) -> Any:
    """Multiplies in place: no other object refers to this memory."""
    if factor != 1:
        grad *= factor
    return grad
