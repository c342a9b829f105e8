"""The sigmoid loss of pairs (SigLIP)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._counts import as_number
from .._losses import Reduction, as_reduction
from ._paragraphs import documented
from .contrastive import Value
from .gram import Array
from .logits import as_embeddings, check_rows, unit_rows, unit_rows_backward
from .options import ScalarReduction, as_scalar_reduction

__all__ = ["siglip", "siglip_value_and_grad"]

SigmoidGradient = tuple[float, Array, Array, float, float]  # value, gradients: a, b, logit_scale, logit_bias


def _pairs(
    a: npt.ArrayLike, b: npt.ArrayLike, logit_scale: float, logit_bias: float, normalize: bool
) -> tuple[list[Array], list[Array], Array, Array]:
    """The arrays, their rows z, normalised if chosen, the signs y (n, n) and the products y * logit."""
    x = as_embeddings("siglip", {"a": a, "b": b})
    check_rows("siglip", "a", x[0], "b", x[1])
    scale = as_number("siglip", "logit_scale", logit_scale)
    bias = as_number("siglip", "logit_bias", logit_bias)
    z = [unit_rows(u) if normalize else u for u in x]
    y = 2 * np.eye(len(x[0])) - 1
    with np.errstate(invalid="ignore", over="ignore"):
        return x, z, y, y * (scale * (z[0] @ z[1].T) + bias)


@documented
def siglip(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    logit_scale: float,
    logit_bias: float,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Value:
    """The sigmoid loss of all pairs of rows of a (n, d) and b (n, d).

    loss_i = sum_j log(1 + exp(-y_ij (logit_scale <a_i, b_j> + logit_bias))), y_ij = 1 if j = i, else -1.

    {two_towers}
    reduction : {"mean", "sum", "none"}
        "none" returns the loss of each row of a.

    Returns
    -------
    float, or with reduction="none" an ndarray of float64, (n,)

    {raises}

    References
    ----------
    Zhai, Mustafa, Kolesnikov and Beyer 2023, "Sigmoid loss for language image pre-training",
    arXiv:2303.15343, equation 1.

    Examples
    --------
    >>> round(siglip([[1.0, 0.0]], [[1.0, 0.0]], logit_scale=10.0, logit_bias=-10.0), 6)
    0.693147
    """
    reduction = as_reduction("siglip", reduction)
    *_, signed = _pairs(a, b, logit_scale, logit_bias, normalize)
    losses = np.logaddexp(0, -signed).sum(axis=1)
    return losses if reduction == "none" else float(losses.mean() if reduction == "mean" else losses.sum())


@documented
def siglip_value_and_grad(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    logit_scale: float,
    logit_bias: float,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
) -> SigmoidGradient:
    """`siglip` with its gradients with respect to a, b, logit_scale and logit_bias.

    {two_towers}
    reduction : {"mean", "sum"}
        How the losses of all rows become one number.

    Returns
    -------
    tuple
        The value, grad_a (n, d), grad_b (n, d), grad_logit_scale and grad_logit_bias.

    {raises}

    Examples
    --------
    >>> siglip_value_and_grad([[1.0]], [[1.0]], logit_scale=1.0, logit_bias=-1.0, normalize=False)[3]
    -0.5
    """
    reduction = as_scalar_reduction("siglip_value_and_grad", reduction)
    x, z, y, signed = _pairs(a, b, logit_scale, logit_bias, normalize)
    count = len(z[0]) if reduction == "mean" else 1
    with np.errstate(over="ignore", invalid="ignore"):
        slopes = -y / (1 + np.exp(signed)) / count
        dz = [logit_scale * slopes @ z[1], logit_scale * slopes.T @ z[0]]
        by_scale = float((slopes * (z[0] @ z[1].T)).sum())
    dx = [unit_rows_backward(u, d) if normalize else d for u, d in zip(x, dz, strict=True)]
    value = float(np.logaddexp(0, -signed).sum()) / count
    return value, dx[0], dx[1], by_scale, float(slopes.sum())
