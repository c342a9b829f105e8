"""Gradients are known, their derivatives are not: who asks for one is told so, and does not get zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._vmap import one_by_one


def refuse_second_derivative(function: str) -> Any:
    """Raises: the kernels know first derivatives only."""
    raise NotImplementedError(f"{function}: has first derivatives only but a second one was asked for")


class Final(torch.autograd.Function):
    """(function, count, *gradients, *inputs) -> the gradients, not to be taken for constants."""

    @staticmethod
    def forward(ctx: Any, function: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.function = function
        return tuple(x.view_as(x) for x in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return refuse_second_derivative(ctx.function)


class Gradients(torch.autograd.Function):
    """(compute, function, *arguments) -> compute(*arguments), the same for gradients that are yet to come."""

    @staticmethod
    def forward(
        compute: Callable[..., tuple[Tensor, ...]], function: str, *arguments: Any
    ) -> tuple[Tensor, ...]:
        return compute(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.function = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return refuse_second_derivative(ctx.function)

    vmap = staticmethod(one_by_one(lambda *arguments: Gradients.apply(*arguments)))


def final_gradients(
    compute: Callable[..., tuple[Tensor, ...]], function: str, *arguments: Any
) -> tuple[Tensor, ...]:
    """compute(*arguments), as gradients that refuse to be differentiated where somebody might try."""
    if not torch.is_grad_enabled():
        return compute(*arguments)
    found: tuple[Tensor, ...] = Gradients.apply(compute, function, *arguments)
    return found
