"""Contrastive losses for autograd, torch.func and torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._operators import contrast_backward, contrast_forward, library
from ._vmap import one_by_one

torch.library.register_vmap("gramless::contrast_forward", one_by_one(contrast_forward), lib=library)
torch.library.register_vmap("gramless::contrast_backward", one_by_one(contrast_backward), lib=library)


def refuse_second_derivative(function: str) -> Any:
    """Raises: the kernels know first derivatives only."""
    raise NotImplementedError(f"{function}: has first derivatives only but a second one was asked for")


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
    run = _ContrastBackward.apply if torch.is_grad_enabled() else _backward
    found = iter(run(split, options, wanted, grad, saved, labels, temperature, *arrays))
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


class _ContrastBackward(torch.autograd.Function):
    """The gradients, which cannot be differentiated again."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, ...]:
        return _backward(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.function = inputs[1][0]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return refuse_second_derivative(ctx.function)

    vmap = staticmethod(one_by_one(lambda *arguments: _ContrastBackward.apply(*arguments)))
