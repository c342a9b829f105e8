"""Distillation of similarities: a student's softmax over a queue follows the teacher's.

Sums and gradients come from the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _arrays, _core
from ._contrast import compute_dtype, describe_embeddings, reduced, wrap_rows
from ._losses import Reduction, ScalarReduction, as_reduction, as_scalar_reduction, as_temperature

__all__ = ["similarity_distillation", "similarity_distillation_value_and_grad"]


@dataclass(frozen=True)
class _Distillation:
    """Student, teacher, the student's queue and the teacher's or None, as the core reads them."""

    arrays: list[_arrays.Described]
    temperatures: tuple[float, float]
    normalize: bool

    @property
    def described(self) -> list[_arrays.Described]:
        return [x for x in self.arrays if x is not None]

    def arguments(self) -> tuple[Any, ...]:
        return self.arrays, self.temperatures, self.normalize


def _distillation(
    function: str,
    arrays: tuple[Any, Any, Any, Any],
    temperatures: tuple[Any, Any],
    normalize: Any,
) -> _Distillation:
    student, teacher, queue_student, queue_teacher = arrays
    temperature = as_temperature(function, temperatures[0])
    teacher_temperature = as_temperature(function, temperatures[1], "teacher_temperature")
    one_queue = queue_teacher is None
    of_teacher = {"queue_student": queue_student} if one_queue else {"queue_teacher": queue_teacher}
    z, queue = describe_embeddings(function, {"student": student, "queue_student": queue_student})
    t, keys = describe_embeddings(function, {"teacher": teacher} | of_teacher)
    _arrays.check_rows(function, "student", z, "teacher", t)
    _arrays.check_rows(function, "queue_student", queue, next(iter(of_teacher)), keys)
    chosen = temperature, teacher_temperature
    return _Distillation([z, t, queue, None if one_queue else keys], chosen, bool(normalize))


def _on_device(
    function: str, arrays: tuple[Any, Any, Any, Any], temperatures: tuple[Any, Any], normalize: Any
) -> Any:
    from ._device import distillation

    temperature = as_temperature(function, temperatures[0])
    teacher_temperature = as_temperature(function, temperatures[1], "teacher_temperature")
    names = ["student", "teacher", "queue_student", "queue_teacher"][: 3 if arrays[3] is None else 4]
    named = dict(zip(names, arrays, strict=False))
    return distillation.distillation(function, named, (temperature, teacher_temperature), bool(normalize))


def similarity_distillation(
    student: Any,
    teacher: Any,
    queue_student: Any,
    queue_teacher: Any = None,
    *,
    temperature: float = 0.2,
    teacher_temperature: float = 0.01,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Any:
    """The student's similarities to the rows of a queue follow the teacher's.

    loss_i = -sum_j p_ij log q_ij, q_ij the softmax over j of <student_i, queue_student_j> / temperature and
    p_ij that of <teacher_i, queue_teacher_j> / teacher_temperature (SEED, Fang et al. 2021, arXiv:2101.04731,
    eq. 5).

    student (n, d), teacher (n, e), queue_student (m, d), queue_teacher (m, e): row j of both queues is one
    example, as each network sees it. queue_teacher=None takes one queue for both, as the paper does, which
    puts the teacher's embeddings of the batch into it first.
    reduction: "mean" over the n rows, "sum", or "none" for the losses, (n,).

    Memory is that of the inputs, once more, and O(n). Other arguments, returns and errors as in `nt_xent`.

    >>> import numpy as np
    >>> round(similarity_distillation([[0.0]], [[1.0]], [[1.0], [-1.0]]), 6)
    0.693147
    """
    if _arrays.any_tensor(student, temperature):
        from .torch import functional

        arrays = student, teacher, queue_student, queue_teacher
        return functional.similarity_distillation(
            *arrays, temperature, teacher_temperature, normalize, reduction
        )
    function = "similarity_distillation"
    reduction = as_reduction(function, reduction)
    arrays = student, teacher, queue_student, queue_teacher
    if _arrays.any_on_device(*arrays):
        from ._device import distillation

        launch = _on_device(function, arrays, (temperature, teacher_temperature), normalize)
        return distillation.value(launch, reduction)
    problem = _distillation(function, arrays, (temperature, teacher_temperature), normalize)
    losses, _ = _core.distill_forward(*problem.arguments())
    loss = reduced(losses, np.ones(len(losses), bool), reduction)
    return _arrays.wrap(loss, student, problem.described)


def similarity_distillation_value_and_grad(
    student: Any,
    teacher: Any,
    queue_student: Any,
    queue_teacher: Any = None,
    *,
    temperature: float = 0.2,
    teacher_temperature: float = 0.01,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
) -> tuple[Any, tuple[Any, Any]]:
    """`similarity_distillation` and its gradients: (loss, (grad_student, grad_temperature)).

    The teacher and both queues are constants. Arguments and errors as in `similarity_distillation`.

    >>> import numpy as np
    >>> loss, (grad_student, _) = similarity_distillation_value_and_grad([[0.0]], [[1.0]], [[1.0], [-1.0]])
    >>> loss > 0
    True
    """
    function = "similarity_distillation_value_and_grad"
    reduction = as_scalar_reduction(function, reduction)
    arrays = student, teacher, queue_student, queue_teacher
    if _arrays.any_on_device(*arrays):
        from ._device import distillation

        launch = _on_device(function, arrays, (temperature, teacher_temperature), normalize)
        return distillation.value_and_grad(launch, reduction)
    problem = _distillation(function, arrays, (temperature, teacher_temperature), normalize)
    losses, saved = _core.distill_forward(*problem.arguments())
    weights = np.full(len(losses), 1 / len(losses) if reduction == "mean" else 1.0)
    z, described = problem.arrays[0], problem.described
    grad = np.empty((_arrays.rows_of(z), _arrays.columns_of(z)), compute_dtype(described))
    arguments = (*problem.arguments(), saved, weights, grad)
    by_temperature = _core.distill_backward(*arguments)
    loss, by_temperature = (
        _arrays.wrap(value, student, described) for value in (float(np.sum(losses * weights)), by_temperature)
    )
    return loss, (wrap_rows(grad, student), by_temperature)
