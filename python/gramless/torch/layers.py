"""Selection of modules of a model by name, pattern, type or the module itself. Does not run the model."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import nn

from .._globs import hint, left_out, matches
from .blocks import LISTS, blocks, holds_attention

LayerLike: TypeAlias = "str | type[nn.Module] | nn.Module"
Layers: TypeAlias = "LayerLike | Sequence[LayerLike] | None"
Kind: TypeAlias = Literal["leaves", "blocks", "named"]

EVERY: Any = object()  # the default of arguments for which None has another meaning
_UNCHANGING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_OWNED = (
    *("parametrizations", "_packed_params", "_all_weight_values", "weight_fake_quant", "bias_fake_quant"),
    "activation_post_process",  # part of a layer in quantisation-aware training
)
_WITHIN = ("module.", "_orig_mod.")  # prefixes of names inside wrappers that `bare` removes
_WRAPPED = "_orig_mod"  # the attribute in which torch.compile keeps the module
_REPLICATED = (nn.DataParallel, nn.parallel.DistributedDataParallel)  # these keep it in `module`


@dataclass(frozen=True)
class Layer:
    """A module that is a layer, or one of its calls. required: requested by name, so that it must run."""

    name: str
    module: nn.Module
    required: bool = False
    call: int | None = None


@dataclass(frozen=True)
class Selection:
    """The selected layers; for kind "leaves", candidates of which those are used that run and contain no
    other module that runs.
    """

    layers: list[Layer]
    kind: Kind


def bare(model: nn.Module) -> nn.Module:
    """The model without the wrappers that replicate or compile it, which bypass hooks.

    >>> net = nn.Linear(2, 2)
    >>> bare(net) is net
    True
    """
    while True:
        if isinstance(model, _REPLICATED):
            model = model.module
        elif isinstance(getattr(model, _WRAPPED, None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every module by its name, except modules that only compute the weights of another one, and wrappers of
    compiled and replicated modules.

    >>> list(named_layers(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))))
    ['', '0']
    """
    owners: tuple[str, ...] = ()
    found: dict[str, nn.Module] = {}
    replicated: list[str] = []
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, _REPLICATED):
            replicated.append(name)
        for wrapper in reversed(replicated):
            if name.startswith(f"{wrapper}.module"):
                name = wrapper + name[len(f"{wrapper}.module") :]
        levels = name.split(".")
        if any(level in _OWNED for level in levels) or (name + ".").startswith(owners or (" ",)):
            continue
        if isinstance(module, nn.MultiheadAttention):
            owners += (f"{name}." if name else " ", *([] if name else ["out_proj."]))
        found[".".join(level for level in levels if level != _WRAPPED)] = bare(module)
    return found


def select(function: str, owner: str, model: nn.Module, layers: Layers, argument: str) -> Selection:
    """The selected layers, each once, in the order of the entries; those of a pattern in the model's order.

    A string is a name as in `named_modules`, a name with the number of a call such as "relu[1]", or a pattern
    in which * matches within one level and ** crosses dots. A type selects its instances. "blocks" selects
    the repeated blocks of a model, and "leaves" the modules inside which no other module runs, unless a layer
    has that name. For a list of modules named "blocks", as in timm, "blocks" selects its members, and
    ["blocks"] the list itself. None selects the blocks of a transformer, and the leaves of other models.

    Raises ValueError if an entry selects no layer of the model, and TypeError for entries of other types.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> [layer.name for layer in select("f", "model_a", net, ["2", nn.ReLU, "*"], "layers").layers]
    ['2', '1', '0']
    """
    named = named_layers(model)
    if layers is None or layers is EVERY:
        found = blocks(named)
        if holds_attention(found):
            return Selection([Layer(*pair) for pair in found.items()], "blocks")
        layers = "leaves"
    if isinstance(layers, str) and layers in ("blocks", "leaves") and not _is_layer(named, layers):
        return _all(function, owner, model, named, layers)
    single = isinstance(layers, (str, type, nn.Module)) and not isinstance(layers, (nn.ModuleList,))
    wanted = [layers] if single else layers
    if not isinstance(wanted, Iterable):
        raise TypeError(f"{function}: {argument} must be names, types or modules but is {layers!r}")
    chosen: dict[str, Layer] = {}
    for entry in wanted:
        for layer in _meant(function, owner, named, entry, argument):
            if layer.name not in chosen or layer.required:
                chosen[layer.name] = layer
    if not chosen:
        raise ValueError(f"{function}: {argument} is empty")
    whole = {id(layer.module) for layer in chosen.values() if layer.call is None}
    kept = [layer for layer in chosen.values() if layer.call is None or id(layer.module) not in whole]
    return Selection(kept, "named")


