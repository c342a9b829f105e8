"""The short way to the core, for plain tensors outside every transform: no dispatcher in between.

At a batch of 32 what lies around the kernels costs more than they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ._contrast import ContrastFunction, contrast_gradients
from ._operators import Options, Problem, contrast_forward

# Private to torch: where they are missing, the long way is taken.
_transforms = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_PLAIN = (Tensor, Parameter)


def is_plain(tensors: Sequence[Tensor]) -> bool:
    """Whether these are tensors with data, and nothing records or transforms what happens to them."""
    if torch.compiler.is_compiling() or _transforms() or _modes():
        return False
    return all(type(x) in _PLAIN for x in tensors)


class EagerContrast(torch.autograd.Function):
    """(split, options, labels, temperature or None, *anchors, *keys) -> loss."""

    @staticmethod
    def forward(
        ctx: Any,
        split: int,
        options: Options,
        labels: Tensor | None,
        temperature: Tensor | None,
        *arrays: Tensor,
    ) -> Tensor:
        loss, ctx.sums = Problem(arrays[:split], arrays[split:], labels, temperature, options).forward()
        ctx.save_for_backward(labels, temperature, *arrays)
        ctx.split, ctx.options = split, options
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        labels, temperature, *arrays = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():  # to be differentiated once more
            saved = torch.from_numpy(ctx.sums)
            return contrast_gradients(
                ctx.split, ctx.options, wanted, grad, saved, labels, temperature, *arrays
            )
        problem = Problem(arrays[: ctx.split], arrays[ctx.split :], labels, temperature, ctx.options)
        grads, value = problem.backward(grad, ctx.sums, wanted[4:])
        by_temperature = torch.full_like(temperature, value) if wanted[3] else None
        return (None, None, None, by_temperature, *grads)


def contrast(
    options: Options,
    anchors: Sequence[Tensor],
    keys: Sequence[Tensor] = (),
    labels: Tensor | None = None,
    temperature: Tensor | None = None,
) -> Tensor:
    """The loss of checked arguments: 0-d, or (rows,) where it is not reduced.

    The core reads every dtype tile by tile and computes in float32 or float64, so that autocast has nothing
    to cast here, neither the inputs nor the loss.
    """
    if is_plain(arrays := (*anchors, *keys)):
        loss: Tensor = EagerContrast.apply(len(anchors), options, labels, temperature, *arrays)
        return loss
    if not torch.is_grad_enabled():
        loss, _ = contrast_forward(anchors, keys, labels, temperature, *options)
        return loss
    loss, _ = ContrastFunction.apply(len(anchors), options, labels, temperature, *arrays)
    return loss
