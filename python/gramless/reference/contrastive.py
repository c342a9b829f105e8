"""Who is positive to whom: NT-Xent, InfoNCE, decoupled and supervised contrastive losses."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .._losses import (
    ContrastOptions,
    Reduction,
    ScalarReduction,
    as_groups,
    as_reduction,
    as_scalar_reduction,
    contrast_options,
)
from .gram import Array
from .logits import Contrast, as_embeddings, check_rows, reduction_weights

Value: TypeAlias = "float | Array"
PairGradient: TypeAlias = tuple[float, tuple[Array, Array, float]]


def reduced(losses: Array, counted: npt.NDArray[np.bool_], reduction: Reduction) -> Value:  # (n,), (n,)
    """The losses of the anchors, or their sum, or their mean over those that are counted."""
    if reduction == "none":
        return losses
    return float(np.sum(losses * reduction_weights(counted, reduction)))


def self_contrast(z: Array, groups: npt.NDArray[np.int64], options: ContrastOptions) -> Contrast:
    """Rows (n, d) against each other; those of one group are positives, all others negatives."""
    same = groups[:, None] == groups
    return Contrast(z, z, same & ~np.eye(len(z), dtype=bool), ~same, options)


def self_gradient(contrast: Contrast, reduction: ScalarReduction) -> tuple[float, Array, float]:
    """The loss, and its gradients by rows that are anchors and keys at once, and by the temperature."""
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


def nt_xent(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.5,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Value:
    """Two views of n examples, (n, d) each, as 2n anchors: Chen et al. 2020 (SimCLR), equation 1.

    loss_i = log sum_{j != i} exp(<z_i, z_j> / tau) - <z_i, z_p(i)> / tau, p(i) the other view of row i.

    >>> round(nt_xent([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]), 6)
    0.239545
    """
    options = contrast_options("nt_xent", temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_reduction("nt_xent", reduction)
    contrast = two_views("nt_xent", z_a, z_b, options)
    return reduced(contrast.losses, contrast.counted, reduction)


def nt_xent_value_and_grad(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.5,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> PairGradient:
    """The loss and (grad_a, grad_b, grad_temperature)."""
    function = "nt_xent_value_and_grad"
    options = contrast_options(function, temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_scalar_reduction(function, reduction)
    return two_views_gradient(two_views(function, z_a, z_b, options), reduction)


def dcl(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Value:
    """NT-Xent with the positive left out of the denominator: Yeh et al. 2022, equation 6.

    loss_i = log sum_{j not in {i, p(i)}} exp(<z_i, z_j> / tau) - <z_i, z_p(i)> / tau

    It may be negative, and is -inf without a negative.

    >>> round(dcl([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], temperature=0.5), 6)
    -1.306853
    """
    options = contrast_options("dcl", temperature, normalize, exclude_above, exclude_hardest, decoupled=True)
    reduction = as_reduction("dcl", reduction)
    contrast = two_views("dcl", z_a, z_b, options)
    return reduced(contrast.losses, contrast.counted, reduction)


def dcl_value_and_grad(
    z_a: npt.ArrayLike,
    z_b: npt.ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> PairGradient:
    """The loss and (grad_a, grad_b, grad_temperature)."""
    function = "dcl_value_and_grad"
    options = contrast_options(
        function, temperature, normalize, exclude_above, exclude_hardest, decoupled=True
    )
    reduction = as_scalar_reduction(function, reduction)
    return two_views_gradient(two_views(function, z_a, z_b, options), reduction)


def sup_con(
    z: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Value:
    """Rows (n, d) whose positives are all other rows of their label: Khosla et al. 2020, L_out (equation 2).

    loss_i = mean over positives p of [ log sum_{j != i} exp(<z_i, z_j> / tau) - <z_i, z_p> / tau ]

    A row without a positive has loss 0 and is not counted in the mean. Several views of one example are rows
    whose label is the example's number.

    >>> round(sup_con([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [7, 7, 8], temperature=0.5), 6)
    0.126928
    """
    options = contrast_options("sup_con", temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_reduction("sup_con", reduction)
    (z,) = as_embeddings("sup_con", {"z": z})
    contrast = self_contrast(z, as_groups("sup_con", labels, len(z)), options)
    return reduced(contrast.losses, contrast.counted, reduction)


def sup_con_value_and_grad(
    z: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> tuple[float, tuple[Array, float]]:
    """The loss and (grad_z, grad_temperature)."""
    function = "sup_con_value_and_grad"
    options = contrast_options(function, temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_scalar_reduction(function, reduction)
    (z,) = as_embeddings(function, {"z": z})
    contrast = self_contrast(z, as_groups(function, labels, len(z)), options)
    loss, d_z, d_temperature = self_gradient(contrast, reduction)
    return loss, (d_z, d_temperature)
