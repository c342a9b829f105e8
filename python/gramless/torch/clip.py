"""The loss of CLIP as a torch module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import _loss_calls
from .._arrays import checks
from .._evaluate import evaluate
from ._distributed import gathered
from ._followed import check_fakes
from ._gather import check_available, ends_together, world_size
from ._namespace import TORCH
from ._tensors import as_number, compute_dtype, unit_rows


class CLIPLoss(nn.Module):
    """The loss of CLIP: symmetric `gramless.info_nce`; row i of the images matches row i of the texts.

    forward(image_features, text_features, logit_scale=None) takes two arrays (n, d) and returns the mean of
    the cross-entropies of images among texts and of texts among images (Radford et al. 2021, fig. 3).
    logit_scale is the factor of the similarities, already exponentiated, as open_clip's models return it: a
    number, or a tensor of one number, which gets a gradient. It may be 0 or negative; logits that overflow
    give NaN, as in plain torch. If it is None, the temperature of the module is used.

    Parameters
    ----------
    temperature : float, 0-d tensor or parameter
        The divisor of the similarities; not 0, but it may be negative. A tensor gets a gradient.
    normalize : bool
        Whether to divide each row by its length first, by max(|row|, 1e-12).
    gather_distributed : bool
        Whether negatives come from all processes of torch.distributed. Gradients that are averaged over
        processes, as DistributedDataParallel does, are then those of the loss of the whole batch.

    Raises
    ------
    ValueError
        If the temperature is 0 or not finite, gather_distributed is True but this torch was built without
        torch.distributed, or (in forward) shapes differ.
    TypeError
        If an argument has a type or dtype that is not supported.

    References
    ----------
    Radford et al. 2021, "Learning transferable visual models from natural language supervision",
    arXiv:2103.00020.

    Examples
    --------
    >>> z = torch.eye(4)
    >>> round(CLIPLoss(temperature=0.5)(z, z).item(), 6)  # log(1 + 3 exp(-2))
    0.340753
    >>> round(CLIPLoss()(z, z, logit_scale=2.0).item(), 6)
    0.340753
    """

    def __init__(
        self, temperature: Any = 0.07, normalize: bool = True, gather_distributed: bool = False
    ) -> None:
        super().__init__()
        TORCH.temperature("CLIPLoss", temperature)
        check_available("CLIPLoss", gather_distributed)
        self.temperature = temperature
        self.normalize = normalize
        self.gather_distributed = gather_distributed

    @ends_together
    def forward(self, image_features: Tensor, text_features: Tensor, logit_scale: Any = None) -> Tensor:
        if logit_scale is None:
            return self._loss(image_features, text_features, self.temperature, self.normalize, 1.0)
        named = [("image_features", image_features), ("text_features", text_features)]
        images, texts = checks.pair("CLIPLoss", TORCH, named)
        scale, dtype = as_number("CLIPLoss", "logit_scale", logit_scale), compute_dtype([images, texts])
        check_fakes("CLIPLoss", [images, texts, scale])
        # The scale is not converted to a temperature, because 1 / scale is inf for 0 and for tiny scales.
        with torch.autocast(images.device.type, enabled=False):
            if self.normalize:
                images, texts = unit_rows(images, dtype), unit_rows(texts, dtype)
            return self._loss((images.to(dtype) * scale).to(dtype), texts.to(dtype), 1.0, False, scale)

    def _loss(self, images: Tensor, texts: Tensor, temperature: Any, normalize: bool, scale: Any) -> Tensor:
        if self.gather_distributed and world_size() > 1:
            return gathered("CLIPLoss", "softmax", False, images, texts, temperature, normalize, scale)
        named = [("image_features", images), ("text_features", texts)]
        chosen = _loss_calls.Chosen(temperature, normalize, symmetric=True)
        loss: Tensor = evaluate(_loss_calls.instances("CLIPLoss", "softmax", named, 1, chosen))
        return loss
