"""NT-Xent and related losses, in which the anchors are also the keys."""

from __future__ import annotations

from typing import Any

from ._docs import documented
from ._evaluate import Call, differentiable
from ._loss_calls import Chosen, instances, labelled
from ._losses import Reduction

__all__ = ["dcl", "nt_xent", "sup_con"]


@differentiable
@documented
def nt_xent(
    z_a: Any,
    z_b: Any,
    *,
    temperature: float = 0.5,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> Call:
    """NT-Xent, the loss of SimCLR: rows i of z_a (n, d) and z_b (n, d) are two views of one example.

    loss_i = log sum_{j != i} exp(s_ij) - s_{i,p(i)} with s_ij = <z_i, z_j> / temperature, where each of the
    2n rows of [z_a; z_b] is the anchor once and p(i) is the other view of row i (Chen et al. 2020, eq. 1).
    The 2n x 2n similarities are stored only as far as they fit the workspace (`set_workspace_limit`).

    Parameters
    ----------
    z_a, z_b : array (n, d)
        {loss_arrays}
    {temperature}
    {normalize}
    reduction : {"mean", "sum", "none"}
        Over the 2n anchors; "none" returns their losses, (2n,).
    {exclude}

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    Notes
    -----
    For tensors the loss is differentiable once, also with respect to the temperature; `value_and_grad`
    computes gradients without autograd. The choice of excluded negatives counts as a constant. The loss of
    16-bit tensors is float32, and its gradients are 16-bit. The gradient of a row of length r is about
    1 / (2n r temperature): in float16 it loses accuracy below 6e-5 (r > 60 at n = 256) and is 0 below 3e-8
    (r > 1e5). To avoid this, scale the loss, as torch.amp.GradScaler does, or pass float32 or bfloat16. The
    gradient of a row of zeros is divided by 1e-12, and so is inf in float16.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton 2020, "A simple framework for contrastive learning of visual
    representations", arXiv:2002.05709.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.eye(4)
    >>> round(nt_xent(z, z, temperature=0.5), 6)  # log(1 + 6 exp(-2))
    0.594438
    """
    views = [("z_a", z_a), ("z_b", z_b)]
    excluded = exclude_above, exclude_hardest, exclude_easiest
    return instances("nt_xent", "softmax", views, 2, Chosen(temperature, normalize, reduction, excluded))


@differentiable
@documented
def dcl(
    z_a: Any,
    z_b: Any,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> Call:
    """Decoupled contrastive loss: NT-Xent with the positive left out of the denominator.

    loss_i = log sum_{j not in {i, p(i)}} exp(s_ij) - s_{i,p(i)} with s_ij = <z_i, z_j> / temperature, where
    each of the 2n rows of [z_a; z_b] is the anchor once and p(i) is the other view of row i (Yeh et al. 2022,
    eq. 6). Row i of z_a (n, d) and of z_b (n, d) are two views of one example. The loss may be negative; for
    an anchor without negatives it is -inf, the logarithm of an empty sum.

    Parameters
    ----------
    z_a, z_b : array (n, d)
        {loss_arrays}
    {temperature}
    {normalize}
    reduction : {"mean", "sum", "none"}
        Over the 2n anchors; "none" returns their losses, (2n,).
    {exclude}

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    References
    ----------
    Yeh, Hong, Hsu, Liu, Chen and LeCun 2022, "Decoupled contrastive learning", arXiv:2110.06848.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.eye(4)
    >>> round(dcl(z, z, temperature=0.5), 6)  # log(6 exp(-2))
    -0.208241
    """
    views = [("z_a", z_a), ("z_b", z_b)]
    excluded = exclude_above, exclude_hardest, exclude_easiest
    return instances("dcl", "decoupled", views, 2, Chosen(temperature, normalize, reduction, excluded))


@differentiable
@documented
def sup_con(
    z: Any,
    labels: Any = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
    mask: Any = None,
    ignore_index: Any = None,
) -> Call:
    """Supervised contrastive loss: the positives of row i of z (n, d) are all other rows with its label.

    loss_i = mean over positives p of [log sum_{j != i} exp(s_ij) - s_ip], s_ij = <z_i, z_j> / temperature:
    L_out of Khosla et al. 2020 (eq. 2). A row without positives has loss 0 and is not counted in the mean;
    the mean over no rows is 0.

    Parameters
    ----------
    z : array (n, d)
        {loss_arrays}
    labels : array (n,) of integers or text, optional
        The label of each row. For several views of examples without classes, pass the index of the example
        as the label; with two views that is `nt_xent`.
    {temperature}
    {normalize}
    reduction : {"mean", "sum", "none"}
        Over the rows that have a positive; "none" returns all losses, (n,).
    {exclude}
        Positives are never excluded.
    mask : array (n, n), optional
        Replaces labels: row j is a positive of row i if mask[i, j] is not 0. It need not be symmetric;
        positive numbers are weights in the mean over positives. The diagonal is ignored. Rows without
        positives are not counted in the mean; SupContrast's code counts them with a loss of 0. Labels are
        more accurate late in training, when the positive has nearly all of the softmax. A mask cannot be
        combined with exclude_above, exclude_hardest, exclude_easiest or ignore_index.
    ignore_index : int or text, optional
        Rows with this label are ignored as anchors, positives and negatives; their loss and their gradient
        are 0. None (default) ignores no label, not even -1.

    Returns
    -------
    {loss}

    Raises
    ------
    {errors}

    References
    ----------
    Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu and Krishnan 2020, "Supervised contrastive
    learning", arXiv:2004.11362.

    Examples
    --------
    >>> import numpy as np
    >>> round(sup_con(np.eye(3), [7, 7, 8], temperature=0.5), 6)
    0.693147
    """
    excluded = exclude_above, exclude_hardest, exclude_easiest
    chosen = Chosen(temperature, normalize, reduction, excluded)
    return labelled("sup_con", z, labels, chosen, mask, ignore_index)
