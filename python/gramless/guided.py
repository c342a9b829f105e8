"""InfoNCE of a batch without probable false negatives, which a guide model identifies."""

from __future__ import annotations

from typing import Any

from ._docs import documented
from ._evaluate import Call, differentiable
from ._loss_calls import Chosen, guided
from ._losses import Reduction

__all__ = ["guided_info_nce"]


@differentiable
@documented
def guided_info_nce(
    anchors: Any,
    positives: Any,
    negatives: Any = None,
    *,
    guide_anchors: Any,
    guide_positives: Any,
    guide_negatives: Any = None,
    temperature: float = 0.01,
    normalize: bool = True,
    margin: float = 0.0,
    margin_strategy: str = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
    reduction: Reduction = "mean",
) -> Call:
    """InfoNCE without the negatives that a guide model rates as more similar than the positive (GISTEmbed).

    loss_i = log(exp(s(a_i, p_i)) + sum over negatives of exp(s)) - s(a_i, p_i), with s(u, v) = <u, v> /
    temperature. The negatives of anchor i are the pairs (a_i, p_j) with j other than i, (a_i, n_j),
    (a_i, a_j) and (p_i, p_j). A pair is left out if the guide's cosine of the same two examples exceeds a
    limit: the guide's cosine of anchor i and positive i, minus the margin (Solatorio 2024). No n x n matrix
    is stored: each tile computes the guide's cosines as a second product.

    Parameters
    ----------
    anchors, positives : array (n, d)
        {loss_arrays}
    negatives : array (m, d), optional
        Further rows, such as mined hard negatives, each of which is a negative of every anchor. They have
        gradients.
    guide_anchors, guide_positives : array (n, e)
        The guide's embeddings of the same examples; e may differ from d. They must be finite, and they are
        constants for gradients.
    guide_negatives : array (m, e), optional
        The guide's embeddings of the negatives, required if negatives are given.
    {temperature}
    {normalize}
    margin : float
        Finite; it may be negative. With 0, negatives that are more similar than the positive are left out,
        and those that are exactly as similar stay.
    margin_strategy : {"absolute", "relative"}
        "absolute" subtracts the margin from the cosine of anchor i and positive i; "relative" subtracts the
        margin times the magnitude of that cosine.
    contrast_anchors, contrast_positives : bool
        Whether pairs of two anchors, and of two positives, are negatives. They include the pairs (a_i, a_i)
        and (p_i, p_i) if the guide's cosine of a row with itself, 1, does not exceed the limit: if the
        guide's rows of anchor i and positive i are equal, or the margin is negative enough.
    reduction : {"mean", "sum", "none"}
        Over the n anchors; "none" returns their losses, (n,).

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}
    NotImplementedError
        If the arrays are on a GPU.

    Notes
    -----
    A pair is left out if its cosine > limit. The guide's cosines are rounded to the dtype of the computation:
    float32 unless one of the embeddings is float64. The cosine of two rows does not depend on their
    positions, so that equal rows have exactly equal cosines.

    References
    ----------
    Solatorio 2024, "GISTEmbed: guided in-sample selection of training negatives for text embedding
    fine-tuning", arXiv:2402.16829.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.eye(4)
    >>> options = {"temperature": 0.5, "contrast_anchors": False, "contrast_positives": False}
    >>> round(guided_info_nce(z, z, guide_anchors=z, guide_positives=z, **options), 6)  # log(1 + 3 exp(-2))
    0.340753
    >>> pages = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # two pairs of equal rows
    >>> other = np.array([[1.0, 0.1], [1.0, 0.0], [0.1, 1.0], [0.0, 1.0]])
    >>> losses = guided_info_nce(
    ...     z, z, guide_anchors=pages, guide_positives=other, reduction="none", **options
    ... )
    >>> losses.round(6)  # anchors 0 and 2 are more similar to the next positive than to their own
    array([0.239545, 0.340753, 0.239545, 0.340753])
    """
    function = "guided_info_nce"
    rows = [("anchors", anchors), ("positives", positives), ("negatives", negatives)]
    guides = guide_anchors, guide_positives, guide_negatives
    guide = [(f"guide_{name}", x) for (name, _), x in zip(rows, guides, strict=True)]
    if (negatives is None) != (guide_negatives is None):
        absent = "negatives" if negatives is None else "guide_negatives"
        raise ValueError(
            f"{function}: negatives and guide_negatives must both be given or neither, but {absent} is None"
        )
    count = 2 if negatives is None else 3
    chosen = Chosen(temperature, normalize, reduction)
    contrast = contrast_anchors, contrast_positives
    return guided(function, rows[:count], guide[:count], chosen, (margin, margin_strategy), contrast)
