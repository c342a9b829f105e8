"""Only first derivatives in reverse mode are implemented: second ones and forward mode raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._functorch import pyfunctorch
from torch.autograd import forward_ad


def refuse_second_derivative(function: str) -> Any:
    """Raises NotImplementedError: the kernels have first derivatives only."""
    raise NotImplementedError(f"{function}: has first derivatives only but a second one was asked for")


def in_forward_mode() -> bool:
    """Whether forward-mode differentiation is on: torch.func.jvp, jacfwd, hessian or a dual level."""
    return getattr(forward_ad, "_current_level", -1) >= 0  # private to torch


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def _traced_levels() -> int:
    """How many calls of torch.func.grad are inside each other where torch.compile traces."""
    stack: list[Any] = getattr(pyfunctorch, "retrieve_all_functorch_interpreters", list)()  # private to torch
    return sum(level.key() == torch._C._functorch.TransformType.Grad for level in stack)


def refuse_other_derivatives(function: str, tensors: Sequence[Tensor]) -> None:
    """Raises NotImplementedError where one of these has a tangent, which the kernels would lose, and where a
    gradient of a gradient is traced, which would be 0.
    """
    # torch.compile's tracer hides a tangent below torch.func.grad: what it traces is refused as a whole.
    compiling = torch.compiler.is_compiling()
    if in_forward_mode() and (
        compiling
        or any(x.is_floating_point() and forward_ad.unpack_dual(x).tangent is not None for x in tensors)
    ):
        refuse_tangents(function)
    if compiling and _traced_levels() > 1:
        refuse_second_derivative(function)


def refuse_inference(function: str, inputs: Sequence[Any]) -> None:
    """Raises RuntimeError for an inference tensor, unknown to autograd, beside one that needs a gradient."""
    for x in inputs:
        if isinstance(x, Tensor) and x.is_inference():
            raise RuntimeError(
                f"{function}: a tensor of shape {tuple(x.shape)} was made in torch.inference_mode(), so that "
                "autograd cannot save it for a gradient; clone() it outside, or make it in torch.no_grad()"
            )


def refuse_tangents(function: str) -> Any:
    """Raises NotImplementedError: the kernels have reverse-mode derivatives only."""
    raise NotImplementedError(
        f"{function}: has first derivatives only but a second one was asked for, or one in forward mode "
        "(torch.func.jvp, jacfwd, hessian)"
    )


class FirstDerivatives(torch.autograd.Function):
    """(function, count, *gradients, *inputs) -> the gradients, not to be taken for constants."""

    @staticmethod
    def forward(ctx: Any, function: str, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.function = function
        return tuple(x.view_as(x) for x in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return refuse_second_derivative(ctx.function)
