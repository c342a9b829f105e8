"""What needs torch: whole models compared layer by layer, at once or while they train."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import ModelComparison
    from .metric import CKAMetric
    from .models import compare_models
    from .training import TrainingCKA

__all__ = ["CKAMetric", "ModelComparison", "TrainingCKA", "compare_models"]

_HOME = {
    "CKAMetric": "metric",
    "ModelComparison": "comparison",
    "TrainingCKA": "training",
    "compare_models": "models",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'gramless.torch' has no attribute {name!r}")
