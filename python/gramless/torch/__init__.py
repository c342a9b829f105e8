"""Functions that need torch: losses for training loops, and comparison of whole models layer by layer.

The functions `gramless.nt_xent`, `gramless.cka` and others are differentiable for tensors; this package has
their modules. They work with torch.compile, torch.func, autocast and activation checkpointing; a second
derivative raises NotImplementedError.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .clip import CLIPLoss
from .losses import DCLLoss, DCLWLoss, MoCoLoss, NTXentLoss
from .siglip import SigLIPLoss
from .similarity import CKALoss, HSICLoss
from .supervised import SupConLoss

if TYPE_CHECKING:
    from .metric import CKAMetric
    from .models import compare_models
    from .training import TrainingCKA

__all__ = [
    "CKALoss",
    "CKAMetric",
    "CLIPLoss",
    "DCLLoss",
    "DCLWLoss",
    "HSICLoss",
    "MoCoLoss",
    "NTXentLoss",
    "SigLIPLoss",
    "SupConLoss",
    "TrainingCKA",
    "compare_models",
]

_HOME = {
    "CKAMetric": "metric",
    "TrainingCKA": "training",
    "compare_models": "models",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'gramless.torch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
