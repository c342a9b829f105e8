"""The contrastive core as operators of torch, gramless::contrast_forward and contrast_backward.

What a tensor means is settled here, and one backward call serves all gradients. Which tensors are what is
settled by the callers; autograd is in `_contrast`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import _core
from .._contrast import NO_GROUPS, Groups, hardest_limits, rows_as
from .._losses import as_groups, as_temperature
from .._sums import Floats
from ._device import DeviceProblem
from ._framework import on_device
from ._options import Options, compute_dtype

_NAMES = "float32 float64 float16 bfloat16 bool int8 int16 int32 int64 uint8 uint16 uint32 uint64"
DTYPES = {getattr(torch, name): name for name in _NAMES.split()}


_OPTIONS = (
    "str function, float temperature, bool normalize, str kind, bool symmetric, str reduction, "
    "float? exclude_above, float? exclude_hardest"
)
_ARRAYS = "Tensor[] anchors, Tensor[] keys, Tensor? labels, Tensor? learned_temperature"

library = torch.library.Library("gramless", "FRAGMENT")
library.define(f"contrast_forward({_ARRAYS}, {_OPTIONS}) -> (Tensor loss, Tensor saved)")
library.define(
    f"contrast_backward({_ARRAYS}, {_OPTIONS}, Tensor grad, Tensor saved, bool[] wanted) -> Tensor[]"
)
contrast_forward = torch.ops.gramless.contrast_forward.default
contrast_backward = torch.ops.gramless.contrast_backward.default


def described(x: Tensor) -> tuple[Any, ...]:
    """A two-dimensional tensor as the core reads it, in place."""
    size, (row_stride, column_stride) = x.element_size(), x.stride()
    return (x.data_ptr(), *x.shape, row_stride * size, column_stride * size, DTYPES[x.dtype])


@lru_cache(maxsize=64)
def _instance_groups(anchor_rows: tuple[int, ...], key_rows: tuple[int, ...]) -> tuple[Groups, Groups]:
    """Row i of all anchors and of the first keys is one example; other keys belong to none."""
    of_anchors = [np.arange(rows, dtype=np.int64) for rows in anchor_rows]
    of_keys = [np.arange(key_rows[0], dtype=np.int64)] if key_rows else []
    of_keys += [np.full(rows, -1, np.int64) for rows in key_rows[1:]]
    return np.concatenate(of_anchors), np.concatenate(of_keys) if of_keys else NO_GROUPS


class Problem:
    """The arguments of an operator as those of the core."""

    def __init__(
        self,
        anchors: Sequence[Tensor],
        keys: Sequence[Tensor],
        labels: Tensor | None,
        learned_temperature: Tensor | None,
        options: Options,
    ) -> None:
        self.arrays = [x.resolve_neg() if x.is_neg() else x for x in (*anchors, *keys)]
        self.options = options
        temperature = options.temperature if learned_temperature is None else learned_temperature.item()
        self.temperature = as_temperature(options.function, temperature)
        self.split = len(anchors)
        self.rows = sum(x.shape[0] for x in anchors)
        self.counted: npt.NDArray[np.bool_] | None = None  # all
        if labels is not None:
            self.groups = as_groups(options.function, labels.numpy(), self.rows), NO_GROUPS
            self.counted = np.bincount(self.groups[0])[self.groups[0]] > 1
        else:
            self.groups = _instance_groups(
                tuple(x.shape[0] for x in anchors), tuple(x.shape[0] for x in keys)
            )

    def arguments(self, limits: Any) -> tuple[Any, ...]:
        every, options = [described(x) for x in self.arrays], self.options
        anchors, keys = every[: self.split], every[self.split :]
        return (anchors, keys, *self.groups, self.temperature, options.normalize, options.kind, limits)

    def forward(self) -> tuple[Tensor, Floats]:
        """The loss, and what `backward` needs beside the arrays: sums and, where chosen here, limits."""
        options = self.options
        hardest = options.exclude_hardest is not None
        limits: Any = self._limits() if hardest else options.exclude_above
        losses, columns, saved = _core.contrast_forward(*self._arguments(limits))
        if columns is not None and options.symmetric:
            losses = (losses + columns[: len(losses)]) / 2
        if hardest:
            saved = np.vstack([saved, np.concatenate(limits)])
        return self._reduced(losses), saved

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
        arguments = (*self._arguments(limits), saved, *self._weights(grad), targets, None)
        by_temperature = _core.contrast_backward(*arguments)
        for i, x in enumerate(self.arrays):
            if x.dtype is not dtype and (g := grads[i]) is not None:
                grads[i] = g.to(x.dtype)
        return grads, by_temperature

    def _arguments(self, limits: Any) -> tuple[Any, ...]:
        every, options = [described(x) for x in self.arrays], self.options
        anchors, keys = every[: self.split], every[self.split :]
        return (anchors, keys, *self.groups, self.temperature, options.normalize, options.kind, limits)

    def _limits(self) -> Any:
        """What `exclude_hardest` means for these arrays: a limit for each anchor and each key."""
        options, (of_anchors, of_keys) = self.options, self.groups
        dtype = np.float64 if compute_dtype(self.arrays) is torch.float64 else np.float32
        sides = self.arrays[: self.split], self.arrays[self.split :]
        rows = [rows_as(side, options.normalize, dtype) for side in sides if side]
        fraction: Any = options.exclude_hardest
        if len(rows) == 1:
            return hardest_limits(fraction, rows[0], rows[0], of_anchors, of_anchors, True), np.empty(0)
        n, key_limits = self.rows, np.full(len(rows[1]), np.inf)
        if options.symmetric:
            key_limits[:n] = hardest_limits(fraction, rows[1][:n], rows[0], of_anchors, of_anchors, False)
        return hardest_limits(fraction, rows[0], rows[1], of_anchors, of_keys, False), key_limits

    def _reduced(self, losses: Floats) -> Tensor:
        dtype, reduction = compute_dtype(self.arrays), self.options.reduction
        if reduction == "none":
            return torch.from_numpy(losses).to(dtype)
        total = float(np.add.reduce(losses))  # those not counted are 0
        return torch.tensor(total / self._count() if reduction == "mean" else total, dtype=dtype)

    def _count(self) -> int:
        return self.rows if self.counted is None else max(int(np.add.reduce(self.counted)), 1)

    def _weights(self, grad: Tensor) -> tuple[Floats, Floats | None]:
        """The derivative by every anchor's loss, and by every key's."""
        reduction = self.options.reduction
        if reduction == "none":
            rows = grad.double().contiguous().numpy()
        else:
            rows = np.empty(self.rows)
            rows.fill(grad.item() / (self._count() if reduction == "mean" else 1))
        if not self.options.symmetric:
            return rows, None
        rows = rows / 2
        columns = np.zeros(sum(x.shape[0] for x in self.arrays[self.split :]))
        columns[: self.rows] = rows
        return rows, columns


def problem_of(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    labels: Tensor | None,
    learned_temperature: Tensor | None,
    options: Options,
) -> Problem | DeviceProblem:
    """The arguments of an operator as those of whatever computes on their device."""
    kind = DeviceProblem if on_device(anchors[0]) else Problem
    return kind(anchors, keys, labels, learned_temperature, options)


def saved_tensor(saved: Floats | Tensor) -> Tensor:
    """What a forward leaves for its backward, as an operator returns it."""
    return saved if isinstance(saved, Tensor) else torch.from_numpy(saved)


def temperature_gradient(temperature: Tensor, value: float | Tensor) -> Tensor:
    """The derivative by a learned temperature, as it is: shape, dtype and device."""
    if isinstance(value, Tensor):
        return value.to(temperature).reshape(temperature.shape)
    return torch.full_like(temperature, value)


def _forward(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    labels: Tensor | None,
    learned_temperature: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    loss, saved = problem_of(anchors, keys, labels, learned_temperature, Options(*options)).forward()
    return loss, saved_tensor(saved)


def _backward(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    labels: Tensor | None,
    learned_temperature: Tensor | None,
    *options_and_more: Any,
) -> list[Tensor]:
    *options, grad, saved, wanted = options_and_more
    problem = problem_of(anchors, keys, labels, learned_temperature, Options(*options))
    grads, by_temperature = problem.backward(grad, saved, wanted)
    found = [g for g in grads if g is not None]
    if learned_temperature is not None and wanted[-1]:
        found.append(temperature_gradient(learned_temperature, by_temperature))
    return found


def _fake_forward(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    labels: Tensor | None,
    learned_temperature: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    chosen, first = Options(*options), anchors[0]
    rows, columns = (sum(x.shape[0] for x in side) for side in (anchors, keys))
    shape = (rows,) if chosen.reduction == "none" else ()
    height = 4 if chosen.exclude_hardest is None and not on_device(first) else 5
    loss = first.new_empty(shape, dtype=compute_dtype([*anchors, *keys]))
    return loss, first.new_empty((height, rows + columns), dtype=torch.float64)


def _fake_backward(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    labels: Tensor | None,
    learned_temperature: Tensor | None,
    *options_and_more: Any,
) -> list[Tensor]:
    wanted, arrays = options_and_more[-1], (*anchors, *keys)
    found = [x.new_empty(x.shape) for x, want in zip(arrays, wanted, strict=False) if want]
    if learned_temperature is not None and wanted[-1]:
        found.append(torch.empty_like(learned_temperature))
    return found


for _key in ("CPU", "CUDA"):
    library.impl("contrast_forward", _forward, _key)
    library.impl("contrast_backward", _backward, _key)
torch.library.register_fake("gramless::contrast_forward", _fake_forward, lib=library)
torch.library.register_fake("gramless::contrast_backward", _fake_backward, lib=library)
