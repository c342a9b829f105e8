"""The supervised contrastive loss as a torch module, with positives from labels, views or a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import _loss_calls
from .._arrays import check_dense
from .._evaluate import evaluate
from .._losses import OfRows, as_labels, check_mask
from ._distributed import gathered_by_label
from ._gather import check_available, ends_together, rank, world_size
from ._namespace import TORCH


def _of_views(labels: Any, examples: int, views: int) -> Any:
    """The labels of all rows, in which the views of one example are consecutive."""
    if views == 1:  # the loss itself checks them
        return labels
    what = OfRows("SupConLoss", examples)
    if not isinstance(labels, Tensor):
        return np.repeat(as_labels(what, labels), views)
    check_dense(what.function, what.name, labels)
    what.check(labels)
    return labels.repeat_interleave(views)


class SupConLoss(nn.Module):
    """`gramless.sup_con`: the positives of a row are all other rows with its label (L_out of Khosla et al.
    2020).

    forward(z, labels=None, mask=None) takes z (n, d) with n labels, or z (n, v, d), v views of each of n
    examples, with a label for each example; without labels, the views of an example are positives of each
    other. mask (n, n) replaces labels, as in SupContrast's code: the views of example j are positives of
    those of example i if mask[i, j] is not 0, and the other views of i if mask[i, i] is not 0; it need not be
    symmetric. The result is the mean over rows that have a positive. SupContrast's code also counts rows
    without positives, with a loss of 0, and multiplies by temperature / 0.07.

    Parameters
    ----------
    temperature : float, 0-d tensor or parameter
        The divisor of the similarities; not 0, but it may be negative. A tensor gets a gradient.
    gather_distributed : bool
        Whether positives and negatives come from all processes of torch.distributed, which must have the same
        number of rows. The mean is over all rows of the whole batch that have a positive: the loss of a
        process is the sum over its own rows, times processes / rows with a positive. The average of losses
        over processes, and of gradients, as DistributedDataParallel computes it, is then that of the whole
        batch. It cannot be combined with a mask or ignore_index.
    ignore_index : int, optional
        Rows with this label are ignored as anchors, positives and negatives; None (default) ignores no label.

    Raises
    ------
    ValueError
        If options contradict each other or are not valid or, in forward, shapes or processes do not match.
    TypeError
        If an argument has a type or dtype that is not supported.

    References
    ----------
    Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu and Krishnan 2020, "Supervised contrastive
    learning", arXiv:2004.11362.

    Examples
    --------
    >>> z = torch.eye(3)
    >>> round(SupConLoss(temperature=0.5)(z, torch.tensor([7, 7, 8])).item(), 6)
    0.693147
    """

    def __init__(
        self, temperature: Any = 0.07, gather_distributed: bool = False, ignore_index: int | None = None
    ) -> None:
        super().__init__()
        TORCH.temperature("SupConLoss", temperature)
        check_available("SupConLoss", gather_distributed)
        if gather_distributed and ignore_index is not None:
            raise ValueError(
                f"SupConLoss: pass gather_distributed=True or ignore_index={ignore_index!r}, not both, "
                "because every process must have the same number of rows"
            )
        self.temperature = temperature
        self.gather_distributed = gather_distributed
        self.ignore_index = ignore_index

    @ends_together
    def forward(self, z: Tensor, labels: Any = None, mask: Tensor | None = None) -> Tensor:
        gathers = self.gather_distributed and world_size() > 1
        views = z.shape[1] if z.ndim == 3 else 1
        z = z.flatten(0, 1) if z.ndim == 3 else z
        if mask is not None:
            return self._masked(z, labels, mask, views)
        if labels is None:
            if views < 2:
                raise ValueError(
                    f"SupConLoss: without labels z must be (examples, views, features) with "
                    f"at least 2 views, but has {z.ndim} dimensions and {views} view"
                )
            examples = z.shape[0] // views
            first = rank() * examples if gathers else 0
            labels = torch.arange(first, first + examples, device=z.device)
        labels = _of_views(labels, z.shape[0] // views, views)
        if gathers:
            labels = torch.as_tensor(labels, device=z.device)
            return gathered_by_label("SupConLoss", z, labels, self.temperature)
        return self._labelled(z, labels)

    def _labelled(self, z: Tensor, labels: Any, mask: Tensor | None = None) -> Tensor:
        chosen = _loss_calls.Chosen(self.temperature)
        call = _loss_calls.labelled("SupConLoss", z, labels, chosen, mask, self.ignore_index)
        loss: Tensor = evaluate(call)
        return loss

    def _masked(self, z: Tensor, labels: Any, mask: Tensor, views: int) -> Tensor:
        if self.gather_distributed:
            raise ValueError("SupConLoss: pass gather_distributed=True or mask, not both")
        mask = torch.as_tensor(mask, device=z.device)
        check_mask("SupConLoss", tuple(mask.shape), z.shape[0] // views, "example")
        of_views = mask.repeat_interleave(views, 0).repeat_interleave(views, 1)
        return self._labelled(z, labels, of_views)
