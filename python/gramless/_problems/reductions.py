"""From the losses of anchors to the value, and back."""

from __future__ import annotations

from typing import Any


def reduced(backend: Any, losses: Any, reduction: str, count: Any) -> Any:
    """The losses (n,), or their sum, or their mean over `count` of them; those not counted are 0."""
    if reduction == "none":
        return losses
    total = backend.total(losses)
    return total / count if reduction == "mean" else total


def by_each_loss(grad: Any, reduction: str, count: Any) -> Any:  # (n,), or one number for all
    """The derivative by the losses, from that by what `reduced` returned."""
    return grad / count if reduction == "mean" else grad


def by_losses(backend: Any, grad: Any, reduction: str, count: Any, n: int) -> Any:  # (n,)
    """The same as an array."""
    found = by_each_loss(grad, reduction, count)
    return found if reduction == "none" else backend.full(n, found)
