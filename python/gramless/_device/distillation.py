"""Similarity distillation of device arrays, with its gradients. Nothing waits for the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import _arrays
from .._losses import Reduction, ScalarReduction
from .frameworks import Array, compute_dtype
from .launch import Place, place_of


@dataclass(frozen=True)
class DistillLaunch:
    """A student and its teacher, of one dtype. A temperature that is an array (1,) is read by the device."""

    place: Place
    arrays: Sequence[Array]  # student, teacher, the student's queue and, unless it is the same, the teacher's
    temperature: float | Array
    teacher_temperature: float
    normalize: bool

    @property
    def rows(self) -> int:
        """Of the student."""
        return int(self.arrays[0].shape[0])

    def _arguments(self) -> tuple[Any, ...]:
        place = self.place
        arrays = (*map(place.described, self.arrays), None)[:4]
        known = isinstance(self.temperature, float)
        temperature = (self.temperature, 0) if known else (math.nan, place.address(self.temperature))
        return arrays, *temperature, self.teacher_temperature, self.normalize

    def forward(self) -> tuple[Array, Array, Array]:
        """The losses (n,), what `backward` needs, the mean of the losses (1,): float64."""
        place = self.place
        losses, mean = place.empty(self.rows), place.empty(1)
        saved = place.empty(place.module.distill_saved_arrays, self.rows)
        place.run("distill_forward", *self._arguments(), *map(place.address, (losses, saved, mean)))
        return losses, saved, mean

    def backward(
        self, saved: Array, weights: Array | None = None, scale_of_mean: Array | None = None
    ) -> tuple[Array, Array]:
        """Gradients of the weighted losses, or of their mean times its scale.

        By the student, in its dtype, and by the temperature (1,).
        """
        place, student = self.place, self.arrays[0]
        grad = place.empty(*student.shape, dtype=place.framework.dtype(student))
        by_temperature = place.empty(1)
        results = map(place.address, (saved, weights, scale_of_mean, grad, by_temperature))
        place.run("distill_backward", *self._arguments(), *results)
        return grad, by_temperature

    def reduced(self, losses: Array, mean: Array, reduction: Reduction) -> Array:
        """What `forward` returned as the user asked for it, in the type of the computation."""
        value = mean[0] if reduction == "mean" else losses.sum() if reduction == "sum" else losses
        return self.cast(value)

    def cast(self, x: Array) -> Array:
        """To the type of the computation."""
        framework = self.place.framework
        return framework.cast(x, compute_dtype(framework.dtype(self.arrays[0])))


def distillation(
    function: str, named: dict[str, Any], temperatures: tuple[float, float], normalize: bool
) -> DistillLaunch:
    """The problem of `gramless.similarity_distillation`; `named` are its arrays in its order, of a device."""
    place, arrays = place_of(function, named.items())
    names = list(named)
    queue, of_teacher = names[2], names[-1]
    shapes = dict(zip(names, arrays, strict=True))
    for rows, keys in ((names[0], queue), (names[1], of_teacher)):
        _arrays.check_columns(function, rows, shapes[rows], keys, shapes[keys])
    for first, second in (names[:2], (queue, of_teacher)):
        _arrays.check_rows(function, first, shapes[first], second, shapes[second])
    return DistillLaunch(place, arrays, *temperatures, normalize)


def value(launch: DistillLaunch, reduction: Reduction) -> Array:
    """`gramless.similarity_distillation`."""
    losses, _, mean = launch.forward()
    return launch.reduced(losses, mean, reduction)


def value_and_grad(launch: DistillLaunch, reduction: ScalarReduction) -> tuple[Array, tuple[Array, Array]]:
    """`gramless.similarity_distillation_value_and_grad`."""
    losses, saved, mean = launch.forward()
    if reduction == "mean":
        grad, by_temperature = launch.backward(saved, scale_of_mean=launch.place.zeros(1) + 1)
    else:
        grad, by_temperature = launch.backward(saved, launch.place.zeros(launch.rows) + 1)
    return launch.reduced(losses, mean, reduction), (grad, launch.cast(by_temperature[0]))
