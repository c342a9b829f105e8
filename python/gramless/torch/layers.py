"""Which modules of a model are meant: by name, glob, type or the module itself. Runs nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from torch import nn

LayerLike: TypeAlias = "str | type[nn.Module] | nn.Module"
Layers: TypeAlias = "LayerLike | Sequence[LayerLike] | None"

EVERY: Any = object()  # what None means, where None means something else
_UNCHANGING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def bare(model: nn.Module) -> nn.Module:
    """The model itself, out of the wrappers that replicate or compile it and keep hooks from firing.

    >>> net = nn.Linear(2, 2)
    >>> bare(net) is net
    True
    """
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model


def select(
    function: str, owner: str, model: nn.Module, layers: Layers, argument: str
) -> list[tuple[str, nn.Module]]:
    """(name, module) of every layer meant, each once, in the order asked for; a glob's in the model's order.

    A string is a name as in `named_modules`, else a glob over these names, whose * crosses dots; a type
    stands for its instances. None stands for every module that has no modules inside, without those that
    change nothing at inference (dropout, identity).

    Raises ValueError where an entry means no layer of the model, TypeError where it is nothing of the kind.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> [name for name, _ in select("f", "model_a", net, ["2", nn.ReLU, "*"], "layers")]
    ['2', '1', '0']
    """
    if layers is None or layers is EVERY:
        leaves = [
            (name or type(module).__name__, module)
            for name, module in model.named_modules()
            if next(module.children(), None) is None and not isinstance(module, _UNCHANGING)
        ]
        if not leaves:
            raise ValueError(f"{function}: {owner} has no layers; it is {type(model).__name__}()")
        return leaves
    single = isinstance(layers, (str, type, nn.Module)) and not isinstance(layers, (nn.ModuleList,))
    wanted = [layers] if single else layers
    if not isinstance(wanted, Iterable):
        raise TypeError(f"{function}: {argument} must be names, types or modules but is {layers!r}")
    found: dict[str, nn.Module] = {}
    for entry in wanted:
        for name, module in _meant(function, owner, model, entry, argument):
            found.setdefault(name, module)
    if not found:
        raise ValueError(f"{function}: {argument} is empty")
    return list(found.items())


def _meant(
    function: str, owner: str, model: nn.Module, entry: Any, argument: str
) -> list[tuple[str, nn.Module]]:
    named = dict(model.named_modules(remove_duplicate=False))
    if isinstance(entry, str):
        if entry in named:
            return [(entry or type(model).__name__, named[entry])]
        found = [(name, module) for name, module in named.items() if name and fnmatchcase(name, entry)]
        if not found:
            near = (
                difflib.get_close_matches(entry, list(named), 3, 0.4) or [name for name in named if name][:3]
            )
            raise ValueError(
                f"{function}: no layer of {owner} is called or matches {entry!r} ({argument}); "
                f"it has {', '.join(map(repr, near))}, ..."
            )
        return found
    if isinstance(entry, nn.Module):
        for name, module in named.items():
            if module is entry:
                return [(name or type(model).__name__, module)]
        raise ValueError(
            f"{function}: {argument} holds a {type(entry).__name__} that is no module of {owner}"
        )
    if isinstance(entry, type) and issubclass(entry, nn.Module):
        found = [(name, module) for name, module in model.named_modules() if isinstance(module, entry)]
        if not found:
            raise ValueError(f"{function}: no layer of {owner} is a {entry.__name__} ({argument})")
        return [(name or type(model).__name__, module) for name, module in found]
    raise TypeError(f"{function}: {argument} must hold names, types or modules but holds {entry!r}")
