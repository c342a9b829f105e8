"""Anchors against keys which are no anchors themselves: InfoNCE with a queue or in both directions, and the
log-sum-exp of rows underneath.
"""

from __future__ import annotations

from typing import Any

from ._evaluate import Call, differentiable
from ._loss_calls import instances, log_sum_exps
from ._losses import Reduction

__all__ = ["info_nce", "row_log_sum_exp"]


@differentiable
def info_nce(
    anchors: Any,
    keys: Any,
    queue: Any = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Call:
    """InfoNCE: row i of anchors (n, d) belongs to row i of keys (n, d), and all other keys are its negatives.

    loss_i = log sum_j exp(<a_i, k_j> / temperature) - <a_i, k_i> / temperature, j over keys and queue
    (van den Oord et al. 2018, arXiv:1807.03748, eq. 4).

    queue (m, d): more keys, which belong to no anchor; autograd gives them no gradient, `value_and_grad`
    does. All rows of keys stay negatives of the other anchors; MoCo's loss, whose negatives are the queue
    alone, is `moco`.
    symmetric: the mean of loss_i and of the same with anchors and keys exchanged, both from one pass (CLIP,
    Radford et al. 2021, arXiv:2103.00020); the queue takes no part in the second.
    reduction: "mean" over the n pairs, "sum", or "none" for the losses, (n,).

    Other arguments, returns and errors as in `nt_xent`.

    >>> import numpy as np
    >>> round(info_nce(np.eye(4), np.eye(4), temperature=0.5), 6)  # log(1 + 3 exp(-2))
    0.340753
    """
    named = [("anchors", anchors), ("keys", keys)] + ([] if queue is None else [("queue", queue)])
    chosen = temperature, normalize, symmetric, reduction, exclude_above, exclude_hardest
    return instances("info_nce", "softmax", named, 1, *chosen)


@differentiable
def row_log_sum_exp(
    x: Any,
    y: Any = None,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> Call:
    """log sum_j exp(<x_i, y_j> / temperature) for every row of x (n, d) over the rows of y (m, d): (n,).

    What other softmax losses are built of, without n x m memory. `value_and_grad` takes their derivatives by
    the values, (n,), as cotangent. y=None is x itself; exclude_self then leaves
    out j = i. temperature, normalize, dtypes, returns and errors as in `nt_xent`.

    >>> import numpy as np
    >>> row_log_sum_exp(np.eye(2), exclude_self=True)
    array([0., 0.])
    """
    return log_sum_exps("row_log_sum_exp", x, y, temperature, normalize, exclude_self)
