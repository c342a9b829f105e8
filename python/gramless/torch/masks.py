"""Attention masks of a batch, and which of them holds for a layer: that of the tower whose tokens it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from .._globs import covers
from .axes import Axis
from .outputs import PoolError
from .tracing import Origin, Tracer

Where: TypeAlias = "str | int | Callable[[Any], Any] | None"
MaskWhere: TypeAlias = "Where | Mapping[str, Where]"

_TOKENS = ("input_ids", "inputs_embeds", "input_features", "input_values")


def entries_of(batch: Any, path: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a batch by their place in it.

    >>> list(entries_of([{"ids": torch.ones(2)}, torch.ones(2)]))
    ['0.ids', '1']
    """
    if isinstance(batch, torch.Tensor):
        return {path: batch}
    if isinstance(batch, Mapping):
        pairs = [(str(name), value) for name, value in batch.items()]
    elif isinstance(batch, (tuple, list)):
        pairs = [(str(index), value) for index, value in enumerate(batch)]
    else:
        pairs = []
    found: dict[str, torch.Tensor] = {}
    for name, value in pairs:
        found |= entries_of(value, f"{path}.{name}" if path else name)
    return found


@dataclass(frozen=True)
class Masks:
    """The masks of a batch: by pattern of layers, or by their name in the batch."""

    values: dict[str, torch.Tensor]  # (n, tokens)
    by_pattern: bool = False
    names: tuple[str, ...] = ()  # under which the batch has an entry, which may be None


def masks_of(function: str, batch: Any, where: MaskWhere) -> Masks:
    """The masks of a batch: by pattern of layers where `where` is a mapping, else by their name in the batch.

    A name stands for itself and for those that end in it and have tokens of their own, such as
    decoder_attention_mask beside decoder_input_ids. Raises ValueError for a mask that is not (examples,
    tokens).
    """
    if isinstance(where, Mapping):
        places = dict(where)
    else:
        places = {str(where) if isinstance(where, (str, int)) else "attention_mask": where}
    found = {name: picked(batch, place) for name, place in places.items()}
    names = [name for name, place in places.items() if _is_there(batch, place)]
    if isinstance(where, str):
        found |= (companions := _companions(batch, where))
        names += companions
    masks = {name: torch.as_tensor(mask) for name, mask in found.items() if mask is not None}
    for mask in masks.values():
        if mask.ndim != 2:
            raise ValueError(
                f"{function}: the attention mask must be (examples, tokens) but is {tuple(mask.shape)}"
            )
    return Masks(masks, isinstance(where, Mapping), tuple(sorted(names)))


def picked(batch: Any, where: Where) -> Any:
    if callable(where):
        return where(batch)
    if isinstance(batch, (tuple, list)) and isinstance(where, int):
        return batch[where] if -len(batch) <= where < len(batch) else None
    return _mapping_of(batch).get(where)


def _mapping_of(batch: Any) -> Mapping[Any, Any]:
    """The batch, or the first mapping in it, or none."""
    entries = batch if isinstance(batch, (tuple, list)) else [batch]
    return next((entry for entry in entries if isinstance(entry, Mapping)), {})


def _is_there(batch: Any, where: Where) -> bool:
    """Whether the batch has such an entry; what a callable returns is one."""
    if where is None or callable(where):
        return where is not None
    if isinstance(batch, (tuple, list)) and isinstance(where, int):
        return -len(batch) <= where < len(batch)
    return where in _mapping_of(batch)


def _companions(batch: Any, where: str) -> dict[str, Any]:
    found, mapping = {}, _mapping_of(batch)
    for name in mapping:
        prefix = str(name).removesuffix(where)
        if str(name).endswith(f"_{where}") and any(prefix + tokens in mapping for tokens in _TOKENS):
            found[str(name)] = mapping[name]
    return found


@dataclass
class Mask:
    """One mask, with the axes of the tokens that it is for and the entries of the batch that hold these."""

    values: torch.Tensor  # (n, tokens), nonzero where valid
    axes: list[Axis] = field(default_factory=list)
    entries: set[str] = field(default_factory=set)

    def take(self, name: str, axis: Axis) -> None:
        self.axes.append(axis)
        self.entries.add(name)