def _is_layer(named: Mapping[str, nn.Module], name: str) -> bool:
    return name in named and not isinstance(named[name], LISTS)


def _all(function: str, owner: str, model: nn.Module, named: dict[str, nn.Module], kind: Any) -> Selection:
    found = blocks(named) if kind == "blocks" else _candidates(named)
    if not found:
        what = "repeated blocks" if kind == "blocks" else "layers"
        raise ValueError(f"{function}: {owner} has no {what}; it is {type(model).__name__}()")
    return Selection([Layer(name or type(model).__name__, module) for name, module in found.items()], kind)


def _candidates(named: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The modules that may be leaves, each once."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    once = {id(module): (name, module) for name, module in reversed(named.items())}
    return {
        name: module
        for name, module in reversed(once.values())
        if not isinstance(module, (*containers, *_UNCHANGING)) and (name or not _has_candidates(named))
    }


def _has_candidates(named: dict[str, nn.Module]) -> bool:
    return len(named) > 1


def is_unchanging(module: nn.Module) -> bool:
    """Whether a module returns its input unchanged in evaluation mode, judged by its type."""
    return isinstance(module, _UNCHANGING)


def _meant(function: str, owner: str, named: dict[str, nn.Module], entry: Any, argument: str) -> list[Layer]:
    root = type(named[""]).__name__
    if isinstance(entry, str):
        return _by_text(function, owner, named, entry, argument)
    if isinstance(entry, nn.Module):
        entry = bare(entry)
        for name, module in named.items():
            if module is entry:
                return [Layer(name or root, module, True)]
        raise ValueError(
            f"{function}: {argument} holds a {type(entry).__name__} that is not a module of {owner}"
        )
    if isinstance(entry, type) and issubclass(entry, nn.Module):
        once = {id(module): (name, module) for name, module in reversed(named.items())}
        found = [pair for pair in reversed(once.values()) if isinstance(pair[1], entry)]
        if not found:
            raise ValueError(f"{function}: no layer of {owner} is a {entry.__name__} ({argument})")
        return [Layer(name or root, module) for name, module in found]
    raise TypeError(f"{function}: {argument} must hold names, types or modules but holds {entry!r}")


def _by_text(
    function: str, owner: str, named: dict[str, nn.Module], entry: str, argument: str
) -> list[Layer]:
    root = type(named[""]).__name__
    names = {name or root: module for name, module in named.items()} | {"": named[""]}
    if entry in names:
        return [Layer(entry or root, names[entry], True)]
    call = re.fullmatch(r"(.+)\[(\d+)\]", entry)
    if call and call[1] in names:
        return [Layer(entry, names[call[1]], True, int(call[2]))]
    found = [Layer(name, module) for name, module in named.items() if name and matches(name, entry)]
    if found:
        if sentence := left_out(named, entry):
            warnings.warn(f"{function}: {argument}: {sentence}", UserWarning, stacklevel=2)
        return found
    if entry.startswith(_WITHIN):  # a name with the prefix of a wrapper
        return _by_text(function, owner, named, entry.partition(".")[2], argument)
    near = difflib.get_close_matches(entry, list(named), 3, 0.4) or [name for name in named if name][:3]
    raise ValueError(
        f"{function}: no layer of {owner} is named or matches {entry!r} ({argument}); "
        f"it has {', '.join(map(repr, near))}, ...{hint(named, entry)}"
    )
