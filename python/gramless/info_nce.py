"""Anchors against keys which are no anchors themselves: InfoNCE with a queue or in both directions, and the
log-sum-exp of rows underneath.
"""

from __future__ import annotations

from typing import Any

from ._docs import documented
from ._evaluate import Call, differentiable
from ._loss_calls import instances, log_sum_exps
from ._losses import Reduction

__all__ = ["info_nce", "row_log_sum_exp"]


@differentiable
@documented
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
    exclude_easiest: float | None = None,
) -> Call:
    """InfoNCE: row i of anchors (n, d) belongs to row i of keys (n, d), and all other keys are its negatives.

    loss_i = log sum_j exp(<a_i, k_j> / temperature) - <a_i, k_i> / temperature, j over keys and queue (van
    den Oord et al. 2018, eq. 4).

    Parameters
    ----------
    anchors, keys : array (n, d)
        {loss_arrays}
    queue : array (m, d), optional
        More keys, which belong to no anchor; autograd gives them no gradient, `value_and_grad` does. All rows
        of keys stay negatives of the other anchors; MoCo's loss, whose negatives are the queue alone, is
        `moco`.
    {temperature}
    {normalize}
    symmetric : bool
        Whether the loss is the mean of loss_i and of the same with anchors and keys exchanged, both from one
        pass (CLIP, Radford et al. 2021); the queue takes no part in the second.
    reduction : {"mean", "sum", "none"}
        Over the n pairs; "none" returns their losses, (n,).
    {exclude}

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    References
    ----------
    Van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive coding",
    arXiv:1807.03748. Radford et al. 2021, "Learning transferable visual models from natural language
    supervision", arXiv:2103.00020.

    Examples
    --------
    >>> import numpy as np
    >>> round(info_nce(np.eye(4), np.eye(4), temperature=0.5), 6)  # log(1 + 3 exp(-2))
    0.340753
    """
    named = [("anchors", anchors), ("keys", keys)] + ([] if queue is None else [("queue", queue)])
    chosen = temperature, normalize, symmetric, reduction, exclude_above, exclude_hardest, exclude_easiest
    return instances("info_nce", "softmax", named, 1, *chosen)


@differentiable
@documented
def row_log_sum_exp(
    x: Any,
    y: Any = None,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> Call:
    """log sum_j exp(<x_i, y_j> / temperature) for every row of x (n, d) over the rows of y (m, d): (n,).

    What other softmax losses are built of, without n x m memory. `value_and_grad` takes their derivatives
    with respect to the values, (n,), as cotangent.

    Parameters
    ----------
    x : array (n, d)
        {loss_arrays}
    y : array (m, d), optional
        None is x itself.
    {temperature}
    {normalize}
    exclude_self : bool
        Without y: whether j = i is left out.

    Returns
    -------
    array (n,)
        Where the inputs live. NaN propagates.

    Raises
    ------
    {errors}

    Examples
    --------
    >>> import numpy as np
    >>> row_log_sum_exp(np.eye(2), exclude_self=True)
    array([0., 0.])
    """
    return log_sum_exps("row_log_sum_exp", x, y, temperature, normalize, exclude_self)
