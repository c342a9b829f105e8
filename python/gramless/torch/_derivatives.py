"""Only first derivatives by backward are implemented: a second one and forward mode raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ._vmap import one_by_one


def refuse_second_derivative(function: str) -> Any:
    """Raises: the kernels know first derivatives only."""
    raise NotImplementedError(f"{function}: has first derivatives only but a second one was asked for")


def in_forward_mode() -> bool:
    """Whether forward-mode differentiation is on: torch.func.jvp, jacfwd, hessian or a dual level."""
    return getattr(forward_ad, "_current_level", -1) >= 0  # private to torch


def refuse_forward_mode(function: str, tensors: Sequence[Tensor]) -> None:
    """Raises NotImplementedError where one of these has a tangent, which the kernels would lose."""
    if not in_forward_mode():
        return
    # torch.compile's tracer hides a tangent below torch.func.grad: what it traces is refused as a whole.
    if torch.compiler.is_compiling() or any(
        x.is_floating_point() and forward_ad.unpack_dual(x).tangent is not None for x in tensors
    ):
        refuse_tangents(function)


def refuse_tangents(function: str) -> Any:
    """Raises: the kernels know derivatives by backward only."""
    raise NotImplementedError(
        f"{function}: has first derivatives only but a second one was asked for, or one in forward mode "
        "(torch.func.jvp, jacfwd, hessian)"
    )


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
