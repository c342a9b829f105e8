"""Contrastive losses as modules of torch, none of which stores the matrix of similarities."""

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
    """The loss of SimCLR, in place of lightly's class of the same name.

    Without a memory bank: `gramless.nt_xent` of two views, (n, d) each, the mean over all 2n rows as anchors
    (Chen et al. 2020). With one of shape (K, D) the negatives of row i of the first view are the rows of the
    bank, its positive is row i of the second, and the loss is the mean over the n rows: log(exp(s_ii) + sum_k
    exp(s_ik)) - s_ii (MoCo, He et al. 2020). The normalised second view is put into the bank, after it was
    read, whenever the first requires a gradient.

    Parameters
    ----------
    temperature : float, tensor or parameter
        What similarities are divided by; it may be negative. A tensor of no dimensions gets a gradient.
    memory_bank_size : int or (K, D)
        0 for no bank. The bank is part of the state_dict (lightly leaves it out), and a state_dict without it
        loads as well.
    gather_distributed : bool
        Whether negatives come from all processes of torch.distributed, which must hold equally many rows. The
        loss is the mean over this process's anchors; the gradient of this process's rows is that of the sum
        of all processes' losses, so that the average DistributedDataParallel takes is the gradient of the
        whole batch. It assumes that all processes scale their losses alike. With a memory bank the second
        views of all processes are put into it.

    Raises
    ------
    ValueError
        For abs(temperature) < 1e-8, for shapes that do not fit and for unequal shards.

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
    """The decoupled contrastive loss: NT-Xent whose positives are not in the denominator.

    loss_i = -w_i s_{i,p(i)} + log sum_{j not in {i, p(i)}} exp(s_ij), the mean over the 2n rows of both views
    (Yeh et al. 2022, eq. 6), as lightly's class of the same name.

    Parameters
    ----------
    temperature : float, tensor or parameter
        What similarities are divided by; it may be negative. A tensor of no dimensions gets a gradient.
    weight_fn : callable, optional
        Called with the normalised views (a, b), and with (b, a) for the other half of the rows; returns w
        (n,). None is 1 for all. It receives the rows of its own process.
    gather_distributed : bool
        Whether negatives come from all processes of torch.distributed, as in `NTXentLoss`.

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
        """What processes must have in common besides."""
        return "weight_fn", float(self.weight_fn is not None)

    def _weighted(self, weight_fn: Callable[[Tensor, Tensor], Tensor], out0: Tensor, out1: Tensor) -> Tensor:
        out0, out1 = checks.pair(self._function, TORCH, [("z_a", out0), ("z_b", out1)])
        dtype = compute_dtype([out0, out1])
        with torch.autocast(out0.device.type, enabled=False):
            z_a, z_b = unit_rows(out0, dtype), unit_rows(out1, dtype)
            unweighted = 1 - (weight_fn(z_a, z_b) + weight_fn(z_b, z_a)) / 2
            return (unweighted * _positive_logits(z_a, z_b, self.temperature)).mean()


def _mises_fisher_weights(z_a: Tensor, z_b: Tensor, sigma: float) -> Tensor:  # (n,), constant
    """2 - n softmax_i(<a_i, b_i> / sigma): pairs that are far apart count more, 1 on average."""
    similarity = (z_a.detach() * z_b.detach()).sum(1) / sigma
    return 2 - len(z_a) * torch.softmax(similarity, dim=0)


class DCLWLoss(DCLLoss):
    """`DCLLoss` with the negative von Mises-Fisher weights 2 - n softmax_i(<a_i, b_i> / sigma) of its paper.

    Parameters
    ----------
    temperature, gather_distributed
        As in `DCLLoss`.
    sigma : float
        Scale of the weights.

    Examples
    --------
    >>> z = torch.eye(4)
    >>> round(DCLWLoss(temperature=0.5)(z, z).item(), 6)  # all pairs alike: all weights 1
    -0.208241
    """

    _function = "DCLWLoss"

    def __init__(self, temperature: Any = 0.1, sigma: float = 0.5, gather_distributed: bool = False) -> None:
        TORCH.temperature(self._function, temperature)  # first: rows given in its place are said to be so
        sigma = as_temperature(self._function, sigma, "sigma")
        super().__init__(temperature, partial(_mises_fisher_weights, sigma=sigma), gather_distributed)
        self._sigma = sigma

    @property
    def _also(self) -> Also:
        return "sigma", self._sigma


class MoCoLoss(nn.Module):
    """`gramless.moco`: queries, their keys, and a queue of earlier keys, which are all of the negatives.

    forward(q, k, queue): (n, d), (n, d) and (m, d). loss_i = log(exp(s_i) + sum_j exp(<q_i, queue_j> /
    temperature)) - s_i, s_i = <q_i, k_i> / temperature, the mean over i (He et al. 2020). MoCo's own code
    keeps the queue transposed, (d, m). `NTXentLoss` with a memory bank is the same loss and keeps the queue
    itself.

    Parameters
    ----------
    temperature : float, tensor or parameter
        What similarities are divided by; it may be negative. A tensor of no dimensions gets a gradient.
    normalize : bool
        Whether rows are first divided by their length.

    Raises
    ------
    ValueError
        Where shapes do not fit.

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
