"""What the layers of one model return for a batch, pooled inside the hooks; the model is left as found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from .pooling import Pool, PoolError, owned, pooled


class Recorder:
    """Hooks on some modules of a model; `record` runs a batch and returns every layer's rows, in order.

    Outputs are pooled and copied inside the hook, so operations in place that follow do not matter, and no
    autograd graph is kept. A module that runs several times is several layers, name[0], name[1], ...

    function, owner: for the errors, such as "compare_models" and "model_a".
    optional: layers that never run, or whose output cannot be pooled, are left out, not refused.
    keep, any_order: what is kept of the rows, see `pooled`.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
    >>> with Recorder("f", "model_a", net, [("0", net[0])], "none").running() as recorder:
    ...     [rows] = recorder.record(net, torch.ones(5, 2))
    >>> rows.shape, recorder.names
    ((5, 3), ['0'])
    """

    def __init__(
        self,
        function: str,
        owner: str,
        model: nn.Module,
        layers: Sequence[tuple[str, nn.Module]],
        pool: Pool,
        optional: bool = False,
        keep: Callable[[torch.Tensor], Any] = owned,
        any_order: bool = False,
    ) -> None:
        self.names: list[str] = []  # known after the first batch
        self.left_out: list[str] = []
        self._function, self.owner = function, owner
        self._model, self._layers, self._pool = model, list(layers), pool
        self._optional, self._keep, self._any_order = optional, keep, any_order
        self._unusable: set[int] = set()
        self._calls: dict[int, list[Any]] = {}
        self._counts: list[int] | None = None  # how often each layer ran in the first batch
        self._recording = False
        self._mask: torch.Tensor | None = None
        self._rows: int | None = None

    @contextmanager
    def running(self) -> Iterator[Recorder]:
        """Hooks attached and the model in evaluation mode; on leaving both are undone, whatever happened."""
        modes = [(module, module.training) for module in self._model.modules()]
        with ExitStack() as undo:
            for module, mode in modes:
                undo.callback(setattr, module, "training", mode)
            self._model.eval()
            for name, module in {id(module): (name, module) for name, module in self._layers}.values():
                undo.callback(module.register_forward_hook(self._hook(name)).remove)
            undo.callback(self._calls.clear)
            yield self

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if not self._recording:  # a module of both sides runs for the other side
                return
            if id(module) in self._unusable:
                return
            try:
                rows = pooled(output, self._pool, self._mask, self._rows, self._keep, self._any_order)
            except PoolError as error:
                if self._optional and self._counts is None:
                    self._unusable.add(id(module))
                    self._calls.pop(id(module), None)
                    return
                raise ValueError(f"{self._function}: layer {name!r} of {self.owner} {error}") from None
            self._calls.setdefault(id(module), []).append(rows)

        return hook

    def record(
        self,
        forward: Callable[[Any], Any],
        batch: Any,
        mask: torch.Tensor | None = None,
        rows: int | None = None,
    ) -> list[Any]:
        """The rows of every layer, or what is kept of them, for one batch of `rows` examples.

        Raises ValueError where a layer does not run, or not as often as in the first batch.
        """
        self._calls.clear()
        self._mask, self._rows, self._recording = mask, rows, True
        try:
            with torch.no_grad():
                forward(batch)
        finally:
            self._recording = False
        counts = [len(self._calls.get(id(module), ())) for _, module in self._layers]
        if self._counts is None:
            self._start(counts)
        elif counts != self._counts:
            place = next(i for i, count in enumerate(counts) if count != self._counts[i])
            raise ValueError(
                f"{self._function}: layer {self._layers[place][0]!r} of {self.owner} ran {counts[place]} "
                f"times in a batch but {self._counts[place]} times in the first one"
            )
        found = [rows for _, module in self._layers for rows in self._calls.get(id(module), ())]
        self._calls.clear()
        return found

    def _start(self, counts: list[int]) -> None:
        silent = [name for (name, _), count in zip(self._layers, counts, strict=True) if count == 0]
        if silent and (not self._optional or len(silent) == len(counts)):
            which = ", ".join(map(repr, silent))
            raise ValueError(
                f"{self._function}: {'layers' if len(silent) > 1 else 'layer'} {which} of {self.owner} never "
                "ran in the forward pass of the first batch"
            )
        self._counts, self.left_out = counts, silent
        for (name, _), count in zip(self._layers, counts, strict=True):
            self.names += [name] if count == 1 else [f"{name}[{call}]" for call in range(count)]
