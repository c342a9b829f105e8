"""Follows one forward pass to find the layout and the mask of every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .layers import Layer
from .layouts import Layout, UnknownLayout, decide
from .masks import Masks, entries_of
from .outputs import PoolError, tensor_of, tensors_in
from .towers import NotYet, Towers
from .tracing import Origin, Tracer


@dataclass(frozen=True)
class Decision:
    """How to read the output of one call of a module: its layout, if known, and the name of its mask.

    full: the names of masks that it does not fit; no batch may have padding in these.
    """

    layout: Layout | None
    mask: str | None
    full: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()  # of that output in the first batch of its kind


@dataclass
class Undecided:
    """An output whose layout is determined only after the forward pass."""

    layer: Layer
    call: int
    tensor: torch.Tensor
    origin: Origin | None


class OtherExamples(BaseException):
    """A module shows that the examples are another dimension of the batch than was assumed. It is not an
    Exception, because a model may catch those.
    """

    def __init__(self, entries: frozenset[str]) -> None:
        super().__init__(entries)
        self.entries = entries


@dataclass
class _Running:
    """A module that has been called and has not yet returned."""

    module: nn.Module
    given: Any
    version: int | None
    holds_layer: bool = False


class Following:
    """The state of a followed forward pass over one batch of `rows` examples.

    second: the entries of the batch whose second dimension is the examples.
    """

    def __init__(self, batch: Any, masks: Masks, rows: int | None, second: frozenset[str]) -> None:
        self.tracer, self._rows, self._second = Tracer(), rows, second
        self._entries = entries_of(batch)
        self.tracer.enter(self._entries, _examples(self._entries, rows), second)
        self._towers = Towers(masks, self._entries, self.tracer, second)
        self._running: list[_Running] = []

    def before(self, module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Record the call of a module. Raises `OtherExamples` if its `batch_first` contradicts what was
        assumed, and PoolError if other entries of the batch contradict `batch_first`.
        """
        tensors = tensors_in([inputs, options])
        if not self._running:  # tensors that a user's forward computed from the batch outside torch
            new = {f"input {i}": t for i, t in enumerate(tensors) if self.tracer.origin(t) is None}
            self.tracer.enter(new, self._rows if self._entries else _examples(new, self._rows))
        self._towers.entered(tensors)
        for name, value in options.items():
            if name.endswith("padding_mask") and getattr(value, "dtype", None) == torch.bool:
                self._towers.check_padding(name, value)
        given = [*inputs, *options.values()]
        shape = _first_two(given[0]) if given and isinstance(given[0], torch.Tensor) else None
        every = self.tracer.contradicted(module, given)
        places = frozenset(name for name in every if self._shape(name) == shape) - self._towers.places
        if places - self._second:
            self._check_others(module, places)
            raise OtherExamples(places)
        first = inputs[0] if inputs and isinstance(inputs[0], torch.Tensor) else None
        self._running.append(_Running(module, first, _version(first)))

    def _shape(self, name: str) -> torch.Size | None:
        """The first two dimensions of an entry of the batch."""
        return _first_two(self._entries[name]) if name in self._entries else None

    def _check_others(self, module: nn.Module, places: frozenset[str]) -> None:
        """Raise PoolError if another entry of the batch shows that the first dimension is the examples."""
        shape = self._entries[min(places)].shape
        if shape[0] == shape[1]:
            return
        for name, tensor in self._entries.items():
            if name not in places and tensor.ndim and len(tensor) == shape[0]:
                raise PoolError(
                    f"has batch_first={module.batch_first} and reads {tuple(shape)} as (tokens, batch, "
                    f"features), but entry {name!r} of the batch has {shape[0]} examples, not "
                    f"{shape[1]}; transpose the input in forward=, or correct batch_first"
                )

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> tuple[bool, bool]:
        """Record the return of a module; returns whether a layer ran inside it, and whether it returned its
        input unchanged.
        """
        running = _Running(module, None, None)
        while self._running:  # modules above it ended with an exception that the model caught
            running = self._running.pop()
            if running.module is module:
                break
        if _is_recurrent(module) and isinstance(output[0], torch.Tensor) and running.given is not None:
            self.tracer.declare_rnn(output[0], running.given, bool(module.batch_first))
        unchanged = output is running.given and running.version == _version(output)
        return running.holds_layer, unchanged and running.version is not None

    def origin(self, output: Any) -> Origin | None:
        """The origin of the tensor in a module's output."""
        found = tensor_of(output)
        return self.tracer.origin(found) if isinstance(found, torch.Tensor) else None

    @property
    def has_entries(self) -> bool:
        """Whether the batch holds tensors, so that everything computed from it is known."""
        return bool(self._entries)

    def ran(self) -> None:
        """Record that a layer has run inside all running modules."""
        for running in self._running:
            running.holds_layer = True

    def decide(
        self,
        name: str,
        module: nn.Module,
        tensor: torch.Tensor,
        origin: Origin | None,
        text: str | None,
        final: bool,
    ) -> Decision | None:
        """How to read the output of a layer; None if that is not known yet.

        Raises PoolError if its examples or its mask are not found, and `UnknownLayout` if there are two
        possible layouts after the pass (final).
        """
        layout: Layout | None
        if text is not None:
            same = origin is not None and len(origin.dims) == tensor.ndim
            given = Layout.of_text(text, origin if same else None)
            try:
                given.check(tensor, self._rows)
            except PoolError as error:
                raise UnknownLayout(f"{error} with layout {text!r}") from None
            layout = given
        else:
            layout = decide(module, tensor, origin, self._rows, final, name)
        if layout is None:
            return None
        entries = frozenset[str]() if origin is None else origin.entries
        try:
            mask = self._towers.choose(name, tensor.shape, layout.positions, entries, final)
        except NotYet:
            return None
        full = self._towers.must_be_full(layout.positions, entries)
        return Decision(layout, mask, full, tuple(tensor.shape))

    def decide_for_callable(
        self, name: str, module: nn.Module, tensor: torch.Tensor, origin: Origin | None, text: str | None
    ) -> Decision:
        """`decide` for a callable pool, which needs no layout, and a mask only if one fits."""
        shape = tuple(tensor.shape)
        try:
            return self.decide(name, module, tensor, origin, text, True) or Decision(None, None, shape=shape)
        except UnknownLayout:
            return Decision(None, self._towers.only(origin), shape=shape)
        except PoolError:
            return Decision(None, None, shape=shape)


def _examples(entries: dict[str, torch.Tensor], rows: int | None) -> int | None:
    """The number of examples: `rows` if known, else the length of the first tensor."""
    lengths = [len(tensor) for tensor in entries.values() if tensor.ndim and not tensor.is_nested]
    return rows if rows is not None or not lengths else lengths[0]


def _first_two(tensor: torch.Tensor) -> torch.Size | None:
    """The first two dimensions; None for a nested tensor, whose entries differ in shape."""
    return None if tensor.is_nested else tensor.shape[:2]


def _is_recurrent(module: nn.Module) -> bool:
    """Whether a module is an nn.RNN, nn.LSTM or nn.GRU, or a quantised version of one."""
    twin = type(module).__module__.startswith("torch.ao.") and hasattr(module, "hidden_size")
    return isinstance(module, nn.RNNBase) or (twin and hasattr(module, "batch_first"))


def _version(tensor: Any) -> int | None:
    if not isinstance(tensor, torch.Tensor) or tensor.is_inference():
        return None
    return tensor._version
