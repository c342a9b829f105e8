"""Distillation of similarities: a student's softmax over a queue is trained to match the teacher's."""

from __future__ import annotations

from typing import Any

from ._arrays import checks
from ._arrays.frames import check_column_order, check_row_labels
from ._arrays.namespaces import Named
from ._docs import documented
from ._evaluate import Call, differentiable
from ._losses import Reduction, of_every_loss
from ._problems.distillation import Distillation

__all__ = ["similarity_distillation"]


@differentiable
@documented
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
    """Cross-entropy between the teacher's and the student's softmax over the rows of a queue (SEED).

    loss_i = -sum_j p_ij log q_ij, where q_ij is the softmax over j of <student_i, queue_student_j> /
    temperature and p_ij the softmax over j of <teacher_i, queue_teacher_j> / teacher_temperature (Fang et al.
    2021, eq. 5). The memory is that of one copy of the inputs, and O(n).

    Parameters
    ----------
    student, teacher : array (n, d) and (n, e)
        {loss_arrays}
    queue_student : array (m, d)
        The student's queue. Row j of both queues is the same example, embedded by each network.
    queue_teacher : array (m, e), optional
        The teacher's queue. None (default) uses queue_student for both, as in the paper, which first adds
        the teacher's embeddings of the batch to it.
    {temperature}
    teacher_temperature : float
        The divisor of the teacher's similarities, a constant.
    {normalize}
    reduction : {"mean", "sum", "none"}
        Over the n rows; "none" returns their losses, (n,).

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    References
    ----------
    Fang, Wang, Wang, Zhang, Yang and Liu 2021, "SEED: self-supervised distillation for visual
    representation", arXiv:2101.04731.

    Examples
    --------
    >>> import numpy as np
    >>> round(similarity_distillation([[0.0]], [[1.0]], [[1.0], [-1.0]]), 6)
    0.693147
    """
    function = "similarity_distillation"
    of_teacher = "queue_student" if queue_teacher is None else "queue_teacher"
    named = [("student", student), ("teacher", teacher), ("queue_student", queue_student)]
    if queue_teacher is not None:
        named.append((of_teacher, queue_teacher))
    library, arrays = checks.read(function, named, temperature, _check_tables)
    checks.same_columns(function, "student", arrays[0], "queue_student", arrays[2])
    checks.same_columns(function, "teacher", arrays[1], of_teacher, arrays[-1])
    checks.same_rows(function, "student", arrays[0], "teacher", arrays[1])
    checks.same_rows(function, "queue_student", arrays[2], of_teacher, arrays[-1])
    sharp = library.constant(function, teacher_temperature, "teacher_temperature")
    problem = Distillation(*of_every_loss(function, normalize, reduction), len(arrays), sharp)
    inputs = (*arrays, library.temperature(function, temperature))
    labels = *(name for name, _ in named), "temperature"
    names = "student", *(None for _ in named[1:]), "temperature"
    return Call(library, problem, inputs, names, labels=labels)


def _check_tables(function: str, named: Named) -> None:
    """Check the labels of tables: rows of student and teacher, and of both queues, must agree, and columns of
    each network and its queue.
    """
    for paired in (named[:2], named[2:]):
        check_row_labels(function, paired)
    for multiplied in ([named[0], named[2]], [named[1], named[-1]]):
        check_column_order(function, multiplied)
