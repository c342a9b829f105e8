"""The repeated blocks of a model: the members of its lists of modules. Does not run the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

LISTS = (nn.ModuleList, nn.ModuleDict, nn.Sequential)


def blocks(named: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The blocks among named modules, in their order: the outermost members of lists of modules that contain
    modules themselves. A stage, a member with a list of several such members, is not a block.

    >>> net = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 3, enable_nested_tensor=False)
    >>> list(blocks(dict(net.named_modules())))
    ['layers.0', 'layers.1', 'layers.2']
    """
    members = {name: module for name, module in named.items() if _is_member(name, module, named)}
    counts = Counter(type(module) for module in members.values())
    candidates = {
        name: module
        for name, module in members.items()
        if counts[type(module)] > 1 or isinstance(named[name.rpartition(".")[0]], nn.ModuleList)
    }
    stages = {
        type(module) for name, module in candidates.items() if _repeats_members(name, candidates, named)
    }
    found: dict[str, nn.Module] = {}
    for name, module in candidates.items():
        inside = any(name.startswith(f"{other}.") for other in found)
        if type(module) not in stages and not inside and module not in found.values():
            found[name] = module
    return found


def _is_member(name: str, module: nn.Module, named: Mapping[str, nn.Module]) -> bool:
    parent = named.get(name.rpartition(".")[0])
    is_list = isinstance(module, LISTS)
    return bool(name) and isinstance(parent, LISTS) and not is_list and any(True for _ in module.children())


def _repeats_members(name: str, members: Mapping[str, nn.Module], named: Mapping[str, nn.Module]) -> bool:
    """Whether a list inside a member has two members of the same type."""
    inside = [
        (other.rpartition(".")[0], type(module))
        for other, module in members.items()
        if other.startswith(f"{name}.")
    ]
    return any(count > 1 for count in Counter(inside).values())


def holds_attention(found: Mapping[str, nn.Module]) -> bool:
    """Whether blocks are those of a transformer: they have attention, by class names or by projections."""
    return any(_is_named_attention(block) or _projects_tokens(block) for block in found.values())


def _is_named_attention(block: nn.Module) -> bool:
    kinds = {type(module).__name__.lower() for module in block.modules()}
    return any("attention" in kind or "attn" in kind for kind in kinds)


def _projects_tokens(block: nn.Module) -> bool:
    """Whether a module in the block has linear layers for queries, keys and values, or one for all three, and
    the block has an output projection back to the width of their input.
    """
    every = _linear(block.modules())
    for module in block.modules():
        if isinstance(module, LISTS):
            continue
        own = _linear(module.children())
        for width in {layer.in_features for layer in own}:
            beside = [layer for layer in own if layer.in_features == width]
            back = [layer.in_features for layer in every if layer.out_features == width]
            fused = any(layer.out_features == 3 * width for layer in beside)
            read_whole = any(layer.in_features == 3 * width for layer in every)
            if fused and not read_whole and width in back:
                return True
            heads, count = Counter(layer.out_features for layer in beside).most_common(1)[0]
            others = [size for size in back if size != width or len(beside) > 3]
            if count > 1 and len(beside) > 2 and any(size % heads == 0 for size in others):
                return True
    return False


def _linear(modules: Iterable[nn.Module]) -> list[Any]:
    """The linear layers among modules, including quantised ones."""
    return [
        m for m in modules if isinstance(getattr(m, "in_features", None), int) and hasattr(m, "out_features")
    ]