class Towers:
    """The masks of one batch whose forward pass is followed, each bound to the tokens it is for.

    A mask is for the tokens whose name begins as its own, else for the one tensor of the batch with its
    length, else for the one tensor with its length that enters a module together with it.
    """

    def __init__(self, masks: Masks, entries: dict[str, torch.Tensor], tracer: Tracer) -> None:
        self._by_pattern, self._tracer = masks.by_pattern, tracer
        self._masks = {name: Mask(values) for name, values in masks.values.items()}
        own = {id(values) for values in masks.values.values()}
        self._own = {place for place, tensor in entries.items() if id(tensor) in own}
        self._entries = {place: tensor for place, tensor in entries.items() if place not in self._own}
        if not masks.by_pattern:
            for name, mask in self._masks.items():
                self._bind(name, mask)

    def _bind(self, name: str, mask: Mask) -> None:
        fitting = {
            place: tensor
            for place, tensor in self._entries.items()
            if tensor.shape[:2] == mask.values.shape and tensor.ndim in (2, 3)
        }
        prefix = name.removesuffix("attention_mask")
        named = [place for place in fitting if place.rpartition(".")[2] in {prefix + t for t in _TOKENS}]
        for place in named or (fitting if len(fitting) == 1 else ()):
            self._take(mask, place, fitting[place])

    def _take(self, mask: Mask, place: str, tensor: torch.Tensor) -> None:
        origin = self._tracer.origin(tensor)
        if origin is not None and len(origin.dims[1]) == 1:
            mask.take(place, origin.dims[1][0])

    def entered(self, tensors: Sequence[torch.Tensor]) -> None:
        """Bind what is not bound yet by what a module is called with."""
        for mask in self._masks.values():
            if self._by_pattern or mask.axes:
                continue
            origins = [origin for origin in map(self._tracer.origin, tensors) if origin is not None]
            if not any(origin.entries and origin.entries <= self._own for origin in origins):
                continue
            axes = {
                id(axis.root): (axis, origin.entries)
                for origin in origins
                if not origin.entries <= self._own and len(origin.dims) > 1 and len(origin.dims[1]) == 1
                for axis in origin.dims[1]
                if axis.size == mask.values.shape[1]
            }
            if len(axes) == 1:
                [(axis, places)] = axes.values()
                for place in places - self._own:
                    mask.take(place, axis)

    def choose(
        self, name: str, shape: Sequence[int], axes: Sequence[Axis], entries: frozenset[str]
    ) -> str | None:
        """The name of the mask that holds for a layer with these axes of positions, computed from these
        entries of the batch; None where none does.

        Raises PoolError where it depends on masked tokens and has positions that no mask fits, or two do.
        """
        if self._by_pattern:
            return next((pattern for pattern in self._masks if covers(pattern, name)), None)
        if len(axes) == 1:
            for own, mask in self._masks.items():
                if any(axis.root is axes[0].root for axis in mask.axes):
                    return own
            if axes[0].root.entry:
                return None  # tokens of another tower
        relevant = {own: mask for own, mask in self._masks.items() if not mask.axes or mask.entries & entries}
        if not relevant or not axes:
            return None
        if len(axes) > 1:
            for mask in relevant.values():
                if not mask.values.all():
                    raise unmasked(shape, mask.values)
            return None
        fitting = [own for own, mask in relevant.items() if mask.values.shape[1] == axes[0].size]
        if not fitting:
            raise unmasked(shape, next(iter(relevant.values())).values)
        others = self._others(entries, axes[0].size, relevant[fitting[0]])
        if len(fitting) > 1 or others:
            which = ", ".join(map(repr, [*fitting, *others]))
            raise PoolError(
                f"returns shape {tuple(shape)}, whose tokens may be those of {which}; give attention_mask= a "
                "mapping from patterns of layers to masks"
            )
        return fitting[0]

    def only(self, origin: Origin | None) -> str | None:
        """The name of the one mask that may hold for a tensor whose layout is not known."""
        entries = frozenset[str]() if origin is None else origin.entries
        may = [name for name, mask in self._masks.items() if not mask.axes or mask.entries & entries]
        return may[0] if len(may) == 1 and not self._by_pattern else None

    def _others(self, entries: frozenset[str], length: int, mask: Mask) -> list[str]:
        """Entries with as many tokens that the mask is not for."""
        return [
            place
            for place in sorted(entries - mask.entries - self._own)
            if mask.axes
            and place in self._entries
            and self._entries[place].ndim in (2, 3)
            and self._entries[place].shape[1] == length
        ]


def unmasked(shape: Sequence[int], mask: torch.Tensor) -> PoolError:
    """The error of a layer whose positions its mask does not have."""
    return PoolError(
        f"returns shape {tuple(shape)}, which the attention mask {tuple(mask.shape)} does not fit; "
        "give pool= a callable, or attention_mask=None to take every position"
    )
