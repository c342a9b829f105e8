"""SigLIP's loss as a module of torch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .._evaluate import evaluate
from .._loss_calls import sigmoid_pairs
from ._gather import check_available, ends_together, world_size
from ._gathered_sigmoid import gathered_sigmoid
from ._tensors import as_number


class SigLIPLoss(nn.Module):
    """`gramless.siglip`: row i of the images belongs to row i of the texts, and each other pair does not.

    forward(image_features, text_features, logit_scale=None, logit_bias=None): (n, d) each; the sum over all
    pairs of -log sigmoid(y_ij (logit_scale <image_i, text_j> + logit_bias)), divided by n, y_ij = 1 where
    j = i and -1 elsewhere (Zhai et al. 2023, algorithm 1). logit_scale is exponentiated already, as
    open_clip's models return it. Both are numbers, or tensors of one, which get gradients; without them those
    of the module count.

    Parameters
    ----------
    logit_scale : float, tensor or parameter
        What similarities are multiplied by; the paper's exp(t') at first.
    logit_bias : float, tensor or parameter
        What is added to logits; the paper's b at first.
    normalize : bool
        Whether rows are first divided by their length.
    gather_distributed : bool
        Whether the texts of all processes of torch.distributed are negatives, which must hold equally many
        rows. The loss is that of this process's images, and gradients are those of the sum of all processes'
        losses, so that the average DistributedDataParallel takes is the gradient of the whole batch.

    Raises
    ------
    ValueError
        For shapes that do not fit and for unequal shards.
    NotImplementedError
        For tensors of a GPU.

    References
    ----------
    Zhai, Mustafa, Kolesnikov and Beyer 2023, "Sigmoid loss for language image pre-training",
    arXiv:2303.15343.

    Examples
    --------
    >>> import torch
    >>> z = torch.eye(4)
    >>> round(SigLIPLoss()(z, z).item(), 6)  # log(2) + 3 log(1 + exp(-10))
    0.693283
    >>> round(SigLIPLoss()(z, z, 0.0, 0.0).item(), 6)  # 4 log(2)
    2.772589
    """

    def __init__(
        self,
        logit_scale: Any = 10.0,
        logit_bias: Any = -10.0,
        normalize: bool = True,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        as_number("SigLIPLoss", "logit_scale", logit_scale)
        as_number("SigLIPLoss", "logit_bias", logit_bias)
        check_available("SigLIPLoss", gather_distributed)
        self.logit_scale = logit_scale
        self.logit_bias = logit_bias
        self.normalize = normalize
        self.gather_distributed = gather_distributed

    @ends_together
    def forward(
        self, image_features: Tensor, text_features: Tensor, logit_scale: Any = None, logit_bias: Any = None
    ) -> Tensor:
        scale = self.logit_scale if logit_scale is None else logit_scale
        bias = self.logit_bias if logit_bias is None else logit_bias
        named = [("image_features", image_features), ("text_features", text_features)]
        chosen = "SigLIPLoss", named, scale, bias, self.normalize
        if self.gather_distributed and world_size() > 1:
            return gathered_sigmoid(*chosen)
        loss: Tensor = evaluate(sigmoid_pairs(*chosen))
        return loss
