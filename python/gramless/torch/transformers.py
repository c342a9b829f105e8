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
    """A TrainerCallback that computes the CKA of every layer with its own activations at the start of
    training, on the same examples.

    After training, the attribute `watch` is the `gramless.torch.TrainingCKA`, with steps, layers, matrix and
    plot. The values are added to the trainer's `state.log_history` under "cka/" and the name of the layer.
    With `callback.log = trainer.log` the trainer logs them, to TensorBoard and the others of `report_to`.

    Parameters
    ----------
    batches : sequence of batches
        A few hundred fixed examples, as a list of batches for the model, such as dicts with input_ids and
        attention_mask. They are moved to the device of the model.
    every : int
        Values are computed whenever the global step is a multiple of it.
    **options
        Passed to `gramless.torch.TrainingCKA`: start, layers, kernel, estimator, pool, layout, forward and
        attention_mask.

    Raises
    ------
    ValueError
        If `every` is below 1; when training begins, if an option is not valid.
    TypeError
        If an option is unknown; when training begins, if an option has another type.

    Warns
    -----
    UserWarning
        If training resumes at a later step and there is no `start`.

    Examples
    --------
    >>> import torch
    >>> watching = TrainingCKACallback([{"input_ids": torch.tensor([[1, 2, 3]] * 8)}], every=50, pool="mean")
    >>> watching.watch is None  # until Trainer(..., callbacks=[watching]).train()
    True
    """

    log: Callable[[dict[str, float]], Any] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Create `watch`, which compares with the model as it is now unless there is an option `start`."""
        self._begin(model, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Log the values, if the global step has passed a multiple of `every`."""
        values = self._values(state.global_step)
        if values is None:
            return
        if self.log is not None:
            self.log(values)
        else:
            state.log_history.append({**values, "epoch": state.epoch, "step": state.global_step})
