"""Outputs of the layers of one model for a batch, pooled inside hooks; the model stays unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

from .._layouts import Layouts
from .following import Decision, Following, OtherExamples, Undecided
from .forward_passes import NEVER_RAN, check_counts, eager_modules, never_ran, shapes_key
from .layers import Layer, Selection, is_unchanging
from .layouts import Layout, UnknownLayout
from .masks import Masks, check_full, entries_of
from .outputs import PoolError, dense
from .pooling import Pool, owned, pooled, pooled_by

_RAGGED = Layout.of_text("NLC")


class Recorder:
    """Hooks on the modules of a model; `record` runs a batch and returns the rows of every layer, in order.

    Outputs are pooled and copied inside the hook, so that later operations in place do not affect them and no
    autograd graph is kept. A module that runs several times is several layers, name[0], name[1], ... The
    first batch, and every batch of other shapes, is traced operation by operation to find layouts and masks.

    function, owner: for errors, such as "compare_models" and "model_a".
    layouts: the layouts that the user gave.
    keep, any_order: see `pooled`.
    names, left_out: after the first batch, the layers, and the layers left out with the reasons.

    >>> from gramless.torch.layers import select
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
    >>> first = select("f", "model_a", net, "0", "layers")
    >>> with Recorder("f", "model_a", net, first, "none").running() as recorder:
    ...     [rows] = recorder.record(net, torch.ones(5, 2))
    >>> rows.shape, recorder.names
    ((5, 3), ['0'])
    """

    def __init__(
        self,
        function: str,
        owner: str,
        model: nn.Module,
        selection: Selection,
        pool: Pool,
        layouts: Layouts | None = None,
        keep: Callable[[torch.Tensor], Any] = owned,
        any_order: bool = False,
    ) -> None:
        self.names: list[str] = []
        self.left_out: dict[str, str] = {}
        self._function, self.owner = function, owner
        self._model, self._layers, self._kind = model, selection.layers, selection.kind
        self._pool, self._layouts = pool, layouts or Layouts(function, None)
        self._keep, self._any_order = keep, any_order
        self._by_module: dict[int, Layer] = {}
        for layer in self._layers:
            if id(layer.module) not in self._by_module or layer.required:
                self._by_module[id(layer.module)] = layer
        self._decisions: dict[Any, dict[tuple[int, int], Decision]] = {}
        self._current: dict[tuple[int, int], Decision] = {}  # of the batch that runs
        self._calls: dict[int, list[Any]] = {}
        self._dropped: dict[int, str | None] = {}  # modules left out, with a reason to report or None
        self._counts: dict[int, int] | None = None  # how often each module ran in the first batch
        self._recording, self._following = False, None  # type: bool, Following | None
        self._masks, self._rows, self._second = Masks({}), None, frozenset()  # type: Masks, int | None, frozenset[str]

    @property
    def candidates(self) -> list[str]:
        """The names of the modules that may be layers."""
        return [layer.name for layer in self._layers]

    @property
    def decisions(self) -> list[Decision | None]:
        """How the output of each layer in `names` was read in the last batch; None for nested tensors."""
        found: list[Decision | None] = []
        counts = self._counts or {}
        for layer in self._layers if counts else ():
            calls = range(counts[id(layer.module)]) if layer.call is None else [layer.call]
            found += [self._current.get((id(layer.module), call)) for call in calls]
        return found

    @contextmanager
    def running(self) -> Iterator[Recorder]:
        """A context with hooks attached and the model in evaluation mode; both are always undone on exit."""
        modes = [(module, module.training) for module in self._model.modules()]
        with ExitStack() as undo:
            for module, mode in modes:
                undo.callback(setattr, module, "training", mode)
            self._model.eval()
            for module in (module for module, _ in modes if not isinstance(module, torch.jit.ScriptModule)):
                undo.callback(module.register_forward_pre_hook(self._before, with_kwargs=True).remove)
                undo.callback(module.register_forward_hook(self._after).remove)
            undo.callback(self._calls.clear)
            yield self

    def _before(self, module: nn.Module, inputs: Any, options: dict[str, Any]) -> None:
        if not self._recording or self._following is None:
            return
        try:
            with _disable_current_modes():
                self._following.before(module, inputs, options)
        except PoolError as error:
            raise ValueError(f"{self._function}: {type(module).__name__} of {self.owner} {error}") from None

    def _after(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self._recording:  # a module that both models share runs for the other one
            return
        with _disable_current_modes():
            if self._following is None:
                self._take(module, output)
                return
            holds_layer, unchanged = self._following.after(module, inputs, output)
            if self._kind == "leaves" and (holds_layer or unchanged or is_unchanging(module)):
                if id(module) in self._by_module and not unchanged:
                    self._drop(module, None)
            elif self._take(module, output):
                self._following.ran()

    def _drop(self, module: nn.Module, reason: str | None) -> None:
        self._dropped[id(module)] = reason
        self._calls.pop(id(module), None)

    def _take(self, module: nn.Module, output: Any) -> bool:
        """Store the rows of a layer's output; returns whether the module is a layer."""
        layer = self._by_module.get(id(module))
        if layer is None or id(module) in self._dropped:
            return layer is not None and self._dropped[id(module)] is not None
        calls = self._calls.setdefault(id(module), [])
        try:
            calls.append(self._read(layer, len(calls), output))
        except PoolError as error:
            self._refuse(layer, error)
        return True

    def _refuse(self, layer: Layer, error: PoolError) -> None:
        """Leave a layer out, or raise ValueError if it was requested by name or ran in the first batch."""
        if layer.required or isinstance(error, UnknownLayout) or self._counts is not None:
            raise ValueError(f"{self._function}: layer {layer.name!r} of {self.owner} {error}") from None
        self._drop(layer.module, error.reason)

    def _read(self, layer: Layer, call: int, output: Any) -> Any:
        """The rows of one output, or an `Undecided`."""
        tensor, ragged = dense(output)
        if tensor.is_meta:
            name = f"layer {layer.name!r} of {self.owner}"
            raise TypeError(f"{self._function}: {name} returns a tensor on the meta device, without values")
        if ragged is not None:
            return self._rows_of(layer, tensor, Decision(_RAGGED, None), ragged)
        place = (id(layer.module), call)
        if self._following is not None:
            origin = self._following.origin(output)
            if origin is None and not layer.required and self._following.has_entries:
                raise PoolError("returns a tensor that is not computed from the batch")
            decision = self._decide(layer, tensor, origin, final=False)
            if decision is None:
                return Undecided(layer, call, tensor.clone(), origin)
            self._current[place] = decision
        if place not in self._current:
            return None  # it runs more often than in the first batch; check_counts raises later
        return self._rows_of(layer, tensor, self._current[place])

    def _decide(self, layer: Layer, tensor: torch.Tensor, origin: Any, final: bool) -> Decision | None:
        assert self._following is not None
        text = self._layouts.given(layer.name, tensor.ndim)
        if callable(self._pool):
            return self._following.decide_for_callable(layer.name, layer.module, tensor, origin, text)
        return self._following.decide(layer.name, layer.module, tensor, origin, text, final)

    def _rows_of(
        self, layer: Layer, tensor: torch.Tensor, decision: Decision, ragged: torch.Tensor | None = None
    ) -> Any:
        mask = ragged if decision.mask is None else self._masks.values.get(decision.mask)
        if callable(self._pool):
            return pooled_by(self._pool, tensor, self._rows, layer.name, layer.module, mask, self._keep)
        layout = decision.layout
        assert layout is not None
        layout.check(tensor, self._rows)
        check_full(self._masks, decision.full, tensor.shape)
        return pooled(tensor, self._pool, layout, mask, self._keep, self._any_order)

    def record(
        self,
        forward: Callable[[Any], Any],
        batch: Any,
        masks: Masks | None = None,
        rows: int | None = None,
    ) -> list[Any]:
        """The rows of every layer, as `keep` returns them, for one batch of `rows` examples.

        Raises ValueError if a layer does not run, or not as often as in the first batch.
        """
        self._masks = masks or Masks({})
        while True:
            entries = entries_of(batch)
            self._rows = next((entries[name].shape[1] for name in self._second & entries.keys()), rows)
            key = shapes_key(entries, self._masks, self._rows, self._second)
            try:
                self._run(forward, batch, self._decisions.get(key))
            except OtherExamples as found:
                self._second ^= found.entries
                continue
            break
        self._decisions[key] = self._current
        counts = {id(layer.module): len(self._calls.get(id(layer.module), ())) for layer in self._layers}
        if self._counts is None:
            self._start(counts)
        else:
            check_counts(f"{self._function}: layer {{}} of {self.owner}", self._layers, counts, self._counts)
        found_rows = []
        for layer in self._layers:
            calls = self._calls[id(layer.module)]
            found_rows += calls if layer.call is None else [calls[layer.call]]
        self._calls.clear()
        return found_rows

    def _start(self, counts: dict[int, int]) -> None:
        """Determine the list of layers, after the first batch."""
        for layer in self._layers:
            if not counts[id(layer.module)] and id(layer.module) not in self._dropped:
                self._dropped[id(layer.module)] = never_ran(layer, self._model)
        silent = [layer for layer in self._layers if not counts[id(layer.module)]]
        self.left_out = {
            layer.name: reason for layer in silent if (reason := self._dropped[id(layer.module)]) is not None
        }
        kept = [layer for layer in self._layers if counts[id(layer.module)]]
        if not kept or any(layer.required for layer in silent):
            raise ValueError(f"{self._function}: {self._missing(silent, bool(kept))}")
        self._layers, self._counts = kept, {id(layer.module): counts[id(layer.module)] for layer in kept}
        for layer in kept:
            count = self._counts[id(layer.module)]
            if layer.call is not None and layer.call >= count:
                raise ValueError(
                    f"{self._function}: {layer.name!r} of {self.owner} is not a layer: its module ran "
                    f"{count} time{'s' if count > 1 else ''} in the forward pass of the first batch"
                )
            several = layer.call is None and count > 1
            self.names += [f"{layer.name}[{call}]" for call in range(count)] if several else [layer.name]

    def _missing(self, silent: list[Layer], some_ran: bool) -> str:
        """The error for layers that did not run in the first batch or cannot be read."""
        reasons = [self.left_out[layer.name] for layer in silent if layer.name in self.left_out]
        wanted = [layer for layer in silent if layer.required] if some_ran else silent
        names = [layer.name for layer in wanted if layer.name in self.left_out] or [l.name for l in wanted]
        which = f"{'layers' if len(names) > 1 else 'layer'} {', '.join(map(repr, names))} of {self.owner}"
        if all(reason.startswith(NEVER_RAN) for reason in reasons):
            hints = {reason.removeprefix(NEVER_RAN) for reason in reasons} - {""}
            return f"{which} {NEVER_RAN} in the forward pass of the first batch{''.join(sorted(hints))}"
        name, reason = next(pair for pair in self.left_out.items() if not pair[1].startswith(NEVER_RAN))
        return f"no layer of {self.owner} can be compared: layer {name!r} {reason}"

    def _run(
        self, forward: Callable[[Any], Any], batch: Any, decisions: dict[tuple[int, int], Decision] | None
    ) -> None:
        """One forward pass, which is traced if there are no decisions for batches of these shapes yet."""
        self._calls.clear()
        if self._counts is None:
            self._dropped.clear()
        self._current = {} if decisions is None else decisions
        self._following = (
            None if decisions is not None else Following(batch, self._masks, self._rows, self._second)
        )
        self._recording = True
        try:
            with (
                torch.no_grad(),
                eager_modules(),
                self._following.tracer if self._following else nullcontext(),
            ):
                forward(batch)
            self._recording = False
            self._settle()
        finally:
            self._recording, self._following = False, None

    def _settle(self) -> None:
        """Read the outputs whose layouts were undecided during the forward pass."""
        for calls in list(self._calls.values()):
            for call, kept in enumerate(calls):
                if not isinstance(kept, Undecided):
                    continue
                layer = kept.layer
                try:
                    decision = self._decide(layer, kept.tensor, kept.origin, final=True)
                    assert decision is not None
                    self._current[id(layer.module), call] = decision
                    calls[call] = self._rows_of(layer, kept.tensor, decision)
                except PoolError as error:
                    self._refuse(layer, error)
                    break
