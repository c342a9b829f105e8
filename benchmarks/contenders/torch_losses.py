"""Losses and differentiable similarities on torch tensors: the obvious code, and that of other packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from ..parts import lightly_part
from ..problems import SIGLIP_BIAS, Problem
from .torch_code import torch_unbiased
from .trained import Trained

Loss = Callable[[Problem, Any, Any], Any]


def forward_and_backward(loss_of: Loss, problem: Problem, leaves: Sequence[Any]) -> Trained:
    """A loss forward and backward, without a network."""
    for leaf in leaves:
        leaf.grad = None
    loss = loss_of(problem, *leaves)
    loss.backward()
    return Trained(problem, loss.detach(), [leaf.grad for leaf in leaves])


@cache
def _positives(n: int) -> Any:
    return torch.arange(n).roll(n // 2)


def torch_nt_xent(problem: Problem, x: Any, y: Any) -> Any:
    z = torch.nn.functional.normalize(torch.cat([x, y]))
    logits = (z @ z.T / problem.temperature).fill_diagonal_(-torch.inf)
    return torch.nn.functional.cross_entropy(logits, _positives(len(z)))


def torch_info_nce(problem: Problem, x: Any, y: Any) -> Any:
    x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
    return torch.nn.functional.cross_entropy(x @ y.T / problem.temperature, torch.arange(len(x)))


def torch_ranking(problem: Problem, x: Any, y: Any) -> Any:
    """The formula of sentence-transformers: half of x are queries, y has their positives and negatives."""
    return torch_info_nce(problem, x[: len(x) // 2], y)


def torch_guided(problem: Problem, x: Any, y: Any) -> Any:
    """The formula of sentence-transformers: whole matrices, and -inf where the guide is above its limit."""
    x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
    pairs = [(x, y), (x, x), (y, y)]
    guided = [a.detach() @ b.detach().T for a, b in pairs]
    limits = guided[0].diagonal()[:, None].clone()
    logits = [a @ b.T / problem.temperature for a, b in pairs]
    for one, of_guide in zip(logits, guided, strict=True):
        one.masked_fill_(of_guide > limits, -torch.inf)
    for one in logits[1:]:
        one.fill_diagonal_(-torch.inf)
    return torch.nn.functional.cross_entropy(torch.cat(logits, dim=1), torch.arange(len(x)))


def torch_siglip(problem: Problem, x: Any, y: Any) -> Any:
    x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
    logits = x @ y.T / problem.temperature + SIGLIP_BIAS
    signs = 2 * torch.eye(len(x), dtype=logits.dtype) - 1
    return -torch.nn.functional.logsigmoid(signs * logits).sum() / len(x)


def _hollow_gram(problem: Problem, x: Any) -> Any:
    x = x - x.mean(0)
    k = x @ x.T
    if problem.kernel == "rbf":
        norm2 = (x * x).sum(1)
        k = torch.exp(-0.5 / problem.sigma**2 * (norm2[:, None] + norm2 - 2 * k).clamp(min=0))
    return k - torch.diag(torch.diagonal(k))


def torch_cka(problem: Problem, x: Any, y: Any) -> Any:
    """CKA without in-place operations, because autograd needs the intermediate results."""
    k, l = _hollow_gram(problem, x), _hollow_gram(problem, y)
    return torch_unbiased(k, l) / (torch_unbiased(k, k) * torch_unbiased(l, l)).sqrt()


def torch_loss(problem: Problem, x: Any, y: Any) -> Any:
    losses = {
        "nt_xent": torch_nt_xent,
        "info_nce": torch_info_nce,
        "ranking": torch_ranking,
        "guided": torch_guided,
        "siglip": torch_siglip,
        "cka_grad": torch_cka,
    }
    return losses[problem.kind](problem, x, y)


def run(problem: Problem, leaves: Sequence[Any]) -> Trained:
    return forward_and_backward(torch_loss, problem, leaves)


@cache
def _compiled(problem: Problem) -> Loss:
    """Compiled for this shape only, because code for varying shapes is slower."""
    torch._dynamo.reset()
    compiled: Any = torch.compile(lambda x, y: torch_loss(problem, x, y), dynamic=False)
    return lambda _, x, y: compiled(x, y)


def compiled_run(problem: Problem, leaves: Sequence[Any]) -> Trained:
    same = replace(problem, name="", data="relu", sigma=0.0, only=(), threads=())
    return forward_and_backward(_compiled(same), problem, leaves)


@cache
def _lightly(temperature: float) -> Any:
    return lightly_part("ntx_ent_loss").NTXentLoss(temperature=temperature)


def lightly_loss(problem: Problem, x: Any, y: Any) -> Any:
    return _lightly(problem.temperature)(x, y)


def lightly_run(problem: Problem, leaves: Sequence[Any]) -> Trained:
    return forward_and_backward(lightly_loss, problem, leaves)


@cache
def _pml(temperature: float) -> Any:
    from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

    return SelfSupervisedLoss(NTXentLoss(temperature=temperature))


def pml_loss(problem: Problem, x: Any, y: Any) -> Any:
    return _pml(problem.temperature)(x, y)


def pml_run(problem: Problem, leaves: Sequence[Any]) -> Trained:
    return forward_and_backward(pml_loss, problem, leaves)


@cache
def _infonce(temperature: float) -> Any:
    from infonce import InfoNCE

    return InfoNCE(temperature=temperature)


def infonce_loss(problem: Problem, x: Any, y: Any) -> Any:
    """The NT-Xent loss, which this package calls InfoNCE."""
    return _infonce(problem.temperature)(torch.cat([x, y]))


def infonce_run(problem: Problem, leaves: Sequence[Any]) -> Trained:
    return forward_and_backward(infonce_loss, problem, leaves)


def info_nce_pytorch_loss(problem: Problem, x: Any, y: Any) -> Any:
    from info_nce import info_nce

    return info_nce(x, y, temperature=problem.temperature)


def info_nce_pytorch_run(problem: Problem, leaves: Sequence[Any]) -> Trained:
    return forward_and_backward(info_nce_pytorch_loss, problem, leaves)
