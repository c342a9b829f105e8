"""Distillation of similarities: a student's softmax over a queue follows the teacher's.

Both softmaxes come from the core; what is n x d happens here, and nothing is n x m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _arrays
from ._contrast import (
    NO_GROUPS,
    ContrastProblem,
    Rows,
    block_of,
    compute_dtype,
    describe_embeddings,
    reduced,
    rows_as,
    wrap_rows,
)
from ._losses import (
    EPSILON,
    Reduction,
    ScalarReduction,
    as_reduction,
    as_scalar_reduction,
    as_temperature,
    contrast_options,
)
from ._sums import Floats

__all__ = ["similarity_distillation", "similarity_distillation_value_and_grad"]


def _log_sum_exp(anchors: Rows, keys: Rows, temperature: float) -> ContrastProblem:
    options = contrast_options("log_sum_exp", temperature, False)
    return ContrastProblem([anchors], [keys], NO_GROUPS, NO_GROUPS, options, "log_sum_exp")


def _softmax_means(anchors: Rows, keys: Rows, values: Rows, temperature: float) -> Rows:  # n, m, m rows
    """sum_j p_ij v_j with p_ij the softmax over j of <a_i, k_j> / temperature, as (n, v).

    The gradient of the log-sum-exp by the anchors is that of the keys, over the temperature. So the values
    become columns of the keys that no anchor reaches. A column of ones gives the sum of the p_ij as it was
    rounded, to divide by.
    """
    n, e = anchors.shape
    reached = np.zeros((n, values.shape[1] + 1), anchors.dtype)
    unreached = np.concatenate([values, np.ones((len(values), 1), values.dtype)], axis=1)
    problem = _log_sum_exp(
        np.concatenate([anchors, reached], axis=1), np.concatenate([keys, unreached], axis=1), temperature
    )
    _, _, saved = problem.forward()
    (grad, _), _ = problem.backward(saved, np.ones(n), None, [True, False])
    assert grad is not None
    return np.ascontiguousarray(grad[:, e:-1] / grad[:, -1:])


@dataclass(frozen=True)
class _Distillation:
    """The student's rows z (n, d) and what the teacher's softmax makes of the student's queue, (n, d)."""

    z: Rows
    queue: Rows  # (m, d)
    target: Rows  # (n, d)
    temperature: float

    def losses(self) -> tuple[Floats, Floats]:
        """-sum_j p_ij log q_ij = log sum_j exp(s_ij) - <z_i, target_i> / temperature, and what was saved."""
        log_sums, _, saved = _log_sum_exp(self.z, self.queue, self.temperature).forward()
        with np.errstate(invalid="ignore", over="ignore"):
            aligned = np.sum(np.multiply(self.z, self.target, dtype=np.float64), axis=1)
            return log_sums - aligned / self.temperature, saved

    def backward(self, saved: Floats, weight: float) -> tuple[Floats, float]:
        """The gradients of weight sum_i loss_i by z and by the temperature."""
        problem = _log_sum_exp(self.z, self.queue, self.temperature)
        (grad, _), _ = problem.backward(saved, np.full(len(self.z), weight), None, [True, False])
        assert grad is not None
        with np.errstate(invalid="ignore", over="ignore"):
            dz = grad - np.multiply(self.target, weight / self.temperature, dtype=np.float64)
            return dz, -float(np.sum(dz * self.z)) / self.temperature


def _distillation(
    function: str,
    arrays: tuple[Any, Any, Any, Any],
    temperatures: tuple[Any, Any],
    normalize: bool,
) -> tuple[_Distillation, list[_arrays.Described]]:
    student, teacher, queue_student, queue_teacher = arrays
    temperature = as_temperature(function, temperatures[0])
    teacher_temperature = as_temperature(function, temperatures[1], "teacher_temperature")
    one_queue = queue_teacher is None
    of_teacher = {"queue_student": queue_student} if one_queue else {"queue_teacher": queue_teacher}
    described = describe_embeddings(function, {"student": student, "queue_student": queue_student})
    described += describe_embeddings(function, {"teacher": teacher} | of_teacher)
    _arrays.check_rows(function, "student", described[0], "teacher", described[2])
    _arrays.check_rows(function, "queue_student", described[1], next(iter(of_teacher)), described[3])
    dtype = compute_dtype(described)
    z, queue, t = (rows_as([a], normalize, dtype) for a in (student, queue_student, teacher))
    keys = queue if one_queue else rows_as([queue_teacher], normalize, dtype)
    target = _softmax_means(t, keys, queue, teacher_temperature)
    return _Distillation(z, queue, target, temperature), described


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

    Memory is that of the inputs, once more. Other arguments, returns and errors as in `nt_xent`.

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
    problem, described = _distillation(function, arrays, (temperature, teacher_temperature), normalize)
    losses, _ = problem.losses()
    return _arrays.wrap(reduced(losses, np.ones(len(losses), bool), reduction), student, described)


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
    problem, described = _distillation(function, arrays, (temperature, teacher_temperature), normalize)
    losses, saved = problem.losses()
    weight = 1 / len(losses) if reduction == "mean" else 1.0
    dz, by_temperature = problem.backward(saved, weight)
    if normalize:
        dz = _through_normalisation(block_of(student, 0, len(losses), np.float64), problem.z, dz)
    loss, by_temperature = (
        _arrays.wrap(value, student, described) for value in (weight * float(losses.sum()), by_temperature)
    )
    return loss, (wrap_rows(dz.astype(problem.z.dtype), student), by_temperature)


def _through_normalisation(u: Floats, z: Rows, dz: Floats) -> Floats:
    """du_i = (dz_i - <dz_i, z_i> z_i) / |u_i|, or dz_i / 1e-12 for rows too short to be normalised."""
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.maximum(np.sqrt(np.sum(u * u, axis=1, keepdims=True)), EPSILON)
        along = np.where(length == EPSILON, 0, np.sum(dz * z, axis=1, keepdims=True))
        return np.asarray((dz - along * z) / length)
