"""MoCo's loss: one positive for each query, all negatives from a queue."""

from __future__ import annotations

from typing import Any

from . import _loss_calls
from ._evaluate import Call, differentiable
from ._losses import Reduction

__all__ = ["moco"]


@differentiable
def moco(
    q: Any,
    k: Any,
    queue: Any,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Call:
    """The loss of MoCo: row i of k (n, d) is the positive of row i of q (n, d), the queue its negatives.

    loss_i = log(exp(s_i) + sum_j exp(<q_i, queue_j> / temperature)) - s_i, s_i = <q_i, k_i> / temperature
    (He et al. 2020, arXiv:1911.05722, eq. 1). Other rows of k are no negatives, which they are in
    `info_nce(q, k, queue)`.

    Parameters
    ----------
    q, k
        Queries and their keys, (n, d) each: arrays or tensors as in `nt_xent`. MoCo computes k without
        gradients; a tensor k that requires a gradient gets one.
    queue
        Earlier keys, (m, d), a row each, constant for autograd. MoCo's own code keeps it transposed, (d, m):
        pass `queue.T`.
    temperature
        Not 0; may be negative. A 0-d tensor gets a gradient.
    normalize
        Whether rows are first divided by max(|row|, 1e-12).
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
    named = [("q", q), ("k", k), ("queue", queue)]
    return _loss_calls.moco("moco", named, _loss_calls.Chosen(temperature, normalize, reduction))
