"""The loss of SigLIP as a torch module."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .._evaluate import evaluate
from .._loss_calls import sigmoid_pairs
from ._gather import check_available, ends_together, world_size
from ._gathered_sigmoid import gathered_sigmoid
from ._tensors import as_number


class SigLIPLoss(nn.Module):
    """`gramless.siglip`: row i of the images and row i of the texts are positive, all other pairs negative.

    forward(image_features, text_features, logit_scale=None, logit_bias=None) takes two arrays (n, d) and
    returns the sum over all pairs of -log sigmoid(y_ij (logit_scale <image_i, text_j> + logit_bias)), divided
    by n, where y_ij is 1 if j = i and -1 otherwise (Zhai et al. 2023, algorithm 1). logit_scale is already
    exponentiated, as open_clip's models return it. Both are numbers, or tensors of one number, which get
    gradients; if they are None, those of the module are used.

    Parameters
    ----------
    logit_scale : float, tensor or parameter
        The factor of the similarities; the default is the initial value of the paper's exp(t').
    logit_bias : float, tensor or parameter
        The number added to the logits; the default is the initial value of the paper's b.
    normalize : bool
        Whether to divide each row by its length first, by max(|row|, 1e-12).
    gather_distributed : bool
        Whether the texts of all processes of torch.distributed are negatives; all must have the same number
        of rows. The loss is that of this process's images. Gradients are those of the sum of the losses of
        all processes, so that the average over processes, as DistributedDataParallel computes it, is the
        gradient of the whole batch.

    Raises
    ------
    ValueError
        If an option is not valid or, in forward, shapes or processes do not match.
    TypeError
        If an argument has a type or dtype that is not supported.
    NotImplementedError
        If a tensor is on a GPU.

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
