"""`TrainingCKA` as a callback of Hugging Face's Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    needs = "TrainingCKACallback: needs transformers: pip install transformers"
    raise ModuleNotFoundError(needs) from error

from .watching import Watching

__all__ = ["TrainingCKACallback"]


class TrainingCKACallback(Watching, TrainerCallback):
    """A TrainerCallback: CKA of every layer with its own state when training began, on the same examples.

    After training `watch` is the `gramless.torch.TrainingCKA`, with steps, layers, matrix and plot. Values go
    into the trainer's `state.log_history`, under "cka/" and the layer's name. With `callback.log =
    trainer.log` they go through the trainer, and so to TensorBoard and the others of `report_to` as well.

    Parameters
    ----------
    batches
        The examples to look at, kept, a few hundred: a list of batches as the model takes them, such as dicts
        with input_ids and attention_mask. They are moved to where the model is.
    every : int
        Values are taken whenever the global step reaches a multiple of it.
    options
        Those of `gramless.torch.TrainingCKA`: start, layers, kernel, estimator, pool, layout, forward,
        attention_mask.

    Raises
    ------
    ValueError
        For `every` below 1; when training begins, as `TrainingCKA`.
    TypeError
        For options of another name; when training begins, as `TrainingCKA`.

    Warns
    -----
    UserWarning
        Where training resumes at a later step and there is no `start`.

    Examples
    --------
    >>> import torch
    >>> watching = TrainingCKACallback([{"input_ids": torch.tensor([[1, 2, 3]] * 8)}], every=50, pool="mean")
    >>> watching.watch is None  # until Trainer(..., callbacks=[watching]).train()
    True
    """

    log: Callable[[dict[str, float]], Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        self._begin(model, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        values = self._values(state.global_step)
        if values is None:
            return
        if self.log is not None:
            self.log(values)
        else:
            state.log_history.append({**values, "epoch": state.epoch, "step": state.global_step})
