"""What needs torch: whole models compared layer by layer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import ModelComparison
    from .models import compare_models

__all__ = ["ModelComparison", "compare_models"]

_HOME = {"ModelComparison": "comparison", "compare_models": "models"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'gramless.torch' has no attribute {name!r}")
