"""The choice of a batch's mask for a layer: the mask of the tokens from which the layer was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from .._globs import covers
from .axes import Axis
from .masks import TOKENS, Masks, unmasked
from .outputs import PoolError
from .tracing import Origin, Tracer


class NotYet(Exception):
    """The mask of a layer is determined only after the forward pass."""


@dataclass
class Mask:
    """One mask, with the axes of its tokens and the entries of the batch that hold these tokens."""

    values: torch.Tensor  # (n, tokens), nonzero for valid tokens
    own: Axis | None = None  # the second axis of the mask itself if it is an entry of the batch
    axes: list[Axis] = field(default_factory=list)
    entries: set[str] = field(default_factory=set)

    def take(self, name: str, axis: Axis) -> None:
        self.axes.append(axis)
        self.entries.add(name)


class Towers:
    """The masks of one batch whose forward pass is traced, each bound to its tokens.

    A mask is bound to the first of these that exists: the tokens beside it in the batch whose names begin
    like its own, the only tensor of its length there, the only tensor of its length that is passed to a
    module together with it, or the tensor that it is combined with. second: entries (tokens, examples, ...).
    """

    def __init__(
        self, masks: Masks, entries: dict[str, torch.Tensor], tracer: Tracer, second: frozenset[str]
    ) -> None:
        self._by_pattern, self._tracer, self._second = masks.by_pattern, tracer, second
        self._masks = {name: Mask(values) for name, values in masks.values.items()}
        own = {id(mask.values): mask for mask in self._masks.values()}
        self._own = {place for place, tensor in entries.items() if id(tensor) in own}
        for place in self._own:
            own[id(entries[place])].own = self._axis_of_tokens(place, entries[place])
        self._entries = {place: tensor for place, tensor in entries.items() if place not in self._own}
        if not masks.by_pattern:
            for name, mask in self._masks.items():
                self._bind(name, mask)

    @property
    def places(self) -> set[str]:
        """The entries of the batch that are masks."""
        return self._own

    def _bind(self, name: str, mask: Mask) -> None:
        fitting = self._fitting(mask)
        folder, _, last = name.rpartition(".")
        beside = [place for place in fitting if not folder or place.rpartition(".")[0] == folder]
        prefix = last.removesuffix("attention_mask")
        named = [place for place in beside if place.rpartition(".")[2] in {prefix + t for t in TOKENS}]
        for place in named or (beside if len(beside) == 1 else ()):
            axis = self._axis_of_tokens(place, self._entries[place])
            if axis is not None:
                mask.take(place, axis)

    def _fitting(self, mask: Mask) -> list[str]:
        """The entries with the same numbers of examples and tokens as the mask."""
        found = []
        for place, tensor in self._entries.items():
            if tensor.is_nested or tensor.ndim not in (2, 3) or tensor.dtype == torch.bool:
                continue  # booleans are not tokens
            shape = tensor.shape[:2] if place not in self._second else tensor.shape[1::-1]
            if shape == mask.values.shape:
                found.append(place)
        return found

    def _axis_of_tokens(self, place: str, tensor: torch.Tensor) -> Axis | None:
        """The axis of the tokens of an entry; None if it has only one token."""
        origin, dimension = self._tracer.origin(tensor), 0 if place in self._second else 1
        if origin is None or len(origin.dims) < 2 or len(origin.dims[dimension]) != 1:
            return None
        return origin.dims[dimension][0]

    def entered(self, tensors: Sequence[torch.Tensor]) -> None:
        """Bind masks that are not bound yet to other arguments of a module that they are passed to."""
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

    def check_padding(self, name: str, padding: torch.Tensor) -> None:
        """Raise PoolError if a mask is used as a padding mask of torch, in which True is padding."""
        for own, mask in self._masks.items():
            valid = mask.values != 0
            if valid.shape == padding.shape and not valid.all() and torch.equal(valid, padding):
                raise PoolError(
                    f"uses the attention mask {own!r} as {name}, in which True is padding, but here valid "
                    "tokens must be 1 or True; pass a callable as attention_mask=, such as "
                    f"lambda batch: ~batch[{own!r}]"
                )

    def choose(
        self, name: str, shape: Sequence[int], axes: Sequence[Axis], entries: frozenset[str], final: bool
    ) -> str | None:
        """The name of the mask that applies to a layer with these axes of positions, computed from these
        entries of the batch; None if no mask applies.

        Raises PoolError if the layer depends on masked tokens but its positions match no mask or several, and
        `NotYet`, unless final, if later operations may decide it.
        """
        if self._by_pattern:
            return next((pattern for pattern in self._masks if covers(pattern, name)), None)
        if len(axes) != 1:
            return None
        for own, mask in self._masks.items():
            if any(axis.root is axes[0].root for axis in mask.axes):
                return own
        if axes[0].root.entry:
            return self._for_entry(shape, axes[0], final)
        relevant = self._relevant(entries)
        if not relevant or axes[0].root.learned:
            return None
        if axes[0].root.shuffled:
            raise PoolError(
                f"returns shape {tuple(shape)}, whose tokens are in another order than those of the "
                f"attention mask {min(relevant)!r}; pass a callable as pool=, or attention_mask=None to use "
                "every position"
            )
        fitting = [own for own, mask in relevant.items() if mask.values.shape[1] == axes[0].size]
        if not fitting or axes[0].root.channels:
            raise unmasked(shape, next(iter(relevant.values())).values)
        others = self._others(entries, axes[0].size, relevant[fitting[0]])
        if len(fitting) > 1 or others:
            raise _several(shape, [*fitting, *others])
        return fitting[0]

    def _for_entry(self, shape: Sequence[int], axis: Axis, final: bool) -> str | None:
        """The same for tokens of the batch without a bound mask: the mask of tokens that they are combined
        with, or that they are combined with themselves; otherwise no mask, or an error if one might apply.
        """
        near = {id(other.root) for other in axis.root.beside}
        for own, mask in self._masks.items():
            tokens = mask.axes or ([] if mask.own is None else [mask.own])
            if any(id(other.root) in near for other in tokens):
                return own
        fitting = [own for own, mask in self._masks.items() if mask.values.shape[1] == axis.size]
        unbound = [own for own in fitting if not self._masks[own].axes]
        if not final and (unbound or (fitting and not self._has_a_name(axis))):
            raise NotYet
        if unbound:
            raise _several(shape, [*unbound, *self._fitting(self._masks[unbound[0]])])
        return None

    def _has_a_name(self, axis: Axis) -> bool:
        """Whether tokens have a name for which a batch would have a mask."""
        for place, tensor in self._entries.items():
            own = self._axis_of_tokens(place, tensor) if place.endswith(TOKENS) else None
            if own is not None and own.root is axis.root:
                return True
        return False

    def must_be_full(self, axes: Sequence[Axis], entries: frozenset[str]) -> tuple[str, ...]:
        """The masks that must have no padding, because a layer with several axes of positions has no mask."""
        return tuple(self._relevant(entries)) if len(axes) > 1 and not self._by_pattern else ()

    def _relevant(self, entries: frozenset[str]) -> dict[str, Mask]:
        return {own: mask for own, mask in self._masks.items() if not mask.axes or mask.entries & entries}

    def only(self, origin: Origin | None) -> str | None:
        """The name of the only mask that may apply to a tensor of unknown layout, else None."""
        entries = frozenset[str]() if origin is None else origin.entries
        may = list(self._relevant(entries))
        return may[0] if len(may) == 1 and not self._by_pattern else None

    def _others(self, entries: frozenset[str], length: int, mask: Mask) -> list[str]:
        """The entries with the same number of tokens to which the mask does not apply."""
        return [
            place
            for place in sorted(entries - mask.entries - self._own)
            if mask.axes
            and place in self._entries
            and self._entries[place].ndim in (2, 3)
            and self._entries[place].shape[1] == length
        ]


def _several(shape: Sequence[int], places: Sequence[str]) -> PoolError:
    return PoolError(
        f"returns shape {tuple(shape)}, whose tokens may be those of {', '.join(map(repr, places))}; pass "
        "a mapping from patterns of layers to masks as attention_mask="
    )
