"""Similarity distillation as an operator sees it: student and teacher are anchors, their queues the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._losses import as_temperature
from .._sums import Floats
from ._options import Arguments, compute_dtype
from ._problem import described, reduced, resolved, row_weights


class DistillationProblem:
    """The arguments of an operator as those of the core. All but student and temperature is constant."""

    def __init__(self, arguments: Arguments) -> None:
        self.arrays = resolved(arguments)
        self.options, self.rows = arguments.options, arguments.anchors[0].shape[0]
        self.temperature = arguments.temperature()

    def forward(self) -> tuple[Tensor, Floats]:
        """The loss, and what `backward` needs beside the arrays."""
        losses, saved = _core.distill_forward(*self._arguments())
        return reduced(losses, compute_dtype(self.arrays), self.options.reduction, self.rows), saved

    def backward(self, grad: Tensor, saved: Any, wanted: Sequence[bool]) -> tuple[list[Tensor | None], float]:
        """Gradients by the arrays that are wanted, each in its array's dtype, and by the temperature."""
        saved = saved.numpy() if isinstance(saved, Tensor) else saved
        student = self.arrays[0]
        found = torch.empty(student.shape, dtype=compute_dtype(self.arrays))
        weights = row_weights(grad, self.options.reduction, self.rows, self.rows)
        arguments = (*self._arguments(), saved, np.ascontiguousarray(weights), described(found))
        by_temperature = _core.distill_backward(*arguments)
        constants = [
            torch.zeros_like(x) if want else None for x, want in zip(self.arrays, wanted, strict=False)
        ]
        return [found.to(student.dtype) if wanted[0] else None, *constants[1:]], by_temperature

    def _arguments(self) -> tuple[Any, ...]:
        arrays = [described(x) for x in self.arrays]
        teacher_temperature = as_temperature(
            self.options.function, self.options.teacher_temperature, "teacher_temperature"
        )
        queues = (*arrays, None)[:4]  # None: one queue for both
        return queues, (self.temperature, teacher_temperature), self.options.normalize
