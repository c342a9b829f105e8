"""MoCo's loss: one positive for each query, and all negatives from a queue."""

from __future__ import annotations

from typing import Any

from . import _loss_calls
from ._docs import documented
from ._evaluate import Call, differentiable
from ._losses import Reduction

__all__ = ["moco"]


@differentiable
@documented
def moco(
    q: Any,
    k: Any,
    queue: Any,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Call:
    """The loss of MoCo: the positive of row i of q (n, d) is row i of k (n, d); the negatives are the queue.

    loss_i = log(exp(s_i) + sum_j exp(<q_i, queue_j> / temperature)) - s_i, s_i = <q_i, k_i> / temperature
    (He et al. 2020, eq. 1). The other rows of k are not negatives; in `info_nce(q, k, queue)` they are.

    Parameters
    ----------
    q, k : array (n, d)
        The queries and their keys. MoCo computes k without gradients; a tensor k that requires a gradient
        gets one.
        {loss_arrays}
    queue : array (m, d)
        Earlier keys as rows; autograd treats them as constants. MoCo's own code keeps the queue transposed,
        (d, m): pass `queue.T`.
    {temperature}
    {normalize}
    reduction : {"mean", "sum", "none"}
        Over the n queries; "none" returns their losses, (n,).

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    References
    ----------
    He, Fan, Wu, Xie and Girshick 2020, "Momentum contrast for unsupervised visual representation learning",
    arXiv:1911.05722.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.eye(3)
    >>> round(moco(z[:2], z[:2], z[2:], temperature=0.5), 6)  # log(1 + exp(-2))
    0.126928
    """
    named = [("q", q), ("k", k), ("queue", queue)]
    return _loss_calls.moco("moco", named, _loss_calls.Chosen(temperature, normalize, reduction))
