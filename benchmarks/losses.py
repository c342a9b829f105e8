"""Losses and similarities one trains through, forward and backward: ours, the obvious code, the peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gramless as gl
import numpy as np
import numpy.typing as npt
import torch

from .obvious import torch_unbiased
from .parts import lightly_part
from .problems import Array, Problem

Loss = Callable[[Problem, Any, Any], Any]


def as_leaves(arrays: Sequence[Any]) -> list[Any]:
    """Tensors whose gradient is wanted; tensors stay what they are."""
    return [x if isinstance(x, torch.Tensor) else torch.from_numpy(x).requires_grad_() for x in arrays]


@dataclass(frozen=True)
class Trained:
    """A loss whose backward has run. As an array: the loss, then its gradients times the number of rows.

    Made into an array only when it is checked: what is timed, and counts as memory, is the training step.
    """

    problem: Problem
    loss: Any
    grads: Sequence[Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.float64]:
        grads = [self.problem.n * np.asarray(grad, dtype=np.float64).ravel() for grad in self.grads]
        return np.concatenate([[self.loss.item()], *grads])


def forward_and_backward(loss_of: Loss, problem: Problem, xs: Sequence[Any]) -> Trained:
    """One training step, whatever it is of."""
    leaves = as_leaves(xs)
    for leaf in leaves:
        leaf.grad = None
    loss = loss_of(problem, *leaves)
    loss.backward()
    return Trained(problem, loss, [leaf.grad for leaf in leaves])


def gramless_loss(problem: Problem, x: Any, y: Any) -> Any:
    if problem.kind == "nt_xent":
        return gl.nt_xent(x, y, temperature=problem.temperature)
    if problem.kind == "info_nce":
        return gl.info_nce(x, y, temperature=problem.temperature)
    return gl.cka(x, y, kernel=problem.gramless_kernel, estimator=problem.estimator)


def torch_nt_xent(problem: Problem, x: Any, y: Any) -> Any:
    n = len(x)
    z = torch.nn.functional.normalize(torch.cat([x, y]))
    logits = (z @ z.T / problem.temperature).fill_diagonal_(-torch.inf)
    positives = torch.cat([torch.arange(n) + n, torch.arange(n)])
    return torch.nn.functional.cross_entropy(logits, positives)


def torch_info_nce(problem: Problem, x: Any, y: Any) -> Any:
    x, y = torch.nn.functional.normalize(x), torch.nn.functional.normalize(y)
    return torch.nn.functional.cross_entropy(x @ y.T / problem.temperature, torch.arange(len(x)))


def _hollow_rbf(problem: Problem, x: Any) -> Any:
    x = x - x.mean(0)
    norm2 = (x * x).sum(1)
    distance2 = (norm2[:, None] + norm2 - 2 * (x @ x.T)).clamp(min=0)
    k = torch.exp(-0.5 / problem.sigma**2 * distance2)
    return k - torch.diag(torch.diagonal(k))


def torch_cka(problem: Problem, x: Any, y: Any) -> Any:
    """Out of place, for autograd keeps what it needs."""
    k, l = _hollow_rbf(problem, x), _hollow_rbf(problem, y)
    return torch_unbiased(k, l) / (torch_unbiased(k, k) * torch_unbiased(l, l)).sqrt()


def torch_loss(problem: Problem, x: Any, y: Any) -> Any:
    losses = {"nt_xent": torch_nt_xent, "info_nce": torch_info_nce, "cka_grad": torch_cka}
    return losses[problem.kind](problem, x, y)


def lightly_loss(problem: Problem, x: Any, y: Any) -> Any:
    return lightly_part("ntx_ent_loss").NTXentLoss(temperature=problem.temperature)(x, y)


def pml_loss(problem: Problem, x: Any, y: Any) -> Any:
    from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

    return SelfSupervisedLoss(NTXentLoss(temperature=problem.temperature))(x, y)


def infonce_loss(problem: Problem, x: Any, y: Any) -> Any:
    """NT-Xent, by the name of InfoNCE."""
    from infonce import InfoNCE

    return InfoNCE(temperature=problem.temperature)(torch.cat([x, y]))


def info_nce_pytorch_loss(problem: Problem, x: Any, y: Any) -> Any:
    from info_nce import info_nce

    return info_nce(x, y, temperature=problem.temperature)


@cache
def _optax_step(temperature: float) -> Any:
    import jax
    import optax

    def loss(x: Any, y: Any) -> Any:
        labels = jax.numpy.tile(jax.numpy.arange(len(x)), 2)
        return optax.losses.ntxent(jax.numpy.concatenate([x, y]), labels, temperature)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))


def optax_run(problem: Problem, xs: Sequence[Any]) -> Trained:
    """Compiled, as its users do; not timed before it is."""
    import jax

    loss, grads = jax.block_until_ready(_optax_step(problem.temperature)(xs[0], xs[1]))
    return Trained(problem, loss, grads)


def reference_loss(problem: Problem, xs: Sequence[Array]) -> npt.NDArray[np.float64]:
    """From the float64 reference; CKA, whose reference has no gradient, from autograd in float64."""
    if problem.kind == "cka_grad":
        return np.asarray(forward_and_backward(torch_loss, problem, [x.astype(np.float64) for x in xs]))
    value_and_grad = getattr(gl.reference, f"{problem.kind}_value_and_grad")
    loss, grads = value_and_grad(xs[0], xs[1], temperature=problem.temperature)
    return np.concatenate([[loss], *(problem.n * grad.ravel() for grad in grads[:2])])
