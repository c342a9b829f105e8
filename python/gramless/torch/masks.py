"""The attention masks of a batch, by name or by pattern of layers. Does not depend on the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from .. import _arrays
from .._tokens import check_mask_values
from .outputs import PoolError

Where: TypeAlias = "str | int | Callable[[Any], Any] | None"
MaskWhere: TypeAlias = "Where | Mapping[str, Where]"

TOKENS = ("input_ids", "inputs_embeds", "input_features", "input_values")  # names of inputs in transformers


def entries_of(batch: Any, path: str = "") -> dict[str, torch.Tensor]:
    """The tensors of a batch by their paths in it.

    >>> list(entries_of([{"ids": torch.ones(2)}, torch.ones(2)]))
    ['0.ids', '1']
    """
    if isinstance(batch, torch.Tensor):
        return {path: batch}
    found: dict[str, torch.Tensor] = {}
    for name, value in _parts(batch):
        found |= entries_of(value, _joined(path, name))
    return found


def _parts(batch: Any) -> list[tuple[str, Any]]:
    if isinstance(batch, Mapping):
        return [(str(name), value) for name, value in batch.items()]
    if isinstance(batch, (tuple, list)):
        return [(str(index), value) for index, value in enumerate(batch)]
    return []


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@dataclass(frozen=True)
class Masks:
    """The masks of a batch, by pattern of layers or by their path in the batch."""

    values: dict[str, torch.Tensor]  # (n, tokens), nonzero for valid tokens
    by_pattern: bool = False
    names: tuple[str, ...] = ()  # of the entries that the batch has; an entry may be None


def masks_of(function: str, batch: Any, where: MaskWhere) -> Masks:
    """The masks of a batch, by pattern of layers if `where` is a mapping, else by their path in the batch.

    A name selects every entry with that name in the mappings of the batch, and every entry whose name ends in
    it and that has tokens of its own, such as decoder_attention_mask beside decoder_input_ids. Raises
    ValueError for a mask that is not (examples, tokens), or that holds other values than 0 and 1.
    """
    if isinstance(where, str):
        found = dict(_called(batch, where))
    else:
        places = dict(where) if isinstance(where, Mapping) else {_name_of(where): where}
        found = {name: picked(batch, place) for name, place in places.items() if _is_there(batch, place)}
    masks = {name: torch.as_tensor(mask) for name, mask in found.items() if mask is not None}
    for mask in masks.values():
        if mask.ndim != 2:
            raise ValueError(
                f"{function}: the attention mask must be (examples, tokens) but is {tuple(mask.shape)}"
            )
        if mask.dtype != torch.bool:
            check_mask_values(function, "the attention mask", _arrays.to_host(mask))
    return Masks(masks, isinstance(where, Mapping), tuple(sorted(found)))


def check_places(function: str, batches: Sequence[Any], where: MaskWhere) -> None:
    """Raise ValueError if none of these batches, one for each model, has a mask at a place that was given,
    because padding would be averaged. The default, "attention_mask", may be missing.
    """
    places = list(where.values()) if isinstance(where, Mapping) else [where]
    for place in places:
        if place is None or callable(place) or (place == "attention_mask" and not isinstance(where, Mapping)):
            continue
        if isinstance(place, str) and not isinstance(where, Mapping):
            found = any(any(_called(batch, place)) for batch in batches)
        else:
            found = any(_is_there(batch, place) for batch in batches)
        if not found:
            entries = ", ".join(map(repr, entries_of(batches[0])))
            raise ValueError(
                f"{function}: a batch has no attention mask at {place!r}; its tensors are at {entries}"
            )


def _name_of(where: Where) -> str:
    return str(where) if isinstance(where, int) else "attention_mask"


def _called(batch: Any, where: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """The entries with a name, and those whose name ends in it, by their path in the batch."""
    names = {str(name) for name in batch} if isinstance(batch, Mapping) else frozenset[str]()
    for name, value in _parts(batch):
        prefix = name.removesuffix(where)
        companion = name.endswith(f"_{where}") and any(prefix + tokens in names for tokens in TOKENS)
        if names and (name == where or companion):
            yield _joined(path, name), value
        else:
            yield from _called(value, where, _joined(path, name))


def picked(batch: Any, where: Where) -> Any:
    if callable(where):
        return where(batch)
    if isinstance(batch, (tuple, list)) and isinstance(where, int):
        return batch[where] if -len(batch) <= where < len(batch) else None
    return _mapping_of(batch).get(where)


def _mapping_of(batch: Any) -> Mapping[Any, Any]:
    """The batch if it is a mapping, else the first mapping in it, else an empty one."""
    entries = batch if isinstance(batch, (tuple, list)) else [batch]
    return next((entry for entry in entries if isinstance(entry, Mapping)), {})


def _is_there(batch: Any, where: Where) -> bool:
    """Whether the batch has this entry; always True for a callable."""
    if where is None or callable(where):
        return where is not None
    if isinstance(batch, (tuple, list)) and isinstance(where, int):
        return -len(batch) <= where < len(batch)
    return where in _mapping_of(batch)


def unmasked(shape: Sequence[int], mask: torch.Tensor) -> PoolError:
    """The error for a layer whose positions are not those of the mask."""
    return PoolError(
        f"returns shape {tuple(shape)}, which does not match the attention mask {tuple(mask.shape)}; "
        "pass a callable as pool=, or attention_mask=None to use every position"
    )


def check_full(masks: Masks, names: Sequence[str], shape: Sequence[int]) -> None:
    """Raise PoolError if one of these masks, which do not match a layer of this shape, has padding."""
    for name in names:
        mask = masks.values.get(name)
        if mask is not None and not mask.all():
            raise unmasked(shape, mask)
