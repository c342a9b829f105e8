"""The contrastive core as operators of torch, gramless::contrast_forward and contrast_backward.

One backward call serves all gradients. Which tensors are what is settled by the callers; autograd is in
`_contrast`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .._arrays import Floats
from ._device import DeviceProblem
from ._framework import on_device
from ._options import Arguments, compute_dtype, options_of
from ._problem import Problem

_OPTIONS = (  # see `operands`
    "str function, bool normalize, str kind, bool symmetric, str reduction, "
    "bool has_exclude_above, bool has_exclude_hardest, Tensor numbers"
)
_ARRAYS = "Tensor[] anchors, Tensor[] keys, Tensor? labels, Tensor? learned_temperature"

library = torch.library.Library("gramless", "FRAGMENT")
library.define(f"contrast_forward({_ARRAYS}, {_OPTIONS}) -> (Tensor loss, Tensor saved)")
library.define(
    f"contrast_backward({_ARRAYS}, {_OPTIONS}, Tensor grad, Tensor saved, bool[] wanted) -> Tensor[]"
)
contrast_forward = torch.ops.gramless.contrast_forward.default
contrast_backward = torch.ops.gramless.contrast_backward.default


AnyProblem: TypeAlias = Problem | DeviceProblem


def problem_of(arguments: Arguments, keep: bool = False) -> AnyProblem:
    """The arguments of an operator as those of whatever computes on their device; `keep` as in `Problem`."""
    if on_device(arguments.anchors[0]):
        return DeviceProblem(arguments)
    return Problem(arguments, keep)


def saved_tensor(saved: Floats | Tensor) -> Tensor:
    """What a forward leaves for its backward, as an operator returns it."""
    return saved if isinstance(saved, Tensor) else torch.from_numpy(saved)


def temperature_gradient(temperature: Tensor, value: float | Tensor) -> Tensor:
    """The derivative by a learned temperature, as it is: shape, dtype and device."""
    value = torch.as_tensor(value, dtype=torch.float64)  # torch.full_like refuses what is inf in float32
    return value.to(temperature).reshape(temperature.shape)


def _forward(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    labels: Tensor | None,
    learned_temperature: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    arguments = Arguments(anchors, keys, labels, learned_temperature, options_of(*options))
    loss, saved = problem_of(arguments).forward()
    return loss, saved_tensor(saved)


def _backward(
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor],
    labels: Tensor | None,
    learned_temperature: Tensor | None,
    *options_and_more: Any,
) -> list[Tensor]:
    *options, grad, saved, wanted = options_and_more
    problem = problem_of(Arguments(anchors, keys, labels, learned_temperature, options_of(*options)))
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
    (_, _, _, _, reduction, _, is_hardest, *_), first = options, anchors[0]
    rows, columns = (sum(x.shape[0] for x in side) for side in (anchors, keys))
    height = 6 if on_device(first) else 5 if is_hardest else 4
    shape = (rows,) if reduction == "none" else ()
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
