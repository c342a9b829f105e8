"""MoCo's loss: one positive for each query, all negatives from a queue.

The log-sum-exp over the queue comes from the core; the n positive logits beside it are computed here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _arrays
from ._contrast import NO_GROUPS, ContrastProblem, compute_dtype, describe_embeddings, reduced
from ._losses import (
    ContrastOptions,
    Reduction,
    ScalarReduction,
    as_reduction,
    as_scalar_reduction,
    check_queue,
    contrast_options,
)
from ._unit_rows import UnitRows, unit_rows
from .cross_modal import row_log_sum_exp, row_log_sum_exp_value_and_grad

__all__ = ["moco", "moco_value_and_grad"]


class _Positives(NamedTuple):
    """Queries and keys as unit rows in float64, and the logits of query i and key i."""

    q: UnitRows
    k: UnitRows
    logits: Any  # (n,)


def _positives(q: Any, k: Any, options: ContrastOptions) -> _Positives:
    of_q, of_k = unit_rows(q, options.normalize), unit_rows(k, options.normalize)
    with np.errstate(invalid="ignore", over="ignore"):
        return _Positives(of_q, of_k, (of_q.z * of_k.z).sum(1) / options.temperature)


def _check(function: str, q: Any, k: Any, queue: Any) -> list[Any]:
    """What the core reads of q, k and queue, whose shapes fit."""
    if not _arrays.any_on_device(q, k, queue):
        q, k, queue = (np.asanyarray(x) for x in (q, k, queue))
    if len(q.shape) == 2 and len(queue.shape) == 2:
        check_queue(function, q.shape[1], tuple(queue.shape))
    if _arrays.any_on_device(q, k, queue):
        from ._device.losses import embeddings

        _, described = embeddings(function, {"q": q, "k": k, "queue": queue})
    else:
        described = describe_embeddings(function, {"q": q, "k": k, "queue": queue})
    _arrays.check_rows(function, "q", described[0], "k", described[1])
    return described


def moco(
    q: Any,
    k: Any,
    queue: Any,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Any:
    r"""The loss of MoCo: row i of k (n, d) is the positive of row i of q (n, d), the queue its negatives.

    loss_i = log(exp(s_i) + sum_j exp(<q_i, queue_j> / temperature)) - s_i, s_i = <q_i, k_i> / temperature
    (He et al. 2020, arXiv:1911.05722, eq. 1). Other rows of k are no negatives, which they are in
    `info_nce(q, k, queue)`.

    Parameters
    ----------
    q, k
        Queries and their keys, (n, d) each: arrays or tensors as in `nt_xent`. MoCo computes k without
        gradients; a tensor k that requires a gradient gets one.
    queue
        Earlier keys, (m, d), a row each; constant. MoCo's own code keeps it transposed, (d, m): pass
        ``queue.T``.
    temperature
        Not 0; may be negative. A 0-d tensor gets a gradient.
    normalize
        Whether rows are first divided by max(\|row\|, 1e-12).
    reduction
        "mean" over the n queries, "sum", or "none" for the losses, (n,).

    Returns
    -------
    float, or for tensors and arrays of a GPU a 0-d one
        "none" gives an array or a tensor. NaN propagates.

    Raises
    ------
    ValueError
        Where shapes or options do not fit.
    TypeError
        Where types do not.

    References
    ----------
    He et al. 2020, Momentum Contrast for Unsupervised Visual Representation Learning, arXiv:1911.05722.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.eye(3)
    >>> round(moco(z[:2], z[:2], z[2:], temperature=0.5), 6)  # log(1 + exp(-2))
    0.126928
    """
    if _arrays.any_tensor(q, k, queue, temperature):
        from .torch import _log_sums

        return _log_sums.moco(q, k, queue, temperature, normalize, reduction)
    options = contrast_options("moco", temperature, normalize)
    reduction = as_reduction("moco", reduction)
    described = _check("moco", q, k, queue)
    if _arrays.any_on_device(q, k, queue):
        log_sums = row_log_sum_exp(q, queue, temperature=options.temperature, normalize=options.normalize)
    else:
        log_sums = _over_queue(described, options).forward().losses
    losses = _losses(log_sums, _positives(q, k, options).logits)
    if _arrays.any_on_device(q, k, queue):
        total = losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()
        return total.astype(log_sums.dtype)
    return reduced(losses, np.ones(len(losses), bool), reduction)


def moco_value_and_grad(
    q: Any,
    k: Any,
    queue: Any,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
) -> tuple[Any, tuple[Any, Any, Any]]:
    """`moco` and its gradients: (loss, (grad_q, grad_k, grad_temperature)).

    Parameters
    ----------
    q, k, queue, temperature, normalize
        As in `moco`.
    reduction
        "mean" or "sum".

    Returns
    -------
    tuple
        The loss, and gradients of the shapes of q and k, in float64 if an input is float64, else in float32,
        and that with respect to the temperature.

    Raises
    ------
    ValueError
        Where shapes or options do not fit.
    TypeError
        Where types do not.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.eye(3)
    >>> loss, (grad_q, grad_k, grad_temperature) = moco_value_and_grad(z[:2], z[:2], z[2:], temperature=0.5)
    >>> grad_q.shape, round(grad_temperature, 6)
    ((2, 3), 0.476812)
    """
    function = "moco_value_and_grad"
    options = contrast_options(function, temperature, normalize)
    reduction = as_scalar_reduction(function, reduction)
    if _arrays.any_tensor(q, k, queue):
        from .torch import _log_sums

        return _log_sums.moco_value_and_grad(q, k, queue, options, reduction)
    described = _check(function, q, k, queue)
    positives = _positives(q, k, options)
    weight = 1 / positives.logits.shape[0] if reduction == "mean" else 1.0
    if _arrays.any_on_device(q, k, queue):
        chosen: Any = {"temperature": options.temperature, "normalize": options.normalize}
        log_sums = row_log_sum_exp(q, queue, **chosen)
        share = weight * _share_of_negatives(log_sums, positives.logits)
        _, (grad_q, _, by_temperature) = row_log_sum_exp_value_and_grad(q, queue, weights=share, **chosen)
    else:
        problem = _over_queue(described, options)
        forward = problem.forward(keep=True)
        log_sums = forward.losses
        share = weight * _share_of_negatives(log_sums, positives.logits)
        (grad_q, _), by_temperature = problem.backward(forward, share, None, [True, False])
    loss = weight * _losses(log_sums, positives.logits).sum()
    dtype = grad_q.dtype if grad_q is not None else compute_dtype(described)
    pull = -share[:, None] / options.temperature
    grad_q = (grad_q + positives.q.backward(pull * positives.k.z)).astype(dtype)
    grad_k = positives.k.backward(pull * positives.q.z).astype(dtype)
    by_temperature = by_temperature + (share * positives.logits).sum() / options.temperature
    if _arrays.any_on_device(q, k, queue):
        return loss.astype(dtype), (grad_q, grad_k, by_temperature.astype(dtype))
    return float(loss), (grad_q, grad_k, float(by_temperature))


def _over_queue(described: list[Any], options: ContrastOptions) -> ContrastProblem:
    """The queries against the queue; its losses are the log-sum-exps."""
    q, _, queue = described
    return ContrastProblem([q], [queue], NO_GROUPS, NO_GROUPS, options, "log_sum_exp")


def _losses(log_sums: Any, positives: Any) -> Any:  # (n,), (n,)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.logaddexp(0.0, log_sums.astype(np.float64) - positives)


def _share_of_negatives(log_sums: Any, positives: Any) -> Any:
    """The negatives' part of the softmax, which is 1 less the positive's without the cancellation."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.exp(-np.logaddexp(0.0, positives - log_sums.astype(np.float64)))
