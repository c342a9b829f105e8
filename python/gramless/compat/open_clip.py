"""The losses of open_clip (imported there from `open_clip`)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..torch._gather import world_size as running_processes
from ..torch._tensors import as_number
from ..torch.clip import CLIPLoss
from ..torch.siglip import SigLIPLoss

_IMPLEMENTATIONS = ("bidir", "shift", "reduce", "gather")


def _check_processes(function: str, world_size: int) -> None:
    """Raises ValueError unless torch.distributed has world_size processes."""
    if world_size > 1 and running_processes() != world_size:
        raise ValueError(
            f"{function}: world_size is {world_size} but torch.distributed has {running_processes()} "
            f"process{'es' if running_processes() > 1 else ''}; initialise it with {world_size}, "
            "or pass world_size=1"
        )


def _returned(loss: Tensor, output_dict: bool) -> Any:
    return {"contrastive_loss": loss} if output_dict else loss


class ClipLoss(nn.Module):
    """The mean of two cross entropies: of images among texts, and of texts among images.

    forward(image_features, text_features, logit_scale, logit_bias=None, output_dict=False) takes two tensors
    (n, d) of rows as they are, which open_clip's models normalise, and the factor logit_scale of their dot
    products, already exponentiated. It returns the loss, a 0-d tensor, or with output_dict=True
    {"contrastive_loss": loss}. The softmax does not depend on logit_bias, whose gradient is 0.

    Parameters
    ----------
    local_loss, gather_with_grad : bool
        Without effect if world_size is 1. Otherwise both must be True: the loss is that of this process's
        rows, and its gradients are those of the sum of all processes' losses. open_clip's other combinations
        are not supported.
    cache_labels : bool
        Without effect: the loss needs no labels.
    rank : int
        Without effect: it is read from torch.distributed.
    world_size : int
        The number of processes of torch.distributed that share the batch; 1 for no processes.
    use_horovod : bool
        Must be False.

    Raises
    ------
    ValueError
        If world_size > 1 differs from that of torch.distributed, or local_loss and gather_with_grad are not
        both True then.
    NotImplementedError
        For use_horovod=True.

    References
    ----------
    Radford et al. 2021, "Learning transferable visual models from natural language supervision",
    arXiv:2103.00020.

    Examples
    --------
    >>> import torch
    >>> z = torch.eye(4)
    >>> {name: round(loss.item(), 6) for name, loss in ClipLoss()(z, z, 2.0, output_dict=True).items()}
    {'contrastive_loss': 0.340753}
    """

    def __init__(
        self,
        local_loss: bool = False,
        gather_with_grad: bool = False,
        cache_labels: bool = False,
        rank: int = 0,
        world_size: int = 1,
        use_horovod: bool = False,
    ) -> None:
        super().__init__()
        if use_horovod:
            raise NotImplementedError(
                "ClipLoss: use_horovod must be False; use torch.distributed instead of Horovod"
            )
        if world_size > 1 and not (local_loss and gather_with_grad):
            raise ValueError(
                f"ClipLoss: with world_size {world_size} local_loss and gather_with_grad must be True "
                f"but are {local_loss} and {gather_with_grad}"
            )
        self.local_loss, self.gather_with_grad = local_loss, gather_with_grad
        self.cache_labels, self.rank, self.world_size = cache_labels, rank, world_size
        self.use_horovod = use_horovod
        self._loss = CLIPLoss(normalize=False, gather_distributed=world_size > 1)

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        logit_scale: Any,
        logit_bias: Any = None,
        output_dict: bool = False,
    ) -> Any:
        _check_processes("ClipLoss", self.world_size)
        loss = self._loss(image_features, text_features, logit_scale)
        if logit_bias is not None:  # it shifts all logits, so that its gradient is 0, and not None
            bias = as_number("ClipLoss", "logit_bias", logit_bias)
            loss = loss + (0.0 * bias.to(loss.dtype) if isinstance(bias, Tensor) else 0.0 * bias)
        return _returned(loss, output_dict)


class SigLipLoss(nn.Module):
    """The sigmoid loss of all pairs of images and texts, divided by the number of images.

    forward(image_features, text_features, logit_scale, logit_bias, output_dict=False) takes two tensors
    (n, d) of rows as they are, which open_clip's models normalise, the factor logit_scale of their dot
    products, already exponentiated, and logit_bias, which is added to all logits; None is 0. It returns the
    loss, a 0-d tensor, or with output_dict=True {"contrastive_loss": loss}.

    Parameters
    ----------
    cache_labels : bool
        Without effect: the loss needs no labels.
    rank : int
        Without effect: it is read from torch.distributed.
    world_size : int
        The number of processes of torch.distributed that share the batch; 1 for no processes. The loss is
        that of this process's images, and its gradients are those of the sum of all processes' losses.
    dist_impl : {"bidir", "shift", "reduce", "gather"}, optional
        Without effect: all of them have the same value, and rows are always gathered.

    Raises
    ------
    ValueError
        If world_size > 1 differs from that of torch.distributed, or dist_impl is not one of these.

    References
    ----------
    Zhai, Mustafa, Kolesnikov and Beyer 2023, "Sigmoid loss for language image pre-training",
    arXiv:2303.15343.

    Examples
    --------
    >>> import torch
    >>> z = torch.eye(4)
    >>> round(SigLipLoss()(z, z, 10.0, -10.0).item(), 6)
    0.693283
    """

    def __init__(
        self,
        cache_labels: bool = False,
        rank: int = 0,
        world_size: int = 1,
        dist_impl: str | None = None,
    ) -> None:
        super().__init__()
        if dist_impl is not None and dist_impl not in _IMPLEMENTATIONS:
            known = ", ".join(_IMPLEMENTATIONS)
            raise ValueError(f"SigLipLoss: dist_impl must be one of {known} but is {dist_impl!r}")
        self.cache_labels, self.rank, self.world_size = cache_labels, rank, world_size
        self.dist_impl = dist_impl or _IMPLEMENTATIONS[0]
        self._loss = SigLIPLoss(normalize=False, gather_distributed=world_size > 1)

    def forward(
        self,
        image_features: Tensor,
        text_features: Tensor,
        logit_scale: Any,
        logit_bias: Any,
        output_dict: bool = False,
    ) -> Any:
        _check_processes("SigLipLoss", self.world_size)
        bias = 0.0 if logit_bias is None else logit_bias
        return _returned(self._loss(image_features, text_features, logit_scale, bias), output_dict)
