"""Contrastive losses as torch modules, without the matrix of similarities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .. import _loss_calls
from .._arrays import checks
from .._evaluate import evaluate
from .._losses import as_temperature
from ._distributed import gathered
from ._followed import check_fakes
from ._gather import Also, check_available, ends_together, world_size
from ._namespace import TORCH
from ._tensors import compute_dtype, unit_rows
from .memory_bank import MemoryBank


def _positive_logits(z_a: Tensor, z_b: Tensor, temperature: Any) -> Tensor:  # (n,)
    logits: Tensor = (z_a * z_b).sum(1) / temperature
    return logits


def _two_views(function: str, kind: str, out0: Tensor, out1: Tensor, temperature: Any) -> Tensor:
    views = [("z_a", out0), ("z_b", out1)]
    call = _loss_calls.instances(function, kind, views, 2, _loss_calls.Chosen(temperature))
    loss: Tensor = evaluate(call)
    return loss


class NTXentLoss(nn.Module):
    """The loss of SimCLR; it can replace lightly's class of the same name.

    forward(out0, out1) takes two views (n, d). Without a memory bank it is `gramless.nt_xent`, the mean over
    all 2n rows as anchors (Chen et al. 2020). With a memory bank (K, D), the positive of row i of the first
    view is row i of the second one, its negatives are the rows of the bank, and the loss is the mean over n
    rows of log(exp(s_ii) + sum_k exp(s_ik)) - s_ii (MoCo, He et al. 2020). The normalised second view is then
    added to the bank if the first view requires a gradient.

    Parameters
    ----------
    temperature : float, 0-d tensor or parameter
        The divisor of the similarities; it may be negative. A tensor gets a gradient.
    memory_bank_size : int or (K, D)
        0 for no bank. The bank is part of the state_dict (lightly leaves it out); a state_dict without it can
        be loaded too.
    gather_distributed : bool
        Whether negatives come from all processes of torch.distributed, which must have the same number of
        rows. The loss is the mean over the anchors of this process. The gradient with respect to its rows is
        that of the sum of the losses of all processes, so that the average over processes, as
        DistributedDataParallel computes it, is the gradient of the whole batch, if all processes scale their
        losses in the same way. With a memory bank, the second views of all processes are added to it.

    Raises
    ------
    ValueError
        If abs(temperature) < 1e-8 or, in forward, shapes or processes do not match.
    TypeError
        If an argument has a type or dtype that is not supported.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton 2020, arXiv:2002.05709. He, Fan, Wu, Xie and Girshick 2020,
    arXiv:1911.05722.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> z_a, z_b = torch.randn(2, 8, 4, requires_grad=True)
    >>> NTXentLoss(temperature=0.5)(z_a, z_b).backward()
    >>> NTXentLoss(memory_bank_size=(16, 4))(z_a, z_b).shape
    torch.Size([])
    """

    def __init__(
        self,
        temperature: Any = 0.5,
        memory_bank_size: int | Sequence[int] = 0,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        TORCH.temperature("NTXentLoss", temperature)
        if abs(temperature) < 1e-8:
            raise ValueError(f"NTXentLoss: abs(temperature) must be at least 1e-8 but is {abs(temperature)}")
        check_available("NTXentLoss", gather_distributed)
        self.memory_bank = MemoryBank("NTXentLoss", memory_bank_size, gather_distributed)
        self.temperature = temperature
        self.gather_distributed = gather_distributed

    @ends_together
    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        if self.memory_bank.enabled:
            return self._with_bank(out0, out1)
        if self.gather_distributed and world_size() > 1:
            return gathered("NTXentLoss", "softmax", True, out0, out1, self.temperature)
        return _two_views("NTXentLoss", "softmax", out0, out1, self.temperature)

    def _with_bank(self, out0: Tensor, out1: Tensor) -> Tensor:
        function = "NTXentLoss"
        check_fakes(function, [out0, out1, self.memory_bank.bank])
        bank = self.memory_bank.snapshot()
        out0, out1 = checks.pair(function, TORCH, [("out0", out0), ("out1", out1)])
        update, dtype = out0.requires_grad, compute_dtype([out0, out1])
        with torch.autocast(out0.device.type, enabled=False):
            z_a, z_b = unit_rows(out0, dtype), unit_rows(out1, dtype)
            named = [("out0", z_a), ("out1", z_b), ("the memory bank", bank.to(dtype))]
            checks.same_columns(function, *named[0], *named[2])
            call = _loss_calls.moco(function, named, _loss_calls.Chosen(self.temperature, normalize=False))
            if update:
                self.memory_bank.put(z_b, out1)
            loss: Tensor = evaluate(call)
            return loss


class DCLLoss(nn.Module):
    """The decoupled contrastive loss: NT-Xent without the positives in the denominator.

    forward(out0, out1) takes two views (n, d) and returns the mean over their 2n rows of loss_i =
    -w_i s_{i,p(i)} + log sum_{j not in {i, p(i)}} exp(s_ij) (Yeh et al. 2022, eq. 6). It can replace
    lightly's class of the same name.

    Parameters
    ----------
    temperature : float, 0-d tensor or parameter
        The divisor of the similarities; not 0, but it may be negative. A tensor gets a gradient.
    weight_fn : callable, optional
        Returns the weights w (n,) for the normalised views (a, b) of this process; it is called again with
        (b, a) for the other n anchors. None (default) uses weights of 1.
    gather_distributed : bool
        Whether negatives come from all processes of torch.distributed. Gradients that are averaged over
        processes, as DistributedDataParallel does, are then those of the loss of the whole batch.

    Raises
    ------
    ValueError
        If the temperature is 0 or not finite or, in forward, shapes or processes do not match.
    TypeError
        If an argument has a type or dtype that is not supported.

    References
    ----------
    Yeh, Hong, Hsu, Liu, Chen and LeCun 2022, "Decoupled contrastive learning", arXiv:2110.06848.

    Examples
    --------
    >>> z = torch.eye(4)
    >>> round(DCLLoss(temperature=0.5)(z, z).item(), 6)  # log(6 exp(-2))
    -0.208241
    """

    _function = "DCLLoss"

    def __init__(
        self,
        temperature: Any = 0.1,
        weight_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
        gather_distributed: bool = False,
    ) -> None:
        super().__init__()
        TORCH.temperature(self._function, temperature)
        check_available(self._function, gather_distributed)
        self.temperature = temperature
        self.weight_fn = weight_fn
        self.gather_distributed = gather_distributed

    @ends_together
    def forward(self, out0: Tensor, out1: Tensor) -> Tensor:
        weighted = None if self.weight_fn is None else self._weighted(self.weight_fn, out0, out1)
        if self.gather_distributed and world_size() > 1:
            chosen = self._function, "decoupled", True, out0, out1, self.temperature
            loss = gathered(*chosen, also=self._also)
        else:
            loss = _two_views(self._function, "decoupled", out0, out1, self.temperature)
        return loss if weighted is None else loss + weighted

    @property
    def _also(self) -> Also:
        """A further option that all processes must share."""
        return "weight_fn", float(self.weight_fn is not None)

    def _weighted(self, weight_fn: Callable[[Tensor, Tensor], Tensor], out0: Tensor, out1: Tensor) -> Tensor:
        out0, out1 = checks.pair(self._function, TORCH, [("z_a", out0), ("z_b", out1)])
        dtype = compute_dtype([out0, out1])
        with torch.autocast(out0.device.type, enabled=False):
            z_a, z_b = unit_rows(out0, dtype), unit_rows(out1, dtype)
            unweighted = 1 - (weight_fn(z_a, z_b) + weight_fn(z_b, z_a)) / 2
            return (unweighted * _positive_logits(z_a, z_b, self.temperature)).mean()


def _mises_fisher_weights(z_a: Tensor, z_b: Tensor, sigma: float) -> Tensor:  # (n,), constant
    """2 - n softmax_i(<a_i, b_i> / sigma): larger for dissimilar pairs, with a mean of 1."""
    similarity = (z_a.detach() * z_b.detach()).sum(1) / sigma
    return 2 - len(z_a) * torch.softmax(similarity, dim=0)


class DCLWLoss(DCLLoss):
    """`DCLLoss` with the negative von Mises-Fisher weights w_i = 2 - n softmax_i(<a_i, b_i> / sigma).

    Parameters
    ----------
    temperature : float, 0-d tensor or parameter
        The divisor of the similarities; not 0, but it may be negative. A tensor gets a gradient.
    sigma : float
        The scale of the weights.
    gather_distributed : bool
        Whether negatives come from all processes of torch.distributed. Gradients that are averaged over
        processes, as DistributedDataParallel does, are then those of the loss of the whole batch.

    Raises
    ------
    ValueError
        If temperature or sigma is 0 or not finite or, in forward, shapes or processes do not match.
    TypeError
        If an argument has a type or dtype that is not supported.

    References
    ----------
    Yeh, Hong, Hsu, Liu, Chen and LeCun 2022, "Decoupled contrastive learning", arXiv:2110.06848.

    Examples
    --------
    >>> z = torch.eye(4)
    >>> round(DCLWLoss(temperature=0.5)(z, z).item(), 6)  # all pairs are equally similar: weights of 1
    -0.208241
    """

    _function = "DCLWLoss"

    def __init__(self, temperature: Any = 0.1, sigma: float = 0.5, gather_distributed: bool = False) -> None:
        TORCH.temperature(self._function, temperature)  # first, because its error explains rows in its place
        sigma = as_temperature(self._function, sigma, "sigma")
        super().__init__(temperature, partial(_mises_fisher_weights, sigma=sigma), gather_distributed)
        self._sigma = sigma

    @property
    def _also(self) -> Also:
        return "sigma", self._sigma


class MoCoLoss(nn.Module):
    """`gramless.moco`: queries with their keys as positives and a queue of earlier keys as negatives.

    forward(q, k, queue) takes arrays (n, d), (n, d) and (m, d) and returns the mean over i of loss_i =
    log(exp(s_i) + sum_j exp(<q_i, queue_j> / temperature)) - s_i with s_i = <q_i, k_i> / temperature (He et
    al. 2020). MoCo's own code keeps the queue transposed, (d, m). `NTXentLoss` with a memory bank is the same
    loss with a queue of its own.

    Parameters
    ----------
    temperature : float, 0-d tensor or parameter
        The divisor of the similarities; not 0, but it may be negative. A tensor gets a gradient.
    normalize : bool
        Whether to divide each row by its length first, by max(|row|, 1e-12).

    Raises
    ------
    ValueError
        If the temperature is 0 or not finite or, in forward, shapes do not match.
    TypeError
        If an argument has a type or dtype that is not supported.

    References
    ----------
    He, Fan, Wu, Xie and Girshick 2020, "Momentum contrast for unsupervised visual representation learning",
    arXiv:1911.05722.

    Examples
    --------
    >>> z = torch.eye(3)
    >>> round(MoCoLoss(temperature=0.5)(z[:2], z[:2], z[2:]).item(), 6)  # log(1 + exp(-2))
    0.126928
    """

    def __init__(self, temperature: Any = 0.07, normalize: bool = True) -> None:
        super().__init__()
        TORCH.temperature("MoCoLoss", temperature)
        self.temperature = temperature
        self.normalize = normalize

    def forward(self, q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
        named = [("q", q), ("k", k), ("queue", queue)]
        chosen = _loss_calls.Chosen(self.temperature, self.normalize)
        loss: Tensor = evaluate(_loss_calls.moco("MoCoLoss", named, chosen))
        return loss
