"""Contrastive losses for autograd, torch.func and torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._derivatives import final_gradients, refuse_tangents
from ._operators import contrast_backward, contrast_forward, library
from ._vmap import one_by_one

torch.library.register_vmap("gramless::contrast_forward", one_by_one(contrast_forward), lib=library)
torch.library.register_vmap("gramless::contrast_backward", one_by_one(contrast_backward), lib=library)


class ContrastFunction(torch.autograd.Function):
    """(split, constants, numbers, labels, temperature or None, *anchors, *keys) -> (loss, saved).

    Constants and numbers: see `operands`.
    """

    @staticmethod
    def forward(
        split: int,
        constants: Any,
        numbers: Tensor,
        labels: Tensor | None,
        temperature: Tensor | None,
        *arrays: Tensor,
    ) -> tuple[Tensor, Tensor]:
        sides = arrays[:split], arrays[split:]
        loss, saved = contrast_forward(*sides, labels, temperature, *constants, numbers)
        return loss, saved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        split, constants, numbers, labels, temperature, *arrays = inputs
        saved = output[1]
        ctx.mark_non_differentiable(saved)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(saved, numbers, labels, temperature, *arrays)
        ctx.split, ctx.constants = split, constants

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * len(ctx.needs_input_grad)
        needed = ctx.needs_input_grad[3:]
        return (None, None, *contrast_gradients(ctx.split, ctx.constants, needed, grad, *ctx.saved_tensors))

    vmap = staticmethod(one_by_one(lambda *arguments: ContrastFunction.apply(*arguments)))


class ForwardModeContrast(ContrastFunction):
    """The same where forward mode is on; torch.compile refuses a Function that has a jvp."""

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        return refuse_tangents(ctx.constants[0])

    vmap = staticmethod(one_by_one(lambda *arguments: ForwardModeContrast.apply(*arguments)))


def contrast_gradients(
    split: int,
    constants: Any,
    needed: Sequence[bool],
    grad: Tensor,
    saved: Tensor,
    numbers: Tensor,
    labels: Tensor | None,
    temperature: Tensor | None,
    *arrays: Tensor,
) -> tuple[Tensor | None, ...]:
    """Gradients by numbers, labels, temperature, arrays; `needed`, from the labels on, says which."""
    wanted = (*needed[2:], needed[1])
    arguments = (split, constants, wanted, grad, saved, numbers, labels, temperature, *arrays)
    found = iter(final_gradients(_backward, constants[0], *arguments))
    grads = [next(found) if want else None for want in wanted]
    return (None, None, grads[-1], *grads[:-1])


def _backward(
    split: int,
    constants: Any,
    wanted: Sequence[bool],
    grad: Tensor,
    saved: Tensor,
    numbers: Tensor,
    labels: Tensor | None,
    temperature: Tensor | None,
    *arrays: Tensor,
) -> tuple[Tensor, ...]:
    grads = contrast_backward(
        arrays[:split], arrays[split:], labels, temperature, *constants, numbers, grad, saved, wanted
    )
    return tuple(grads)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    anchors, keys, labels, temperature, *constants, numbers = inputs
    ctx.split, ctx.constants = len(anchors), tuple(constants)
    ctx.save_for_backward(output[1], numbers, labels, temperature, *anchors, *keys)


def _differentiate(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    saved, numbers, labels, learned, *arrays = ctx.saved_tensors
    wanted = (*(x.is_floating_point() for x in arrays), learned is not None)
    needed = (False, wanted[-1], *wanted[:-1])
    more = saved, numbers, labels, learned, *arrays
    of_all = contrast_gradients(ctx.split, ctx.constants, needed, grad, *more)
    by_temperature, of_arrays = of_all[2], list(of_all[3:])
    sides = of_arrays[: ctx.split], of_arrays[ctx.split :]
    return (*sides, None, by_temperature, *(None for _ in ctx.constants), None)


# Where torch.compile traces torch.func.grad over torch.vmap it forgets the Function. The operator then
# refuses, instead of counting as a constant; called by itself it is differentiable.
torch.library.register_autograd(
    "gramless::contrast_forward", _differentiate, setup_context=_keep, lib=library
)
