"""NT-Xent and its decoupled form: two views of one example are positives of each other."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .._losses import Reduction, as_reduction
from ._paragraphs import documented
from .gram import Array
from .logits import Contrast, as_embeddings, check_rows, reduction_weights
from .options import ContrastOptions, ScalarReduction, as_scalar_reduction, contrast_options

__all__ = [
    "dcl",
    "dcl_value_and_grad",
    "nt_xent",
    "nt_xent_value_and_grad",
]

Value: TypeAlias = "float | Array"
PairGradient: TypeAlias = tuple[float, tuple[Array, Array, float]]


def reduced(losses: Array, counted: npt.NDArray[np.bool_], reduction: Reduction) -> Value:  # (n,), (n,)
    """The losses of the anchors, or their sum, or the mean of those that are counted."""
    if reduction == "none":
        return losses
    return float(np.sum(losses * reduction_weights(counted, reduction)))


def self_contrast(z: Array, groups: npt.NDArray[np.int64], options: ContrastOptions) -> Contrast:
    """Rows (n, d) against each other; those of one group are positives, all others negatives."""
    same = groups[:, None] == groups
    return Contrast(z, z, same & ~np.eye(len(z), dtype=bool), ~same, options)


def self_gradient(contrast: Contrast, reduction: ScalarReduction) -> tuple[float, Array, float]:
    """The loss, its gradient with respect to rows that are anchors and keys, and that of the temperature."""
    weights = reduction_weights(contrast.counted, reduction)
    d_anchors, d_keys, d_temperature = contrast.backward(weights)
    return float(np.sum(contrast.losses * weights)), d_anchors + d_keys, d_temperature


def two_views(function: str, z_a: npt.ArrayLike, z_b: npt.ArrayLike, options: ContrastOptions) -> Contrast:
    """Rows [z_a; z_b], each with its other view as its positive."""
    a, b = as_embeddings(function, {"z_a": z_a, "z_b": z_b})
    check_rows(function, "z_a", a, "z_b", b)
    return self_contrast(np.concatenate([a, b]), np.tile(np.arange(len(a)), 2), options)


def two_views_gradient(contrast: Contrast, reduction: ScalarReduction) -> PairGradient:
    """The loss and (grad_a, grad_b, grad_temperature)."""
    loss, d_z, d_temperature = self_gradient(contrast, reduction)
    n = len(d_z) // 2
    return loss, (d_z[:n], d_z[n:], d_temperature)


@documented
def nt_xent(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.5,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> Value:
    """NT-Xent of two views of n examples, whose 2n rows z are all anchors.

    loss_i = log sum_{j != i} exp(<z_i, z_j> / tau) - <z_i, z_p(i)> / tau, p(i) the other view of row i.

    {views}
    {value_excluding}

    {simclr}

    Examples
    --------
    >>> round(nt_xent([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]), 6)
    0.239545
    """
    options = contrast_options(
        "nt_xent", temperature, normalize, exclude_above, exclude_hardest, exclude_easiest
    )
    reduction = as_reduction("nt_xent", reduction)
    contrast = two_views("nt_xent", z_a, z_b, options)
    return reduced(contrast.losses, contrast.counted, reduction)


@documented
def nt_xent_value_and_grad(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.5,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> PairGradient:
    """`nt_xent` with its gradients: the loss and (grad_a, grad_b, grad_temperature).

    {views}
    {gradient_excluding}

    Examples
    --------
    >>> z = [[1.0, 0.0], [0.0, 1.0]]
    >>> loss, (grad_a, grad_b, grad_temperature) = nt_xent_value_and_grad(z, z)
    >>> round(loss, 6), round(grad_temperature, 6)
    (0.239545, 0.852056)
    >>> grad_a.round(6)
    array([[0.      , 0.213014],
           [0.213014, 0.      ]])
    """
    function = "nt_xent_value_and_grad"
    options = contrast_options(
        function, temperature, normalize, exclude_above, exclude_hardest, exclude_easiest
    )
    reduction = as_scalar_reduction(function, reduction)
    return two_views_gradient(two_views(function, z_a, z_b, options), reduction)


@documented
def dcl(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> Value:
    """NT-Xent without the positive in the denominator: decoupled contrastive learning.

    loss_i = log sum_{j not in {i, p(i)}} exp(<z_i, z_j> / tau) - <z_i, z_p(i)> / tau

    It may be negative, and is -inf without a negative.

    {views}
    {value_excluding}

    References
    ----------
    Yeh, Hong, Hsu, Liu, Chen and LeCun 2022, "Decoupled contrastive learning", arXiv:2110.06848, equation 6.

    Examples
    --------
    >>> round(dcl([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], temperature=0.5), 6)
    -1.306853
    """
    options = contrast_options(
        "dcl", temperature, normalize, exclude_above, exclude_hardest, exclude_easiest, decoupled=True
    )
    reduction = as_reduction("dcl", reduction)
    contrast = two_views("dcl", z_a, z_b, options)
    return reduced(contrast.losses, contrast.counted, reduction)


@documented
def dcl_value_and_grad(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> PairGradient:
    """`dcl` with its gradients: the loss and (grad_a, grad_b, grad_temperature).

    {views}
    {gradient_excluding}

    Examples
    --------
    >>> z = [[1.0, 0.0], [0.0, 1.0]]
    >>> loss, (grad_a, grad_b, grad_temperature) = dcl_value_and_grad(z, z, temperature=0.5)
    >>> round(loss, 6), round(grad_temperature, 6)
    (-1.306853, 4.0)
    >>> grad_a.round(6)
    array([[0., 1.],
           [1., 0.]])
    """
    function = "dcl_value_and_grad"
    options = contrast_options(
        function, temperature, normalize, exclude_above, exclude_hardest, exclude_easiest, decoupled=True
    )
    reduction = as_scalar_reduction(function, reduction)
    return two_views_gradient(two_views(function, z_a, z_b, options), reduction)
