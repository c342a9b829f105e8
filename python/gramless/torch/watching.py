"""The base of callbacks of training frameworks: a `TrainingCKA` that is created when training begins."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

from torch import nn

from .._counts import at_least
from .layers import bare
from .training import TrainingCKA

FUNCTION = "TrainingCKACallback"


class Watching:
    """A callback with the `TrainingCKA` of the model as `watch`, which is None before training begins."""

    watch: TrainingCKA | None = None

    def __init__(self, batches: Any, *, every: int = 100, **options: Any) -> None:
        super().__init__()
        self.every = at_least(1, FUNCTION, "every", every)
        try:
            inspect.signature(TrainingCKA).bind(None, batches, **options)
        except TypeError as error:
            raise TypeError(f"{FUNCTION}: {error}; see gramless.torch.TrainingCKA") from None
        self._batches, self._options, self._last = batches, options, 0
        self._model: nn.Module | None = None

    def _begin(self, model: nn.Module, step: int) -> None:
        """Create `watch` with the model as the start, unless it exists for this model already."""
        self._last = step
        if bare(model) is self._model:
            return
        if step > 0 and self._options.get("start") is None:
            warnings.warn(
                f"{FUNCTION}: training resumes at step {step}, so layers are compared with the model of that "
                "step; pass start= to compare with the first one",
                UserWarning,
                stacklevel=3,
            )
        self._model = bare(model)
        self.watch = TrainingCKA(model, self._batches, **self._options)

    def _values(self, step: int) -> dict[str, float] | None:
        """The values to log, by "cka/" and the name of the layer; None unless the step has passed a multiple
        of `every` since the last call (a batch is not always a step).
        """
        reached, self._last = step // self.every > self._last // self.every, step
        if not reached or self.watch is None:
            return None
        values = self.watch(step)
        return None if values is None else {f"cka/{name}": value for name, value in values.items()}
