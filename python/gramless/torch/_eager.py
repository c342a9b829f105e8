"""The short way to the core, for plain tensors outside every transform: no dispatcher in between.

At a batch of 32 what lies around the kernels costs more than they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._contrast import ContrastFunction, ForwardModeContrast, contrast_gradients
from ._derivatives import in_forward_mode, refuse_forward_mode
from ._operators import contrast_forward, problem_of, saved_tensor, temperature_gradient
from ._options import Arguments, Options, operands
from ._tensors import is_plain

# Private to torch: where they are missing, the long way is taken.
_saved_tensor_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: True)


def seen_anew(x: Tensor) -> Tensor:
    """x itself, or for torch.compile a view of it.

    Its tracer takes an input of a function that torch.func.grad differentiates for a constant, but not what
    is made of one, and leaves out the autograd.Function of constants.
    """
    return x.view_as(x) if torch.compiler.is_compiling() else x


def is_differentiated(tensors: Sequence[Tensor]) -> bool:
    """Whether an operator has to go through its autograd.Function.

    Under torch.func a tensor may say that it requires no gradient and still get one; torch.compile's tracer
    knows, and cannot trace a Function none of whose inputs requires one.
    """
    if not torch.is_grad_enabled():
        return False
    return not torch.compiler.is_compiling() or any(x.requires_grad for x in tensors)


def has_jvp() -> bool:
    """Whether the Function to apply is the one that refuses forward mode in a sentence."""
    return in_forward_mode() and not torch.compiler.is_compiling()


def keeps() -> bool:
    """Whether a forward may leave more to its backward than the tensors it saves.

    It may not where no backward follows, or where hooks look after what is saved: those of checkpoints and
    of memory on other devices are there to save memory.
    """
    return torch.is_grad_enabled() and _saved_tensor_hooks(True) is None


class EagerContrast(torch.autograd.Function):
    """(keep, split, options, labels, temperature or None, *anchors, *keys) -> loss."""

    @staticmethod
    def forward(
        ctx: Any,
        keep: bool,
        split: int,
        options: Options,
        labels: Tensor | None,
        temperature: Tensor | None,
        *arrays: Tensor,
    ) -> Tensor:
        arguments = Arguments(arrays[:split], arrays[split:], labels, temperature, options)
        keep = keep and any(ctx.needs_input_grad)
        problem = problem_of(arguments, keep)
        loss, ctx.sums = problem.forward()
        ctx.save_for_backward(labels, temperature, *arrays)
        ctx.split, ctx.options, ctx.problem = split, options, problem if keep else None
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        labels, temperature, *arrays = ctx.saved_tensors
        _, *wanted = ctx.needs_input_grad
        problem, ctx.problem = ctx.problem, None  # a second backward begins anew
        if torch.is_grad_enabled():  # to be differentiated once more
            *constants, numbers = operands(ctx.options)
            more = saved_tensor(ctx.sums), numbers, labels, temperature, *arrays
            _, *grads = contrast_gradients(ctx.split, tuple(constants), wanted[2:], grad, *more)
            return (None, None, None, *grads)
        if problem is None:
            sides = arrays[: ctx.split], arrays[ctx.split :]
            problem = problem_of(Arguments(*sides, labels, temperature, ctx.options))
        grads, value = problem.backward(grad, ctx.sums, wanted[4:])
        by_temperature = temperature_gradient(temperature, value) if wanted[3] else None
        return (None, None, None, None, by_temperature, *grads)


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
        loss: Tensor = EagerContrast.apply(keeps(), len(anchors), options, labels, temperature, *arrays)
        return loss
    arrays = tuple(seen_anew(x) for x in arrays)
    temperature = None if temperature is None else seen_anew(temperature)
    followed = [*arrays, *([] if temperature is None else [temperature])]
    refuse_forward_mode(options.function, followed)
    if not is_differentiated(followed):
        sides = arrays[: len(anchors)], arrays[len(anchors) :]
        loss, _ = contrast_forward(*sides, labels, temperature, *operands(options))
        return loss
    *constants, numbers = operands(options)
    function = ForwardModeContrast if has_jvp() else ContrastFunction
    loss, _ = function.apply(len(anchors), tuple(constants), numbers, labels, temperature, *arrays)
    return loss
