"""Minibatch CKA as a metric: the interface of torchmetrics, over several processes as well."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed

from ..kernels import KernelLike
from ..minibatch import MinibatchCKA
from .sweep import Weighting


class CKAMetric:
    """`MinibatchCKA` with tensors out, a value per batch, and one answer over all processes.

    kernel, weighting: as in `MinibatchCKA`.
    group: the process group whose batches count together; None is the default group, where
        torch.distributed is initialised. Each process updates with its own batches, and `compute`, which all
        must call, merges the accumulators in the order of the ranks: the same bits on every rank.

    Nguyen, Raghu and Kornblith 2021, arXiv:2010.15327.

    >>> x = torch.randn(64, 8, generator=torch.manual_seed(0))
    >>> metric = CKAMetric()
    >>> for batch in x.split(16):
    ...     of_batch = metric([batch, batch.tanh()])
    >>> of_batch.shape, metric.compute().shape
    (torch.Size([2, 2]), torch.Size([2, 2]))
    """

    def __init__(
        self, kernel: KernelLike = "linear", weighting: Weighting = "mean", group: Any = None
    ) -> None:
        self._accumulator = MinibatchCKA(kernel, weighting)
        self._group = group

    def __repr__(self) -> str:
        return f"CKAMetric(kernel={self._accumulator.kernel!r}, weighting={self._accumulator.weighting!r})"

    def update(self, xs: Any, ys: Any = None) -> None:
        """Add a batch: layers (n, ...) of one or two models, flattened; errors as `MinibatchCKA.update`."""
        self._accumulator.update(_flat(xs), None if ys is None else _flat(ys))

    def __call__(self, xs: Any, ys: Any = None) -> torch.Tensor:
        """Add a batch, and return the CKA of that batch alone."""
        batch = MinibatchCKA(self._accumulator.kernel, self._accumulator.weighting)
        batch.update(_flat(xs), None if ys is None else _flat(ys))
        self._accumulator.merge(batch)
        return torch.from_numpy(batch.compute())

    def compute(self) -> torch.Tensor:
        """CKA over all batches of all processes, (layers of xs, layers of ys), float64.

        Raises RuntimeError before the first update anywhere.
        """
        if not (distributed.is_available() and distributed.is_initialized()):
            return torch.from_numpy(self._accumulator.compute())
        states: list[Any] = [None] * distributed.get_world_size(self._group)
        distributed.all_gather_object(states, self._accumulator.state_dict(), self._group)
        total = MinibatchCKA(self._accumulator.kernel, self._accumulator.weighting)
        for state in states:
            of_rank = MinibatchCKA(total.kernel, total.weighting)
            of_rank.load_state_dict(state)
            total.merge(of_rank)
        return torch.from_numpy(total.compute())

    def reset(self) -> None:
        """Forget every batch of this process."""
        self._accumulator.reset()

    def merge(self, other: CKAMetric) -> None:
        """Add the batches that `other` has seen; errors as `MinibatchCKA.merge`."""
        if not isinstance(other, CKAMetric):
            raise TypeError(f"CKAMetric.merge: other must be a CKAMetric but is {other!r}")
        self._accumulator.merge(other._accumulator)

    merge_state = merge

    def state_dict(self) -> dict[str, Any]:
        """All that was accumulated here, for a checkpoint."""
        return self._accumulator.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned; errors as `MinibatchCKA.load_state_dict`."""
        self._accumulator.load_state_dict(state)


def _flat(layers: Any) -> list[torch.Tensor]:
    single = isinstance(layers, torch.Tensor) and layers.ndim == 2
    return [torch.as_tensor(x).detach().cpu().flatten(1) for x in ([layers] if single else layers)]
