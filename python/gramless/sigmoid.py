"""The sigmoid loss: a sum over all pairs of rows of two arrays, each with its own term."""

from __future__ import annotations

from typing import Any

from ._docs import documented
from ._evaluate import Call, differentiable
from ._loss_calls import sigmoid_pairs
from ._losses import Reduction

__all__ = ["siglip"]


@differentiable
@documented
def siglip(
    a: Any,
    b: Any,
    *,
    logit_scale: float,
    logit_bias: float,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Call:
    """SigLIP: rows i of a (n, d) and b (n, d) belong together, and each other pair of rows does not.

    loss_i = -sum_j log sigmoid(y_ij (logit_scale <a_i, b_j> + logit_bias)), y_ij = 1 where j = i and -1
    elsewhere (Zhai et al. 2023, eq. 1 and algorithm 1). One walk over the pairs gives the loss and the
    gradients of all four arguments, without n x n memory.

    Parameters
    ----------
    a, b : array (n, d)
        {loss_arrays}
    logit_scale : float, or a tensor of one number
        What similarities are multiplied by, exponentiated already: the paper's exp(t'), 10 at first. It may
        be 0 or negative. A tensor gets a gradient.
    logit_bias : float, or a tensor of one number
        What is added to logits; the paper's b, -10 at first. A tensor gets a gradient.
    {normalize}
    reduction : {"mean", "sum", "none"}
        Over the n rows of a, each with the sum over its n pairs, as in the paper; "none" returns those sums,
        (n,).

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}
    NotImplementedError
        For arrays of a GPU.

    References
    ----------
    Zhai, Mustafa, Kolesnikov and Beyer 2023, "Sigmoid loss for language image pre-training",
    arXiv:2303.15343.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.eye(4)
    >>> round(siglip(z, z, logit_scale=10.0, logit_bias=-10.0), 6)  # log(2) + 3 log(1 + exp(-10))
    0.693283
    """
    return sigmoid_pairs("siglip", [("a", a), ("b", b)], logit_scale, logit_bias, normalize, reduction)
