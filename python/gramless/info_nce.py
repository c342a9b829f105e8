"""Anchors against keys which are no anchors themselves: InfoNCE with a queue, with labels or in both
directions, and the log-sum-exp of rows underneath.
"""

from __future__ import annotations

from typing import Any

from ._docs import documented
from ._evaluate import Call, differentiable
from ._loss_calls import Chosen, instances, labelled_pairs, log_sum_exps
from ._losses import Reduction

__all__ = ["info_nce", "row_log_sum_exp", "uni_cl"]


@differentiable
@documented
def info_nce(
    anchors: Any,
    keys: Any,
    queue: Any = None,
    *,
    negatives: Any = None,
    ids: Any = None,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> Call:
    """InfoNCE: row i of anchors (n, d) belongs to row i of keys (n, d), and all other keys are its negatives.

    loss_i = log sum_j exp(<a_i, k_j> / temperature) - <a_i, k_i> / temperature, j over keys, negatives and
    queue (van den Oord et al. 2018, eq. 4). One walk over the pairs gives the loss and another the gradients
    of all of them, without n x n memory.

    Parameters
    ----------
    anchors, keys : array (n, d)
        {loss_arrays}
    queue : array (m, d), optional
        More keys, which belong to no anchor; autograd gives them no gradient, `value_and_grad` does. All rows
        of keys stay negatives of the other anchors; MoCo's loss, whose negatives are the queue alone, is
        `moco`.
    negatives : array (m, d), optional
        More keys that belong to no anchor, such as mined hard negatives, with gradients; each is a negative
        of every anchor. Several for each anchor, (n, k, d), are passed as negatives.reshape(n * k, d).
    ids : (n,) integers or text, optional
        Which example each key is, then each row of negatives and of queue, if given: (n + m,) in all. Keys
        that have the id of the own key are duplicates of it: they are left out of the anchor's sum. Computed
        on the CPU; on a GPU ids raise NotImplementedError.
    {temperature}
    {normalize}
    symmetric : bool
        Whether the loss is the mean of loss_i and of the same with anchors and keys exchanged, both from one
        pass (CLIP, Radford et al. 2021); negatives and queue take no part in the second.
    reduction : {"mean", "sum", "none"}
        Over the n pairs; "none" returns their losses, (n,).
    {exclude}

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    References
    ----------
    Van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive coding",
    arXiv:1807.03748. Radford et al. 2021, "Learning transferable visual models from natural language
    supervision", arXiv:2103.00020.

    Examples
    --------
    >>> import numpy as np
    >>> round(info_nce(np.eye(4), np.eye(4), temperature=0.5), 6)  # log(1 + 3 exp(-2))
    0.340753
    >>> x = np.eye(6)
    >>> round(info_nce(x[:2], x[:2], negatives=x[2:], temperature=0.5), 6)  # log(1 + 5 exp(-2))
    0.516814
    >>> round(info_nce(np.eye(4), np.eye(4), ids=[7, 7, 8, 8], temperature=0.5), 6)  # log(1 + 2 exp(-2))
    0.239545
    """
    more = [("negatives", negatives), ("queue", queue)]
    named = [("anchors", anchors), ("keys", keys), *[(name, x) for name, x in more if x is not None]]
    excluded = exclude_above, exclude_hardest, exclude_easiest
    chosen = Chosen(temperature, normalize, reduction, excluded, symmetric)
    return instances("info_nce", "softmax", named, 1, chosen, int(queue is not None), ids)


@differentiable
@documented
def uni_cl(
    anchors: Any,
    keys: Any,
    labels: Any,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = True,
    reduction: Reduction = "mean",
) -> Call:
    """UniCL: InfoNCE in both directions where pairs of one label are positive to each other.

    loss_i = mean over keys p of the label of i of [log sum_j exp(s_ij) - s_ip], s_ij = <a_i, k_j> /
    temperature, j over all keys (Yang et al. 2022), and the mean of it and of the same with anchors and
    keys exchanged. Pairs that each have a label of their own, as images with their texts, give
    symmetric `info_nce`; classes, whose rows of keys are texts of their names, a cross entropy over classes.

    Parameters
    ----------
    anchors, keys : array (n, d)
        {loss_arrays}
    labels : (n,) integers or text
        Of the pairs: row i of anchors and row i of keys. Images with several captions are rows with the
        number of the image as label.
    {temperature}
    {normalize}
    symmetric : bool
        Whether keys are anchors too, as in the paper.
    reduction : {"mean", "sum", "none"}
        Over the n pairs; "none" returns their losses, (n,).

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    References
    ----------
    Yang, Li, Zhang, Xiao, Liu, Yuan and Gao 2022, "Unified contrastive learning in image-text-label space",
    CVPR, arXiv:2204.03610.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.eye(4)
    >>> round(uni_cl(x, x, ["cat", "cat", "dog", "owl"], temperature=0.5), 6)  # log(1 + 3 exp(-2)) + 1 / 2
    0.840753
    """
    named = [("anchors", anchors), ("keys", keys)]
    chosen = Chosen(temperature, normalize, reduction, symmetric=symmetric)
    return labelled_pairs("uni_cl", named, labels, chosen)


@differentiable
@documented
def row_log_sum_exp(
    x: Any,
    y: Any = None,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> Call:
    """log sum_j exp(<x_i, y_j> / temperature) for every row of x (n, d) over the rows of y (m, d): (n,).

    What other softmax losses are built of, without n x m memory. `value_and_grad` takes their derivatives
    with respect to the values, (n,), as cotangent.

    Parameters
    ----------
    x : array (n, d)
        {loss_arrays}
    y : array (m, d), optional
        None is x itself.
    {temperature}
    {normalize}
    exclude_self : bool
        Without y: whether j = i is left out.

    Returns
    -------
    array (n,)
        Where the inputs live. NaN propagates.

    Raises
    ------
    {errors}

    Examples
    --------
    >>> import numpy as np
    >>> row_log_sum_exp(np.eye(2), exclude_self=True)
    array([0., 0.])
    """
    return log_sum_exps("row_log_sum_exp", x, y, temperature, normalize, exclude_self)
