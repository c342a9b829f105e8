"""InfoNCE of a batch from which a guide, another model, leaves probable false negatives out."""

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
    """InfoNCE without the negatives that a guide finds more similar than the positive (GISTEmbed).

    loss_i = log(exp(s(a_i, p_i)) + sum over negatives of exp(s)) - s(a_i, p_i), with s(u, v) = <u, v> /
    temperature. The negatives of anchor i are the pairs (a_i, p_j) with j other than i, (a_i, n_j),
    (a_i, a_j) and (p_i, p_j), each unless the guide's cosine of the same two examples is above a limit: its
    cosine of anchor i and positive i, less the margin (Solatorio 2024). No n x n matrix is made: the guide's
    cosines are a second product of the guide's width within each tile.

    Parameters
    ----------
    anchors, positives : array (n, d)
        {loss_arrays}
    negatives : array (m, d), optional
        Further rows, such as mined hard negatives, each a negative of every anchor, with gradients.
    guide_anchors, guide_positives : array (n, e)
        What the guide makes of the same examples; e need not be d. Constants, which must be finite.
    guide_negatives : array (m, e), optional
        The same for negatives, needed where those are given.
    {temperature}
    {normalize}
    margin : float
        Finite; may be negative. 0 leaves out what is more similar than the positive, and what is as similar
        stays.
    margin_strategy : {"absolute", "relative"}
        What is subtracted from the cosine of anchor i and positive i: the margin, or the margin times the
        magnitude of that cosine.
    contrast_anchors, contrast_positives : bool
        Whether pairs of two anchors, and of two positives, are negatives. The pairs (a_i, a_i) and
        (p_i, p_i) are among them where the guide's cosine of a row with itself, 1, is not above the limit: if
        both rows of the guide are equal, or the margin is negative enough.
    reduction : {"mean", "sum", "none"}
        Over the n anchors; "none" returns their losses, (n,).

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}
    NotImplementedError
        For arrays of a GPU.

    Notes
    -----
    A pair is left out where its cosine > limit. Cosines of the guide are rounded to the dtype of the
    computation, which is that of the embeddings: float32 unless one of them is float64. They are the same
    sums for the same two rows wherever these stand, so that rows given twice tie exactly.

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
    >>> pages = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # which of them are alike
    >>> other = np.array([[1.0, 0.1], [1.0, 0.0], [0.1, 1.0], [0.0, 1.0]])
    >>> losses = guided_info_nce(
    ...     z, z, guide_anchors=pages, guide_positives=other, reduction="none", **options
    ... )
    >>> losses.round(6)  # to anchors 0 and 2 the next positive is more similar than their own
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
