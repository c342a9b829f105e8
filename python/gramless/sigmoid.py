"""The sigmoid loss: a sum of independent terms over all pairs of rows of two arrays."""

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
    """SigLIP: row i of a (n, d) and row i of b (n, d) are a positive pair, and all other pairs are negative.

    loss_i = -sum_j log sigmoid(y_ij (logit_scale <a_i, b_j> + logit_bias)), where y_ij is 1 if j = i and -1
    otherwise (Zhai et al. 2023, eq. 1 and algorithm 1). One pass over the pairs computes the loss and the
    gradients with respect to all four arguments, without n x n memory.

    Parameters
    ----------
    a, b : array (n, d)
        {loss_arrays}
    logit_scale : float, or a tensor of one number
        The factor of the similarities: the paper's exp(t'), which starts at 10, not t' itself. It may be 0 or
        negative. A tensor gets a gradient.
    logit_bias : float, or a tensor of one number
        The number added to the logits: the paper's b, which starts at -10. A tensor gets a gradient.
    {normalize}
    reduction : {"mean", "sum", "none"}
        Over the n values loss_i, as in the paper; "none" returns them, (n,).

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}
    NotImplementedError
        If an array is on a GPU.

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
