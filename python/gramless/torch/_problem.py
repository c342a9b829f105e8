"""The arguments of contrastive operators as those of the core, on the CPU: what a tensor means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import _core
from .._arrays import Floats
from .._contrast import NO_GROUPS, Groups, hardest_limits
from .._losses import as_groups
from ._options import Arguments, compute_dtype

_NAMES = "float32 float64 float16 bfloat16 bool int8 int16 int32 int64 uint8 uint16 uint32 uint64"
DTYPES = {getattr(torch, name): name for name in _NAMES.split()}


def described(x: Tensor) -> tuple[Any, ...]:
    """A two-dimensional tensor as the core reads it, in place."""
    size, (row_stride, column_stride) = x.element_size(), x.stride()
    return (x.data_ptr(), *x.shape, row_stride * size, column_stride * size, DTYPES[x.dtype])


def resolved(arguments: Arguments) -> list[Tensor]:
    """Anchors and keys with their negations carried out, which the core does not know of."""
    return [x.resolve_neg() if x.is_neg() else x for x in (*arguments.anchors, *arguments.keys)]


def reduced(losses: Floats, dtype: torch.dtype, reduction: str, count: int) -> Tensor:
    """The losses of anchors, or their sum, or their mean over `count`; those not counted are 0."""
    if reduction == "none":
        return torch.from_numpy(losses).to(dtype)
    total = float(np.add.reduce(losses))
    return torch.tensor(total / count if reduction == "mean" else total, dtype=dtype)


def row_weights(grad: Tensor, reduction: str, rows: int, count: int) -> Floats:  # (rows,)
    """The derivative by every anchor's loss, from that by what `reduced` returned."""
    if reduction == "none":
        return np.asarray(grad.double().contiguous().numpy())
    weights = np.empty(rows)
    weights.fill(grad.item() / (count if reduction == "mean" else 1))
    return weights


@lru_cache(maxsize=64)
def _instance_groups(anchor_rows: tuple[int, ...], key_rows: tuple[int, ...]) -> tuple[Groups, Groups]:
    """Row i of all anchors and of the first keys is one example; other keys belong to none."""
    of_anchors = [np.arange(rows, dtype=np.int64) for rows in anchor_rows]
    of_keys = [np.arange(key_rows[0], dtype=np.int64)] if key_rows else []
    of_keys += [np.full(rows, -1, np.int64) for rows in key_rows[1:]]
    return np.concatenate(of_anchors), np.concatenate(of_keys) if of_keys else NO_GROUPS


class Problem:
    """The arguments of an operator as those of the core.

    `keep`: a forward leaves its backward what makes it faster, as far as the limit of the workspace goes.
    """

    def __init__(self, arguments: Arguments, keep: bool = False) -> None:
        anchors, keys, labels, _, options = arguments
        self.arrays, self.options = resolved(arguments), options
        self.temperature = arguments.temperature()
        self.split = len(anchors)
        self._keep = keep
        self._kept: _core.ContrastPass | None = None
        self.rows = sum(x.shape[0] for x in anchors)
        self.counted: npt.NDArray[np.bool_] | None = None  # all
        if labels is not None:
            self.groups = as_groups(options.function, labels.numpy(), self.rows), NO_GROUPS
            self.counted = np.bincount(self.groups[0])[self.groups[0]] > 1
        else:
            self.groups = _instance_groups(
                tuple(x.shape[0] for x in anchors), tuple(x.shape[0] for x in keys)
            )

    def forward(self) -> tuple[Tensor, Floats]:
        """The loss, and what `backward` needs beside the arrays: sums and, where chosen here, limits."""
        options = self.options
        hardest = options.exclude_hardest is not None
        limits: Any = self._limits() if hardest else options.exclude_above
        arguments = (*self._arguments(limits), self._keep)
        losses, columns, saved, self._kept = _core.contrast_forward(*arguments)
        if columns is not None and options.symmetric:
            losses = losses / 2 + columns[: len(losses)] / 2
        if hardest:
            saved = np.vstack([saved, np.concatenate(limits)])
        return reduced(losses, compute_dtype(self.arrays), options.reduction, self._count()), saved

    def backward(self, grad: Tensor, saved: Any, wanted: Sequence[bool]) -> tuple[list[Tensor | None], float]:
        """Gradients by the arrays that are wanted, each in its array's dtype, and by the temperature."""
        limits: Any = self.options.exclude_above
        saved = saved.numpy() if isinstance(saved, Tensor) else saved
        if self.options.exclude_hardest is not None:
            limits, saved = (saved[4, : self.rows], saved[4, self.rows :]), np.ascontiguousarray(saved[:4])
        dtype = compute_dtype(self.arrays)
        grads = [
            torch.empty(x.shape, dtype=dtype) if want else None
            for x, want in zip(self.arrays, wanted, strict=False)
        ]
        targets = [None if g is None else described(g) for g in grads]
        arguments = saved, *self._weights(grad), targets
        if self._kept is not None:
            by_temperature = self._kept.backward(*arguments)
        else:
            whole = (*self._arguments(limits), *arguments, None)
            by_temperature = _core.contrast_backward(*whole)
        for i, x in enumerate(self.arrays):
            if x.dtype is not dtype and (g := grads[i]) is not None:
                grads[i] = g.to(x.dtype)
        return grads, by_temperature

    def _arguments(self, limits: Any) -> tuple[Any, ...]:
        every, options = [described(x) for x in self.arrays], self.options
        anchors, keys = every[: self.split], every[self.split :]
        return (anchors, keys, *self.groups, self.temperature, options.normalize, options.kind, limits)

    def _limits(self) -> tuple[Floats, Floats]:
        """What `exclude_hardest` means for these arrays: a limit for each anchor and each key."""
        anchors, keys, of_anchors, of_keys, *_ = self._arguments(None)
        options, fraction = self.options, self.options.exclude_hardest or 0
        groups = of_anchors, of_keys
        return hardest_limits(fraction, options.normalize, anchors, keys, groups, options.symmetric)

    def _count(self) -> int:
        return self.rows if self.counted is None else max(int(np.add.reduce(self.counted)), 1)

    def _weights(self, grad: Tensor) -> tuple[Floats, Floats | None]:
        """The derivative by every anchor's loss, and by every key's."""
        rows = row_weights(grad, self.options.reduction, self.rows, self._count())
        if not self.options.symmetric:
            return rows, None
        rows = rows / 2
        columns = np.zeros(sum(x.shape[0] for x in self.arrays[self.split :]))
        columns[: self.rows] = rows
        return rows, columns
