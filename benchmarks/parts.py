"""A part of another package whose requirements, such as torchvision, exceed what the part needs.

pip install --no-deps lightly==1.6.0 thingsvision==2.7.3 torchtyping==0.1.5 typeguard==2.13.3
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def part(name: str, unused: Sequence[str] = ()) -> Any:
    """The module `name` alone: the packages around it are not executed, and modules `unused` stay empty."""
    if name in sys.modules:
        return sys.modules[name]
    package, *inner = name.split(".")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed")
    root = Path(found.origin).parent
    around = [".".join([package, *inner[:depth]]) for depth in range(len(inner))]
    for shell in [*around, *unused]:
        module = types.ModuleType(shell)
        module.__path__ = [str(root.joinpath(*shell.split(".")[1:]))]
        module.__spec__ = importlib.util.spec_from_loader(shell, None, origin=found.origin)
        sys.modules[shell] = module
    return importlib.import_module(name)


def lightly_part(file: str) -> Any:
    """A file of lightly.loss."""
    shells = ("lightly.models", "lightly.models.modules", "lightly.utils", "lightly.models.utils")
    return part(f"lightly.loss.{file}", unused=shells)
