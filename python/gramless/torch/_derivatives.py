"""Only first derivatives in reverse mode are implemented: second derivatives and forward mode raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._functorch import pyfunctorch
from torch.autograd import forward_ad


def refuse_second_derivative(function: str) -> Any:
    """Raise NotImplementedError, because only first derivatives are implemented."""
    raise NotImplementedError(
        f"{function}: a second derivative was requested, but only first derivatives are implemented"
    )


def in_forward_mode() -> bool:
    """Whether forward-mode differentiation is on: torch.func.jvp, jacfwd, hessian or a dual level."""
    return getattr(forward_ad, "_current_level", -1) >= 0  # private to torch


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def _traced_levels() -> int:
    """The number of nested calls of torch.func.grad that torch.compile is tracing."""
    stack: list[Any] = getattr(pyfunctorch, "retrieve_all_functorch_interpreters", list)()  # private to torch
    return sum(level.key() == torch._C._functorch.TransformType.Grad for level in stack)


def refuse_other_derivatives(function: str, tensors: Sequence[Tensor]) -> None:
    """Raise NotImplementedError if a tensor has a tangent, which the kernels would drop, or if a gradient of
    a gradient is traced, which would be 0.
    """
    # torch.compile hides a tangent inside torch.func.grad, so that forward mode raises whenever it traces.
    compiling = torch.compiler.is_compiling()
    if in_forward_mode() and (
        compiling
        or any(x.is_floating_point() and forward_ad.unpack_dual(x).tangent is not None for x in tensors)
    ):
        refuse_tangents(function)
    if compiling and _traced_levels() > 1:
        refuse_second_derivative(function)


def refuse_inference(function: str, inputs: Sequence[Any]) -> None:
    """Raise RuntimeError for an inference tensor, which autograd cannot save for a gradient."""
    for x in inputs:
        if isinstance(x, Tensor) and x.is_inference():
            raise RuntimeError(
                f"{function}: a tensor of shape {tuple(x.shape)} was created in torch.inference_mode(), so "
                "that autograd cannot save it for a gradient; clone() it outside, or create it in "
                "torch.no_grad()"
            )


def refuse_tangents(function: str) -> Any:
    """Raise NotImplementedError, because only first derivatives in reverse mode are implemented."""
    raise NotImplementedError(
        f"{function}: a second derivative was requested, or one in forward mode (torch.func.jvp, jacfwd, "
        "hessian), but only first derivatives in reverse mode are implemented"
    )


class FirstDerivatives(torch.autograd.Function):
    """(function, count, *gradients, *inputs) -> the gradients; differentiating them raises."""

    @staticmethod
    def forward(ctx: Any, function: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.function = function
        return tuple(x.view_as(x) for x in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return refuse_second_derivative(ctx.function)
