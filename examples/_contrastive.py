"""Shared by the studies of contrastive learning: an encoder with a projection head, and its training.

Nothing here depends on what is measured on the encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from _fashion import Encoder, augment, fit
from torch import Tensor, nn


class Contrastive(nn.Module):
    """An encoder, and a projection head of `hidden` layers before its last one."""

    def __init__(self, width: int, dimensions: int, *, hidden: int = 1, inputs: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(width, inputs)
        wide = self.encoder.features
        layers: list[nn.Module] = []
        for _ in range(hidden):
            layers += [nn.Linear(wide, wide, bias=False), nn.BatchNorm1d(wide), nn.ReLU()]
        self.head = nn.Sequential(*layers, nn.Linear(wide, dimensions))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(images))


def pretrain(
    model: nn.Module,
    images: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    epochs: int,
    batch: int,
    learning_rate: float = 3e-3,
    view: Callable[[Tensor], Tensor] = augment,
) -> None:
    """Trains a model with a loss of the projections of two random views of every image."""

    def loss_of_batch(indices: Tensor) -> Tensor:
        chosen = images[indices]
        return loss(*model(torch.cat([view(chosen), view(chosen)])).chunk(2))

    fit([model], loss_of_batch, rows=len(images), epochs=epochs, batch=batch, learning_rate=learning_rate)
