"""Similarity distillation: the cross entropy of a student's softmax over a queue with its teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._arrays.namespaces import Arrays, Wanted
from .._backends.values import DistillTask
from .._losses import as_temperature
from .._progress import Report
from .problem import Forward, Loss, Saved, Shape


@dataclass(frozen=True)
class Distillation(Loss):
    """The inputs are student, teacher, queue, the teacher's queue unless it is the same, and the temperature.

    Student and temperature have derivatives.
    """

    arrays: int
    teacher_temperature: float

    @property
    def queues(self) -> int:  # type: ignore[override]
        return self.arrays - 1

    def _task(self, backend: Any, inputs: Arrays) -> DistillTask:
        sharp = as_temperature(self.function, self.teacher_temperature, "teacher_temperature")
        temperature = backend.temperature(self.function, inputs[self.arrays])
        return DistillTask(inputs[: self.arrays], temperature, sharp, self.normalize)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        losses, mean, saved = backend.distill_forward(self._task(backend, inputs))
        value = mean if self.is_plain_mean else self.reduced(backend, losses, 1)
        return value, Saved((saved,))

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        task, n = self._task(backend, inputs), inputs[0].shape[0]
        weights = self.weighed(backend, grad, n, n)
        by_student, by_temperature = backend.distill_backward(task, saved.arrays[0], *weights)
        constants = [None] * (self.arrays - 1)
        return [by_student if wanted[0] else None, *constants, by_temperature if wanted[-1] else None]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n = shapes[0][0]
        return self.value_shape(n), [(4, n)]
