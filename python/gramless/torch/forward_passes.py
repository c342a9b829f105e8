"""Running forward passes while layers are recorded, and reasons why a module does not run in them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from .._text import left_out_text
from .layers import Layer, named_layers
from .masks import Masks

NEVER_RAN = "never ran"


@contextmanager
def eager_modules() -> Iterator[None]:
    """A context in which every module calls its hooks: torch's fused attention path is off, and compiled
    modules run uncompiled. Both settings are restored on exit.
    """
    mha = torch.backends.mha
    with ExitStack() as undo:
        undo.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
        mha.set_fastpath_enabled(False)
        compiles = "torch._dynamo" in sys.modules  # otherwise nothing is compiled; the import takes seconds
        if compiles and hasattr(torch.compiler, "set_stance"):  # torch 2.6
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def never_ran(layer: Layer, model: nn.Module) -> str:
    """The reason why a layer never ran, as far as it is known."""
    named = named_layers(model)
    levels = layer.name.split(".")
    for count in range(len(levels), 0, -1):
        module = named.get(".".join(levels[:count]))
        if isinstance(module, torch.jit.ScriptModule):
            return f"{NEVER_RAN} as a module: {'.'.join(levels[:count])!r} is compiled by torch.jit"
    if isinstance(layer.module, (nn.ModuleList, nn.ModuleDict)):
        return f"{NEVER_RAN}: it only contains modules; '{layer.name}.*' selects these"
    return NEVER_RAN


def check_counts(
    subject: str, layers: Sequence[Layer], counts: Mapping[int, int], before: Mapping[int, int]
) -> None:
    """Raise ValueError unless every layer ran as often as in the first batch. subject: "f: layer {}"."""
    for layer in layers:
        now, then = counts[id(layer.module)], before[id(layer.module)]
        if now != then:
            raise ValueError(
                f"{subject.format(repr(layer.name))} ran {now} times in a batch but {then} times in the "
                "first one"
            )


def check_masks(function: str, owner: str, names: Sequence[str], before: Sequence[str]) -> None:
    """Raise ValueError for a batch without the masks of the first one, because padding would be averaged."""
    if names != before:
        first, now = (", ".join(map(repr, found)) or "none" for found in (before, names))
        raise ValueError(
            f"{function}: batches for {owner} must have the same attention masks, but the first one has "
            f"{first} and a later one {now}; an entry None means that all tokens are valid"
        )


class Named(Protocol):
    """The attributes of a recorder with the names of its layers."""

    names: list[str]
    left_out: dict[str, str]
    owner: str


def warn_of_left_out(function: str, recorders: Sequence[Named], stacklevel: int) -> None:
    """Issue one warning for the layers that were left out, with the reasons."""
    texts = {each.owner: left_out_text(each.left_out) for each in recorders if each.left_out}
    if texts:
        which = "; ".join(f"{owner}: {text}" for owner, text in texts.items())
        warnings.warn(f"{function}: layers are left out of {which}", UserWarning, stacklevel=stacklevel)


def check_widths(
    function: str, recorder: Named, layers: Sequence[Any], expected: Sequence[int], batch: int
) -> None:
    """Raise ValueError if a layer has another number of features than in earlier batches."""
    for name, rows, width in zip(recorder.names, layers, expected, strict=True):
        if rows.shape[1] != width:
            raise ValueError(
                f"{function}: layer {name!r} of {recorder.owner} has {rows.shape[1]} features in batch "
                f'{batch} but {width} before; pass a pool= other than "none"'
            )


def shapes_key(
    entries: Mapping[str, torch.Tensor], masks: Masks, rows: int | None, second: frozenset[str]
) -> Hashable:
    """A key that is equal for batches with the same layouts and masks: all shapes without the number of
    examples.
    """
    shapes: list[tuple[object, ...]] = []
    for name, tensor in entries.items():
        if tensor.is_nested:
            shapes.append((name, -1))
            continue
        shape = list(tensor.shape)
        place = 1 if name in second else 0
        if len(shape) > place and (rows is None or shape[place] == rows):
            shape[place] = -1
        shapes.append((name, *shape))
    return tuple(shapes), tuple(masks.values), rows == 1, second
