"""Distillation of similarities: the cross entropy of a student's softmax over a queue with its teacher's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._losses import Reduction, as_reduction, as_temperature
from ._paragraphs import documented
from .contrastive import Value
from .gram import Array
from .logits import as_embeddings, check_rows, log_sum_exp, unit_rows, unit_rows_backward
from .options import ScalarReduction, as_scalar_reduction

__all__ = ["similarity_distillation", "similarity_distillation_value_and_grad"]


@documented
def similarity_distillation(
    student: npt.ArrayLike,
    teacher: npt.ArrayLike,
    queue_student: npt.ArrayLike,
    queue_teacher: npt.ArrayLike | None = None,
    *,
    temperature: float = 0.2,
    teacher_temperature: float = 0.01,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Value:
    """The cross entropy of a student's similarities to a queue with its teacher's (SEED).

    loss_i = -sum_j p_ij log q_ij, where q_ij is the softmax over j of <student_i, queue_student_j> / tau and
    p_ij that of <teacher_i, queue_teacher_j> / tau_teacher. The paper adds the teacher's embeddings of the
    batch to the queue before the loss.

    {distilled}
    {value}

    References
    ----------
    Fang, Wang, Wang, Zhang, Yang and Liu 2021, "SEED: self-supervised distillation for visual
    representation", arXiv:2101.04731, equation 5.

    Examples
    --------
    >>> round(similarity_distillation([[0.0]], [[1.0]], [[1.0], [-1.0]]), 6)
    0.693147
    """
    reduction = as_reduction("similarity_distillation", reduction)
    losses, _, _ = distillation(
        "similarity_distillation",
        (student, teacher, queue_student, queue_teacher),
        (temperature, teacher_temperature),
        normalize,
    )
    return losses if reduction == "none" else float(losses.mean() if reduction == "mean" else losses.sum())


@documented
def similarity_distillation_value_and_grad(
    student: npt.ArrayLike,
    teacher: npt.ArrayLike,
    queue_student: npt.ArrayLike,
    queue_teacher: npt.ArrayLike | None = None,
    *,
    temperature: float = 0.2,
    teacher_temperature: float = 0.01,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
) -> tuple[float, tuple[Array, float]]:
    """`similarity_distillation` with its gradients: the loss and (grad_student, grad_temperature).

    {distilled}
    {gradient}

    Examples
    --------
    >>> queue = [[1.0, 0.0], [0.0, 1.0]]
    >>> loss, (grad_student, _) = similarity_distillation_value_and_grad([[1.0, 1.0]], [[1.0, 0.0]], queue)
    >>> round(loss, 6), grad_student.round(6)
    (0.693147, array([[-1.767767,  1.767767]]))
    """
    function = "similarity_distillation_value_and_grad"
    reduction = as_scalar_reduction(function, reduction)
    losses, d_student, d_temperature = distillation(
        function,
        (student, teacher, queue_student, queue_teacher),
        (temperature, teacher_temperature),
        normalize,
    )
    weight = 1 / len(losses) if reduction == "mean" else 1.0
    return weight * float(losses.sum()), (weight * d_student, weight * d_temperature)


def distillation(
    function: str,
    arrays: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, npt.ArrayLike | None],
    temperatures: tuple[float, float],
    normalize: bool,
) -> tuple[Array, Array, float]:
    """The losses (n,), and gradients of their sum with respect to student (n, d) and temperature."""
    tau = as_temperature(function, temperatures[0])
    tau_teacher = as_temperature(function, temperatures[1], "teacher_temperature")
    student, teacher, queue_student, queue_teacher = arrays
    name = "queue_student" if queue_teacher is None else "queue_teacher"
    queue_teacher = queue_student if queue_teacher is None else queue_teacher
    u, queue_u = as_embeddings(function, {"student": student, "queue_student": queue_student})
    t, queue_t = as_embeddings(function, {"teacher": teacher, name: queue_teacher})
    check_rows(function, "student", u, "teacher", t)
    check_rows(function, "queue_student", queue_u, name, queue_t)
    z, queue_z = (unit_rows(u), unit_rows(queue_u)) if normalize else (u, queue_u)
    if normalize:
        t, queue_t = unit_rows(t), unit_rows(queue_t)
    with np.errstate(invalid="ignore", over="ignore"):
        s, s_teacher = z @ queue_z.T / tau, t @ queue_t.T / tau_teacher
        everywhere = np.ones(s.shape, dtype=bool)
        log_q = s - log_sum_exp(s, everywhere)
        p = np.exp(s_teacher - log_sum_exp(s_teacher, everywhere))
        ds = np.exp(log_q) - p
        losses = -np.sum(p * log_q, axis=1)
        d_temperature = -float(np.sum(ds * s)) / tau
        dz = ds @ queue_z / tau
    return losses, unit_rows_backward(u, dz) if normalize else dz, d_temperature
