"""InfoNCE of anchors and separate keys, with a queue, with labels or in both directions, and the log-sum-exp
from which such losses are built.
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
    """InfoNCE: the positive of row i of anchors (n, d) is row i of keys (n, d); all other keys are negatives.

    loss_i = log sum_j exp(<a_i, k_j> / temperature) - <a_i, k_i> / temperature, where j runs over keys,
    negatives and queue (van den Oord et al. 2018, eq. 4). One pass over the pairs computes the loss and
    another one the gradients of all inputs, without n x n memory.

    Parameters
    ----------
    anchors, keys : array (n, d)
        {loss_arrays}
    queue : array (m, d), optional
        Further keys, each a negative of every anchor, such as keys of earlier batches. Autograd treats them
        as constants; `value_and_grad` returns their gradient. The rows of keys remain negatives of the other
        anchors; for MoCo's loss, whose negatives are only the queue, use `moco`.
    negatives : array (m, d), optional
        Further keys with gradients, each a negative of every anchor, such as mined hard negatives. For k
        negatives per anchor, (n, k, d), pass negatives.reshape(n * k, d).
    ids : array (n + m,) of integers or text, optional
        The example of each row of keys, then of negatives and queue if given. Keys with the same id as the
        anchor's own key are duplicates of it, and are left out of the anchor's sum. ids are supported on the
        CPU; for arrays of a GPU they raise NotImplementedError.
    {temperature}
    {normalize}
    symmetric : bool
        True returns the mean of this loss and of the loss with anchors and keys exchanged, in one pass (CLIP,
        Radford et al. 2021); the exchanged loss does not use negatives and queue.
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
    """UniCL: InfoNCE in both directions, in which all keys with the anchor's label are positives.

    loss_i = mean over keys p with the label of i of [log sum_j exp(s_ij) - s_ip], s_ij = <a_i, k_j> /
    temperature, where j runs over all keys (Yang et al. 2022); the result is the mean of this loss and of the
    loss with anchors and keys exchanged. If all labels differ, as for images with their own texts, this is
    symmetric `info_nce`. If the keys are the texts of class names, it is a cross-entropy over classes.

    Parameters
    ----------
    anchors, keys : array (n, d)
        {loss_arrays}
    labels : array (n,) of integers or text
        The label of pair i: of row i of anchors and row i of keys. For images with several captions, pass
        the index of the image.
    {temperature}
    {normalize}
    symmetric : bool
        Whether to average over both directions, as in the paper; False uses only the anchors of `anchors`.
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

    Other softmax losses can be built from it without n x m memory: pass the derivatives of such a loss with
    respect to these values, (n,), to `value_and_grad` as the cotangent.

    Parameters
    ----------
    x : array (n, d)
        {loss_arrays}
    y : array (m, d), optional
        None (default) uses x itself.
    {temperature}
    {normalize}
    exclude_self : bool
        Whether to leave out j = i, which needs y=None.

    Returns
    -------
    array (n,)
        On the device of the inputs. NaN propagates.

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
