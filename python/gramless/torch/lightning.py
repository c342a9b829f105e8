"""`TrainingCKA` as a callback of Lightning's Trainer."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .watching import Watching

__all__ = ["TrainingCKACallback"]

_FOUND = [name for name in ("lightning", "pytorch_lightning") if find_spec(name) is not None]
if not _FOUND:
    raise ModuleNotFoundError("TrainingCKACallback: needs lightning: pip install lightning")
Callback: Any = import_module("lightning.pytorch" if _FOUND[0] == "lightning" else _FOUND[0]).Callback


class TrainingCKACallback(Watching, Callback):
    """A Lightning callback that computes the CKA of every layer with its own activations at the start of
    training, on the same examples.

    After training, the attribute `watch` is the `gramless.torch.TrainingCKA`, with steps, layers, matrix and
    plot. The trainer's loggers receive the values under "cka/" and the name of the layer. The layers are
    those of the LightningModule, whose forward is called.

    Parameters
    ----------
    batches : sequence of batches
        A few hundred fixed examples, as a list of batches. A batch is a tensor, a packed sequence, a tuple or
        list that starts with one of these, or a mapping, of which the module receives the entries that its
        forward accepts. Batches are moved to the device of the module.
    every : int
        Values are computed whenever the trainer's global step is a multiple of it.
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
    >>> watching = TrainingCKACallback([torch.randn(64, 8)], every=50, layers="encoder.*")
    >>> watching.watch is None  # until Trainer(callbacks=[watching]).fit(module, loader)
    True
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Create `watch`, which compares with the module as it is now unless there is an option `start`."""
        self._begin(pl_module, trainer.global_step)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the values, if the global step has passed a multiple of `every`."""
        values = self._values(trainer.global_step)
        if values is not None:
            for logger in trainer.loggers:
                logger.log_metrics(values, step=trainer.global_step)
