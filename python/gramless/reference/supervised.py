"""The supervised contrastive loss: rows with one label, or of a mask, are positives of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._losses import OfRows, Reduction, as_ignored, as_reduction, check_positives, ignored_rows
from ._paragraphs import documented
from .contrastive import Value, reduced, self_contrast, self_gradient
from .gram import Array
from .logits import Contrast, as_embeddings
from .options import (
    ContrastOptions,
    ScalarReduction,
    as_groups,
    as_mask,
    as_scalar_reduction,
    contrast_options,
)

__all__ = ["sup_con", "sup_con_value_and_grad"]


@documented
def sup_con(
    z: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
    mask: npt.ArrayLike | None = None,
    ignore_index: Any = None,
) -> Value:
    """The supervised contrastive loss L_out: the positives of a row are all other rows with its label.

    loss_i = mean over positives p of [ log sum_{j != i} exp(<z_i, z_j> / tau) - <z_i, z_p> / tau ]

    A row without a positive has loss 0 and is not counted in the mean.

    {supervised}
    {value_of_positives}

    References
    ----------
    Khosla et al. 2020, "Supervised contrastive learning", arXiv:2004.11362, equation 2.

    Examples
    --------
    >>> round(sup_con([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [7, 7, 8], temperature=0.5), 6)
    0.126928
    """
    options = contrast_options(
        "sup_con", temperature, normalize, exclude_above, exclude_hardest, exclude_easiest
    )
    reduction = as_reduction("sup_con", reduction)
    contrast, kept, n = _supervised("sup_con", z, labels, mask, ignore_index, options)
    if contrast is None or (reduction == "none" and len(kept) < n):
        losses = np.zeros(n)
        if contrast is not None:
            losses[kept] = contrast.losses
        return losses if reduction == "none" else 0.0
    return reduced(contrast.losses, contrast.counted, reduction)


@documented
def sup_con_value_and_grad(
    z: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
    mask: npt.ArrayLike | None = None,
    ignore_index: Any = None,
) -> tuple[float, tuple[Array, float]]:
    """`sup_con` with its gradients: the loss and (grad_z, grad_temperature).

    {supervised}
    {gradient_of_positives}

    Examples
    --------
    >>> z = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    >>> loss, (grad_z, grad_temperature) = sup_con_value_and_grad(z, [7, 7, 8], temperature=0.5)
    >>> round(loss, 6), round(grad_temperature, 6)
    (0.126928, 0.476812)
    >>> grad_z.round(6)
    array([[0.      , 0.119203],
           [0.      , 0.119203],
           [0.238406, 0.      ]])
    """
    function = "sup_con_value_and_grad"
    options = contrast_options(
        function, temperature, normalize, exclude_above, exclude_hardest, exclude_easiest
    )
    reduction = as_scalar_reduction(function, reduction)
    contrast, kept, n = _supervised(function, z, labels, mask, ignore_index, options)
    d_z = np.zeros((n, np.shape(z)[1]))
    if contrast is None:
        return 0.0, (d_z, 0.0)
    loss, d_z[kept], d_temperature = self_gradient(contrast, reduction)
    return loss, (d_z, d_temperature)


def _supervised(
    function: str,
    z: npt.ArrayLike,
    labels: npt.ArrayLike | None,
    mask: npt.ArrayLike | None,
    ignore_index: Any,
    options: ContrastOptions,
) -> tuple[Contrast | None, npt.NDArray[np.int64], int]:
    """The problem of the rows that are not ignored, their indices, and the number of all rows."""
    chosen = options.exclude_above, options.exclude_hardest, options.exclude_easiest
    check_positives(function, labels, mask, ignore_index, chosen)
    (rows,) = as_embeddings(function, {"z": z})
    every = np.arange(len(rows))
    if mask is not None:
        weights = as_mask(function, mask, len(rows))
        return (
            Contrast(rows, rows, weights, ~np.eye(len(rows), dtype=bool), options, weighted=True),
            every,
            len(rows),
        )
    groups = as_groups(OfRows(function, len(rows)), labels)
    ignored = ignored_rows(labels, as_ignored(function, ignore_index))
    kept = every if ignored is None else np.flatnonzero(~ignored)
    if len(kept) == 0:
        return None, kept, len(rows)
    return self_contrast(rows[kept], groups[kept], options), kept, len(rows)
