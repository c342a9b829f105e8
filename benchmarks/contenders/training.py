"""A training step: a small network on two views of images, NT-Xent, backward, an update. It needs torch only.

The loss's forward and backward run between those of the network, and are timed separately: `Step.share`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..problems import Problem

SIDE, PATCH = 16, 4  # pixels of an image, and of a patch that is a token
Loss = Callable[[Problem, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """The loss of a step, and the share of the step's time that the loss took."""

    loss: float
    share: float

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.loss, dtype=np.float64)


class Block(nn.Module):
    """Two convolutions with a residual connection."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.around = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.around(x))


def resnet(d: int) -> nn.Module:
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    blocks = (Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, d))


class Transformer(nn.Module):
    """Two transformer layers over 16 patches."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, PATCH, PATCH)
        self.positions = nn.Parameter(0.02 * torch.randn((SIDE // PATCH) ** 2, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, d)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT + self.positions
        return self.head(self.layers(tokens).mean(1))


@cache
def _network(encoder: str, d: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = resnet(d) if encoder == "resnet" else Transformer(d)
    return network, torch.optim.SGD(network.parameters(), lr=0.0)  # so that all steps are equal


def step(loss_of: Loss, problem: Problem, images: Tensor) -> Step:
    network, optimizer = _network(problem.encoder, problem.d)
    started = time.perf_counter()
    optimizer.zero_grad()
    z = network(images)
    cut = z.detach().requires_grad_()
    loss_started = time.perf_counter()
    loss = loss_of(problem, *cut.chunk(2))
    loss.backward()
    loss_ended = time.perf_counter()
    z.backward(cut.grad)
    optimizer.step()
    seconds = time.perf_counter() - started
    return Step(float(loss.detach()), (loss_ended - loss_started) / seconds)


def torch_run(problem: Problem, xs: Sequence[Tensor]) -> Step:
    from .torch_losses import torch_nt_xent

    return step(torch_nt_xent, problem, xs[0])


def ours_run(problem: Problem, xs: Sequence[Tensor]) -> Step:
    import gramless as gl

    return step(lambda p, x, y: gl.nt_xent(x, y, temperature=p.temperature), problem, xs[0])
