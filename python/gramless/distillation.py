"""Distillation of similarities: a student's softmax over a queue follows the teacher's.

Sums and gradients come from the core.
"""

from __future__ import annotations

from typing import Any

from ._arrays import checks
from ._arrays.namespaces import library_of
from ._evaluate import Call, differentiable, gradients
from ._losses import Reduction, ScalarReduction, as_reduction, as_scalar_reduction
from ._problems.distillation import Distillation

__all__ = ["similarity_distillation", "similarity_distillation_value_and_grad"]


@differentiable
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
) -> Call:
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
    chosen = teacher_temperature, normalize, reduction
    return _call(
        "similarity_distillation", student, teacher, queue_student, queue_teacher, temperature, *chosen
    )


def _call(
    function: str,
    student: Any,
    teacher: Any,
    queue_student: Any,
    queue_teacher: Any,
    temperature: Any,
    teacher_temperature: Any,
    normalize: Any,
    reduction: Any,
) -> Call:
    of_teacher = "queue_student" if queue_teacher is None else "queue_teacher"
    named = [("student", student), ("teacher", teacher), ("queue_student", queue_student)]
    if queue_teacher is not None:
        named.append((of_teacher, queue_teacher))
    library = library_of(function, named, temperature)
    arrays = checks.matrices(function, library, named)
    checks.same_columns(function, "student", arrays[0], "queue_student", arrays[2])
    checks.same_columns(function, "teacher", arrays[1], of_teacher, arrays[-1])
    checks.same_rows(function, "student", arrays[0], "teacher", arrays[1])
    checks.same_rows(function, "queue_student", arrays[2], of_teacher, arrays[-1])
    sharp = library.constant(function, teacher_temperature, "teacher_temperature")
    chosen = sharp, bool(normalize), as_reduction(function, reduction)
    problem = Distillation(function, len(arrays), *chosen)
    inputs = (*arrays, library.temperature(function, temperature))
    return Call(library, problem, inputs, ("student", *(None for _ in named[1:]), "temperature"))


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
    chosen = teacher_temperature, normalize, as_scalar_reduction(function, reduction)
    call = _call(function, student, teacher, queue_student, queue_teacher, temperature, *chosen)
    value, grads = gradients(call, ("student", "temperature"))
    return value, (grads[0], grads[1])
