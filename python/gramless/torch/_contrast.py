"""Contrastive losses for autograd, torch.func and torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._derivatives import final_gradients
from ._operators import contrast_backward, contrast_forward, library
from ._vmap import one_by_one

torch.library.register_vmap("gramless::contrast_forward", one_by_one(contrast_forward), lib=library)
torch.library.register_vmap("gramless::contrast_backward", one_by_one(contrast_backward), lib=library)


class ContrastFunction(torch.autograd.Function):
    """(split, options, labels, temperature or None, *anchors, *keys) -> (loss, saved)."""

    @staticmethod
    def forward(
        split: int, options: Any, labels: Tensor | None, temperature: Tensor | None, *arrays: Tensor
    ) -> tuple[Tensor, Tensor]:
        loss, saved = contrast_forward(arrays[:split], arrays[split:], labels, temperature, *options)
        return loss, saved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        split, options, labels, temperature, *arrays = inputs
        saved = output[1]
        ctx.mark_non_differentiable(saved)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(saved, labels, temperature, *arrays)
        ctx.split, ctx.options = split, options

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * len(ctx.needs_input_grad)
        return contrast_gradients(ctx.split, ctx.options, ctx.needs_input_grad, grad, *ctx.saved_tensors)

    vmap = staticmethod(one_by_one(lambda *arguments: ContrastFunction.apply(*arguments)))


def contrast_gradients(
    split: int,
    options: Any,
    needed: Sequence[bool],
    grad: Tensor,
    saved: Tensor,
    labels: Tensor | None,
    temperature: Tensor | None,
    *arrays: Tensor,
) -> tuple[Tensor | None, ...]:
    """What a backward returns; `needed` says which."""
    wanted = (*needed[4:], needed[3])
    arguments = (split, options, wanted, grad, saved, labels, temperature, *arrays)
    found = iter(final_gradients(_backward, options[0], *arguments))
    grads = [next(found) if want else None for want in wanted]
    return (None, None, None, grads[-1], *grads[:-1])


def _backward(
    split: int,
    options: Any,
    wanted: Sequence[bool],
    grad: Tensor,
    saved: Tensor,
    labels: Tensor | None,
    temperature: Tensor | None,
    *arrays: Tensor,
) -> tuple[Tensor, ...]:
    grads = contrast_backward(
        arrays[:split], arrays[split:], labels, temperature, *options, grad, saved, wanted
    )
    return tuple(grads)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    anchors, keys, labels, temperature, *options = inputs
    ctx.split, ctx.options = len(anchors), options
    ctx.save_for_backward(output[1], labels, temperature, *anchors, *keys)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    saved, labels, temperature, *arrays = ctx.saved_tensors
    wanted = (*(x.is_floating_point() for x in arrays), temperature is not None)
    needed = (False, False, False, wanted[-1], *wanted[:-1])
    grads = contrast_gradients(ctx.split, ctx.options, needed, grad, saved, labels, temperature, *arrays)
    of_arrays = list(grads[4:])
    return (of_arrays[: ctx.split], of_arrays[ctx.split :], None, grads[3], *(None for _ in ctx.options))


# Where torch.compile traces torch.func.grad over torch.vmap it forgets the Function. The operator then
# refuses, instead of counting as a constant; called by itself it is differentiable.
torch.library.register_autograd(
    "gramless::contrast_forward", _differentiate, setup_context=_keep, lib=library
)
