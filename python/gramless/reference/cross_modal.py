"""Anchors against keys that are not anchors themselves: InfoNCE with a queue or in both directions,
distillation of similarities, and the log-sum-exp of rows underneath.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._losses import (
    ContrastOptions,
    Reduction,
    ScalarReduction,
    as_reduction,
    as_scalar_reduction,
    as_temperature,
    contrast_options,
)
from .contrastive import PairGradient, Value
from .gram import Array
from .logits import Contrast, as_embeddings, check_rows, log_sum_exp, unit_rows, unit_rows_backward


def directions(
    function: str,
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    queue: npt.ArrayLike | None,
    symmetric: bool,
    options: ContrastOptions,
) -> list[Contrast]:
    """Anchors against [keys; queue] and, if symmetric, keys against anchors."""
    named = {"anchors": anchors, "keys": keys} | ({} if queue is None else {"queue": queue})
    a, k, *queued = as_embeddings(function, named)
    check_rows(function, "anchors", a, "keys", k)
    all_keys = np.concatenate([k, *queued])
    own = np.eye(len(a), len(all_keys), dtype=bool)
    both = [Contrast(a, all_keys, own, ~own, options)]
    if symmetric:
        own = np.eye(len(a), dtype=bool)
        both.append(Contrast(k, a, own, ~own, options))
    return both


def info_nce(
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    queue: npt.ArrayLike | None = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Value:
    """Anchor i (n, d) and key i (n, d) belong together: van den Oord et al. 2018, equation 4.

    loss_i = log sum_j exp(<a_i, k_j> / tau) - <a_i, k_i> / tau, over all keys j, those of the queue included.

    queue (m, d): keys that belong to no anchor and get no gradient (He et al. 2020, MoCo).
    symmetric: the mean of loss_i and of the same with anchors and keys exchanged, where the queue plays no
    part (Radford et al. 2021, CLIP).

    >>> round(info_nce([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], temperature=1.0), 6)
    0.313262
    """
    options = contrast_options("info_nce", temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_reduction("info_nce", reduction)
    both = directions("info_nce", anchors, keys, queue, symmetric, options)
    losses = np.mean([contrast.losses for contrast in both], axis=0)
    return losses if reduction == "none" else float(losses.mean() if reduction == "mean" else losses.sum())


def info_nce_value_and_grad(
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    queue: npt.ArrayLike | None = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> PairGradient:
    """The loss and (grad_anchors, grad_keys, grad_temperature)."""
    function = "info_nce_value_and_grad"
    options = contrast_options(function, temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_scalar_reduction(function, reduction)
    both = directions(function, anchors, keys, queue, symmetric, options)
    n = len(both[0].losses)
    weights = np.full(n, 1 / (len(both) * (n if reduction == "mean" else 1)))
    loss = sum(float(np.sum(contrast.losses * weights)) for contrast in both)
    d_anchors, d_keys, d_temperature = both[0].backward(weights)
    d_keys = d_keys[:n]
    if symmetric:
        d_keys_back, d_anchors_back, d_temperature_back = both[1].backward(weights)
        d_anchors, d_keys = d_anchors + d_anchors_back, d_keys + d_keys_back
        d_temperature += d_temperature_back
    return loss, (d_anchors, d_keys, d_temperature)


def row_log_sum_exp(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> Array:
    """log sum_j exp(<x_i, y_j> / tau) for the rows of x (n, d) over those of y (m, d), or of x, as (n,).

    exclude_self leaves out j = i, where y is None.

    >>> row_log_sum_exp([[0.0], [1.0]], [[0.0], [0.0]]).round(6)
    array([0.693147, 0.693147])
    """
    return row_log_sum_exp_value_and_grad(
        x, y, temperature=temperature, normalize=normalize, exclude_self=exclude_self
    )[0]


def row_log_sum_exp_value_and_grad(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    weights: npt.ArrayLike | None = None,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> tuple[Array, tuple[Array, Array | None, float]]:
    """The values v (n,), and (grad_x, grad_y, grad_temperature) of sum_i weights_i v_i.

    weights=None: all 1. grad_y is None where y is.
    """
    function = "row_log_sum_exp"
    tau = as_temperature(function, temperature)
    if exclude_self and y is not None:
        raise ValueError(f"{function}: exclude_self=True needs y=None, for the rows of y are not those of x")
    rows = as_embeddings(function, {"x": x} if y is None else {"x": x, "y": y})
    zx, zy = (unit_rows(u) if normalize else u for u in (rows[0], rows[-1]))
    with np.errstate(invalid="ignore", over="ignore"):
        s = zx @ zy.T / tau
    which = ~np.eye(len(s), dtype=bool) if exclude_self else np.ones(s.shape, dtype=bool)
    values = log_sum_exp(s, which)
    with np.errstate(invalid="ignore"):
        ds = np.where(which, np.exp(s - values), 0)
        ds = ds * (np.ones(len(s)) if weights is None else np.asarray(weights, np.float64))[:, None]
        d_temperature = -float(np.sum(ds * s)) / tau
        dx, dy = ds @ zy / tau, ds.T @ zx / tau
    if normalize:
        dx, dy = unit_rows_backward(rows[0], dx), unit_rows_backward(rows[-1], dy)
    return values[:, 0], (dx + dy if y is None else dx, None if y is None else dy, d_temperature)


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
    """The student's similarities to a queue follow the teacher's: Fang et al. 2021 (SEED), equation 5.

    loss_i = -sum_j p_ij log q_ij, where q_ij is the softmax over j of <student_i, queue_student_j> / tau and
    p_ij that of <teacher_i, queue_teacher_j> / tau_teacher.

    student (n, d), teacher (n, e), queue_student (m, d), queue_teacher (m, e): row j of both queues is one
    example, as each network sees it. queue_teacher=None takes one queue for both, as the paper does, which
    puts the teacher's embeddings of the batch into it first.

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
    """The loss and (grad_student, grad_temperature); teacher and queues are constants."""
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
    """The losses (n,), and the gradients of their sum by the student (n, d) and by its temperature."""
    tau = as_temperature(function, temperatures[0])
    tau_teacher = as_temperature(function, temperatures[1], "teacher_temperature")
    student, teacher, queue_student, queue_teacher = arrays
    if queue_teacher is None:
        queue_teacher = queue_student
    u, queue_u = as_embeddings(function, {"student": student, "queue_student": queue_student})
    t, queue_t = as_embeddings(function, {"teacher": teacher, "queue_teacher": queue_teacher})
    check_rows(function, "student", u, "teacher", t)
    check_rows(function, "queue_student", queue_u, "queue_teacher", queue_t)
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
