"""What is timed: gramless with both kinds of tiles, and torch code: eager, compiled, hand-written, in chunks.

All of them take tensors of any device, so that a CPU can check the answers. Products are in the dtype of the
inputs and everything else in float32, as with autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gramless as gl
import torch
from torch import Tensor

from . import plain
from .device import use_hopper_tiles
from .problems import FORWARD, MEDIAN, NT_XENT, PAIR, PAIR_GRAD, SWEEP, TEMPERATURE, Problem

Answer = list[Tensor]  # the value, then the gradients
Run = Callable[[Problem, Sequence[Tensor]], Answer]


def _step(loss_of: Callable[..., Tensor], xs: Sequence[Tensor]) -> Answer:
    """One training step: the loss and the gradients of its inputs."""
    leaves = [x.detach().requires_grad_() for x in xs]
    loss = loss_of(*leaves)
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


def gramless_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    kernel = gl.RBF(sigma=problem.sigma)
    if problem.kind == NT_XENT:
        return _step(lambda x, y: gl.nt_xent(x, y, temperature=TEMPERATURE), xs)
    if problem.kind == PAIR_GRAD:
        return _step(lambda x, y: gl.cka(x, y, kernel=kernel), xs)
    if problem.kind == FORWARD:
        return [gl.nt_xent(xs[0], xs[1], temperature=TEMPERATURE)]
    if problem.kind == PAIR:
        return [gl.cka(xs[0], xs[1], kernel=kernel)]
    if problem.kind == MEDIAN:
        return [gl.median_distance(xs[0])]
    return [gl.cka_matrix(list(xs), kernel=kernel)]


def default_tiles(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    use_hopper_tiles(False)
    return gramless_run(problem, xs)


def hopper_tiles(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    use_hopper_tiles(True)
    return gramless_run(problem, xs)


def wide(x: Tensor) -> Tensor:
    """x in float32 or, if it is float64, unchanged, so that the same code gives the true value."""
    return x if x.dtype == torch.float64 else x.float()


def _nt_xent(x: Tensor, y: Tensor) -> Tensor:
    z = torch.nn.functional.normalize(wide(torch.cat([x, y]))).to(x.dtype)
    logits = wide(z @ z.T) / TEMPERATURE
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    positives = torch.arange(len(z), device=z.device).roll(len(x))
    return torch.nn.functional.cross_entropy(logits, positives)


def _cka(problem: Problem, x: Tensor, y: Tensor) -> Tensor:
    low = lambda m: wide(m.to(x.dtype))  # noqa: E731
    return plain.cka(wide(x), wide(y), low, "rbf", problem.sigma)


def eager_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    if problem.kind == NT_XENT:
        return _step(_nt_xent, xs)
    if problem.kind == PAIR_GRAD:
        return _step(lambda x, y: _cka(problem, x, y), xs)
    if problem.kind == FORWARD:
        return [_nt_xent(xs[0], xs[1])]
    if problem.kind == MEDIAN:
        return [plain.median_distance(wide(xs[0]), lambda x: x)]
    if problem.kind == SWEEP:
        low = lambda m: wide(m.to(xs[0].dtype))  # noqa: E731
        found = plain.cka_matrix(tuple(map(wide, xs)), low, "rbf", problem.sigma)
        return [found.reshape(len(xs), len(xs))]
    return [_cka(problem, xs[0], xs[1])]


@cache
def _compiled() -> Any:
    return torch.compile(_nt_xent)


def compiled_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    if problem.kind == FORWARD:
        return [_compiled()(xs[0], xs[1])]
    return _step(lambda x, y: _compiled()(x, y), xs)


def stored_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    """Hand-written NT-Xent that stores the matrix once, in the dtype of the inputs: 4 n^2 d FLOPs."""
    return _by_hand(xs, 1)


def chunked_run(problem: Problem, xs: Sequence[Tensor]) -> Answer:
    """NT-Xent in chunks of 4096 anchors, with products computed twice: 6 n^2 d FLOPs, no n x n memory."""
    return _by_hand(xs, max(1, 2 * len(xs[0]) // 4096))


def _by_hand(xs: Sequence[Tensor], chunks: int) -> Answer:
    """With e_ij = exp(s_ij - shift) and r_i = 1 / sum_j e_ij, the gradient with respect to z is that of
    sum_j e_ij (r_i + r_j) z_j, less both positives, divided by n and the temperature.
    """
    rows = torch.cat(list(xs)).float()
    n, half = len(rows), len(xs[0])
    length = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12)
    z = rows / length
    low = z.to(xs[0].dtype)
    shift = 1 / TEMPERATURE  # no cosine is larger than 1
    parts = list(torch.arange(n, device=z.device).tensor_split(chunks))

    def weights(part: Tensor) -> Tensor:  # (rows of the part, n)
        e = low[part[0] : part[-1] + 1] @ low.T if chunks > 1 else low @ low.T
        e = e.mul_(1 / TEMPERATURE).sub_(shift).exp_()
        return e.scatter_(1, part[:, None], 0)

    kept = [weights(parts[0])] if chunks == 1 else []
    sums = torch.cat([(kept or [weights(part)])[0].sum(1, dtype=torch.float32) for part in parts])
    positive = (z * z.roll(half, 0)).sum(1) / TEMPERATURE
    loss = (sums.log() + shift - positive).mean()
    inverse = sums.reciprocal()
    products = []
    for part in parts:
        e = kept[0] if kept else weights(part)
        e.mul_((inverse[part][:, None] + inverse[None, :]).to(e.dtype))
        products.append((e @ low).float())
    by_z = (torch.cat(products) - 2 * z.roll(half, 0)) / (n * TEMPERATURE)
    by_rows = (by_z - z * (by_z * z).sum(1, keepdim=True)) / length
    return [loss, *(grad.to(x.dtype) for grad, x in zip(by_rows.split(half), xs, strict=True))]


@dataclass(frozen=True)
class Contender:
    name: str
    can: Callable[[Problem], bool]
    run: Run


def _stores(problem: Problem) -> bool:
    """Whether several n x n float32 matrices fit into the memory."""
    return problem.n <= 65_536 and problem.kind != SWEEP


def _has_hopper_tiles(problem: Problem) -> bool:
    narrow = problem.kind in (NT_XENT, FORWARD) and 64 < problem.d <= 128 and problem.dtype != "float32"
    return narrow or problem.kind in (PAIR, PAIR_GRAD)


OURS = 2  # the first ones
CONTENDERS = [
    Contender("gramless", lambda problem: True, default_tiles),
    Contender("gramless, Hopper tiles", _has_hopper_tiles, hopper_tiles),
    Contender("torch eager", _stores, eager_run),
    Contender("stored matrix", lambda p: _stores(p) and p.kind == NT_XENT, stored_run),
    Contender("products in chunks", lambda p: p.kind == NT_XENT, chunked_run),
    Contender("torch.compile", lambda p: _stores(p) and p.kind in (NT_XENT, FORWARD), compiled_run),
]
