"""NT-Xent and its relatives whose anchors are each other's keys."""

from __future__ import annotations

from typing import Any

from ._evaluate import Call, differentiable
from ._loss_calls import instances, labelled
from ._losses import Reduction

__all__ = ["dcl", "nt_xent", "sup_con"]


@differentiable
def nt_xent(
    z_a: Any,
    z_b: Any,
    *,
    temperature: float = 0.5,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Call:
    """NT-Xent, the loss of SimCLR: rows i of z_a (n, d) and z_b (n, d) are two views of one example.

    loss_i = log sum_{j != i} exp(s_ij) - s_{i,p(i)} with s_ij = <z_i, z_j> / temperature, for each of the 2n
    rows of [z_a; z_b] as anchor, p(i) the other view of row i (Chen et al. 2020, arXiv:2002.05709, eq. 1).
    No 2n x 2n memory.

    temperature: not 0; may be negative. normalize: rows are first divided by max(|row|, 1e-12).
    reduction: "mean" over the 2n anchors, "sum", or "none" for the losses, (2n,).
    exclude_above: negatives with <z_i, z_j>, the cosine of normalised rows, above this are left out of the
    anchor's sum, as probably of its own class (Cai et al. 2020, arXiv:2010.06682).
    exclude_hardest: that fraction of each anchor's m negatives is left out, the most similar first: with
    k = floor(fraction m) > 0 and t the k-th largest <z_i, z_j>, those with
    <z_i, z_j> > t - 1e-6 max_j |<z_i, z_j>|, so that neither order nor rounding chooses among equals.

    z_a, z_b: numpy arrays of any layout and real dtype, memory-mapped ones included, torch tensors, or arrays
    of a GPU, such as cupy's, in a floating-point dtype; computed in float64 if either is float64 or a wide
    integer, else in float32. With tensors the loss is differentiable once, also with respect to a
    temperature that is a 0-d tensor; without autograd see `value_and_grad`. What is excluded is a constant.
    Losses of 16-bit tensors are float32, their gradients 16-bit. A row of length r has a gradient of about
    1 / (2n r temperature): in float16 it loses digits below 6e-5 (r > 60 at n = 256) and is 0 below 3e-8
    (r > 1e5): scale the loss, as torch.amp.GradScaler does, or pass float32 or bfloat16. That of a row of
    zeros is divided by 1e-12, and inf in float16.

    Returns a float, or for tensors and arrays of a GPU a 0-d one; "none" gives an array or a tensor. NaN
    propagates. Raises ValueError where shapes or options do not fit and TypeError where types do not.

    >>> import numpy as np
    >>> z = np.eye(4)
    >>> round(nt_xent(z, z, temperature=0.5), 6)  # log(1 + 6 exp(-2))
    0.594438
    """
    views = [("z_a", z_a), ("z_b", z_b)]
    chosen = temperature, normalize, False, reduction, exclude_above, exclude_hardest
    return instances("nt_xent", "softmax", views, 2, *chosen)


@differentiable
def dcl(
    z_a: Any,
    z_b: Any,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Call:
    """Decoupled contrastive loss: NT-Xent with the positive left out of the denominator.

    loss_i = log sum_{j not in {i, p(i)}} exp(s_ij) - s_{i,p(i)} (Yeh et al. 2022, arXiv:2110.06848, eq. 6).
    It may be negative. Without a negative it is -inf, as the formula says.

    Arguments, returns and errors as in `nt_xent`.

    >>> import numpy as np
    >>> z = np.eye(4)
    >>> round(dcl(z, z, temperature=0.5), 6)  # log(6 exp(-2))
    -0.208241
    """
    views = [("z_a", z_a), ("z_b", z_b)]
    chosen = temperature, normalize, False, reduction, exclude_above, exclude_hardest
    return instances("dcl", "decoupled", views, 2, *chosen)


@differentiable
def sup_con(
    z: Any,
    labels: Any = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    mask: Any = None,
    ignore_index: Any = None,
) -> Call:
    """Supervised contrastive loss: all other rows of z (n, d) with the label of row i are its positives.

    loss_i = mean over positives p of [log sum_{j != i} exp(s_ij) - s_ip], s_ij = <z_i, z_j> / temperature:
    L_out of Khosla et al. 2020 (arXiv:2004.11362, eq. 2). A row without a positive has loss 0 and is not
    counted in the mean; the mean over no rows is 0.

    labels: (n,) integers or text. Several views of each example without classes are rows whose label is the
    example's number; for two views that is `nt_xent`.
    ignore_index: rows of this label take no part, as if they were not there: no anchors, no positives, no
    negatives; their loss and their gradient are 0. None, the default, ignores none: -1 is a label too.
    mask: (n, n), instead of labels: row j is a positive of row i where mask[i, j] is not 0. It need not be
    symmetric; numbers above 0 weigh the mean over positives. The diagonal is not read. Rows without a
    positive are not counted in the mean, which SupContrast's code counts with a loss of 0. Labels are more
    accurate late in training, when the positive has nearly all of the softmax.

    Other arguments, returns and errors as in `nt_xent`; positives are never excluded, and a mask excludes
    exclude_above, exclude_hardest and ignore_index.

    >>> import numpy as np
    >>> round(sup_con(np.eye(3), [7, 7, 8], temperature=0.5), 6)
    0.693147
    """
    chosen = temperature, normalize, reduction, exclude_above, exclude_hardest
    return labelled("sup_con", z, labels, *chosen, mask, ignore_index)
