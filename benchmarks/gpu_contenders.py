"""What is measured on a GPU: gramless, the obvious torch code eager and compiled, and the analytic gradient.

All of them take tensors of any device, so that a CPU can check the answers. Products are made in the dtype of
the inputs, everything else in float32, as autocast does it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gramless as gl
import torch
from torch import Tensor

from .contenders import torch_code
from .contenders.ours import kernel_of
from .contenders.torch_losses import torch_cka
from .problems import Problem

Answer = list[Tensor]  # the value, then the gradients
Run = Callable[[Problem, Sequence[Tensor]], Answer]


def gramless_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    kernel, estimator = kernel_of(problem), problem.estimator
    if problem.kind == "nt_xent":
        return _step(lambda x, y: gl.nt_xent(x, y, temperature=problem.temperature), xs)
    if problem.kind == "cka_grad":
        return _step(lambda x, y: gl.cka(x, y, kernel=kernel, estimator=estimator), xs)
    if problem.kind == "pair":
        return [gl.cka(xs[0], xs[1], kernel=kernel, estimator=estimator)]
    if problem.kind == "median":
        return [gl.median_distance(xs[0])]
    return [gl.cka_matrix(list(xs), kernel=kernel, estimator=estimator)]


def hopper_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    """Ours with the tiles of compute capability 9.0, which the environment asks for at every call."""
    os.environ["GRAMLESS_HOPPER"] = "1"
    try:
        return gramless_run(problem, xs)
    finally:
        del os.environ["GRAMLESS_HOPPER"]


def _step(loss_of: Callable[..., Tensor], xs: Sequence[Tensor]) -> Answer:
    """One training step: the loss and the gradients of its inputs."""
    leaves = [x.detach().requires_grad_() for x in xs]
    loss = loss_of(*leaves)
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def _nt_xent(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    z = torch.nn.functional.normalize(torch.cat([x, y]).float()).to(x.dtype)
    logits = (z @ z.T).float() / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    positives = torch.arange(len(z), device=z.device).roll(len(x))
    return torch.nn.functional.cross_entropy(logits, positives)


def eager_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    if problem.kind == "nt_xent":
        return _step(lambda x, y: _nt_xent(x, y, problem.temperature), xs)
    if problem.kind == "cka_grad":
        return _step(lambda x, y: torch_cka(problem, x.float(), y.float()), xs)
    return [torch_code.run(problem, [x.float() for x in xs])]


@cache
def _compiled() -> Any:
    return torch.compile(_nt_xent)


def compiled_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    return _step(lambda x, y: _compiled()(x, y, problem.temperature), xs)


def stored_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    """NT-Xent by hand, the matrix stored once in the dtype of the inputs: 4 n^2 d FLOPs, as ours.

    With e_ij = exp(s_ij - shift) and r_i = 1 / sum_j e_ij, the gradient by z is that of
    sum_j e_ij (r_i + r_j) z_j, less both positives, over n temperature.
    """
    rows = torch.cat(list(xs)).float()
    n, half = len(rows), len(xs[0])
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12)
    z = rows / length
    low = z.to(xs[0].dtype)
    e = low @ low.T
    positive = (z * z.roll(half, 0)).sum(1) / problem.temperature
    shift = 1 / problem.temperature  # no cosine is larger than 1
    e.mul_(1 / problem.temperature).sub_(shift).exp_().fill_diagonal_(0)
    sums = e.sum(1, dtype=torch.float32)
    loss = (sums.log() + shift - positive).mean()
    inverse = sums.reciprocal()
    e.mul_((inverse[:, None] + inverse[None, :]).to(e.dtype))
    by_z = ((e @ low).float() - 2 * z.roll(half, 0)) / (n * problem.temperature)
    by_rows = (by_z - z * (by_z * z).sum(1, keepdim=True)) / length
    return [loss, *(grad.to(x.dtype) for grad, x in zip(by_rows.split(half), xs, strict=True))]


@dataclass(frozen=True)
class GpuContender:
    name: str
    can: Callable[[Problem], bool]
    run: Run


def _stores(problem: Problem) -> bool:
    """Whether n x n float32 matrices, several of them, fit."""
    return problem.n <= 65_536 and problem.kind != "sweep"


def _has_turns(problem: Problem) -> bool:
    """Whether this GPU has other tiles for it."""
    capability = torch.cuda.get_device_capability() if torch.cuda.is_available() else (0, 0)
    narrow = problem.kind == "nt_xent" and 64 < problem.d <= 128
    return capability == (9, 0) and (narrow or problem.kind in ("pair", "cka_grad"))


GPU_CONTENDERS = [
    GpuContender("gramless", lambda problem: True, gramless_run),
    GpuContender("gramless, Hopper tiles", _has_turns, hopper_run),
    GpuContender("torch eager", _stores, eager_run),
    GpuContender("torch.compile", lambda p: _stores(p) and p.kind == "nt_xent", compiled_run),
    GpuContender("stored matrix", lambda p: _stores(p) and p.kind == "nt_xent", stored_run),
]
