"""The supervised contrastive loss as a module of torch: by labels, views or a mask."""

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
    """The labels of all rows, those of one example after the other."""
    if views == 1:  # checked with the rows
        return labels
    what = OfRows("SupConLoss", examples)
    if not isinstance(labels, Tensor):
        return np.repeat(as_labels(what, labels), views)
    check_dense(what.function, what.name, labels)
    what.check(labels)
    return labels.repeat_interleave(views)


class SupConLoss(nn.Module):
    """`gramless.sup_con`: all other rows with a row's label are its positives (L_out of Khosla et al. 2020).

    forward(z, labels=None, mask=None): z (n, d) with n labels, or z (n, v, d), v views of each example, whose
    n labels then are those of all views; without labels the views of one example are each other's positives.
    mask (n, n), instead of labels, as in SupContrast's code: the views of example j are positives of those of
    example i where mask[i, j] is not 0, symmetric or not; other views of i itself where mask[i, i] is not 0.
    The mean is over rows that have a positive. SupContrast's code counts rows without one, with a loss of 0,
    and multiplies by temperature / 0.07 besides.

    Parameters
    ----------
    temperature : float, tensor or parameter
        What similarities are divided by; it may be negative. A tensor of no dimensions gets a gradient.
    gather_distributed : bool
        Whether positives and negatives come from all processes of torch.distributed, which must hold equally
        many rows. The mean is over the rows of all that have a positive: a process's loss is the sum over its
        own, times processes / rows with a positive, so that the average of losses, and
        DistributedDataParallel's of gradients, are those of the whole batch. It goes with neither a mask nor
        ignore_index.
    ignore_index : int, optional
        Rows of this label take no part, neither as anchors nor as positives nor as negatives; None ignores
        none.

    Raises
    ------
    ValueError
        Where shapes do not fit and for unequal shards.

    References
    ----------
    Khosla et al. 2020, "Supervised contrastive learning", arXiv:2004.11362.

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
                f"SupConLoss: gather_distributed=True and ignore_index={ignore_index!r} exclude each other, "
                "for every process must hold as many rows"
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
                    f"SupConLoss: without labels z must be (examples, views, features), "
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
            raise ValueError("SupConLoss: gather_distributed=True and mask exclude each other")
        mask = torch.as_tensor(mask, device=z.device)
        check_mask("SupConLoss", tuple(mask.shape), z.shape[0] // views, "example")
        of_views = mask.repeat_interleave(views, 0).repeat_interleave(views, 1)
        return self._labelled(z, labels, of_views)
