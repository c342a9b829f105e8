"""The library of tensors, which evaluates problems so that autograd, compilers and transforms record them.

`gramless._arrays.namespaces` loads this module when a tensor is first seen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _arrays
from .._arrays.libraries import register
from .._evaluate import Call
from .._problems.problem import Saved
from .._progress import Report
from ._autograd import Evaluate, EvaluateInForwardMode, computed, derivatives, forward, gradients, operands
from ._derivatives import in_forward_mode, refuse_inference, refuse_other_derivatives
from ._followed import check_fakes, is_plain, needs_autograd
from ._ranks import Ranks
from ._tensors import Tensors, as_tensor, resolved

_saved_tensor_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", lambda _: True)


class Torch(Tensors):
    """The library of tensors, with the evaluation of problems."""

    def evaluate(self, call: Call) -> Tensor:
        """The value of a call. Plain tensors bypass torch's dispatcher, because its overhead exceeds the time
        of the kernels at a batch of 32.
        """
        _, problem, inputs, _, report, *_ = call
        for i in problem.constants():
            if isinstance(inputs[i], Tensor) and inputs[i].requires_grad:
                inputs = (*inputs[:i], inputs[i].detach(), *inputs[i + 1 :])
        if is_plain(inputs):
            if not needs_autograd(inputs):
                return computed(problem, inputs, "", report)[0]
            try:
                return Eager.apply(problem, report, *inputs)  # type: ignore[no-any-return]
            except RuntimeError:
                refuse_inference(problem.function, inputs)
                raise
        check_fakes(problem.function, inputs)
        refuse_other_derivatives(problem.function, [x for x in inputs if isinstance(x, Tensor)])
        compiling = torch.compiler.is_compiling()
        if compiling:
            # The tracer treats an input of torch.func.grad as a constant, but not a view of it.
            inputs = tuple([x.view_as(x) if isinstance(x, Tensor) else x for x in inputs])
        # In torch.func a tensor with requires_grad=False may still get a gradient.
        differentiates = torch.is_grad_enabled() and (not compiling or needs_autograd(inputs))
        problem = problem.differentiated() if differentiates else problem
        tensors, text = operands(problem, inputs, call.called)
        if not differentiates:
            return forward(tensors, text)[0]  # type: ignore[no-any-return]
        function = EvaluateInForwardMode if in_forward_mode() and not compiling else Evaluate
        return function.apply(text, *tensors)[0]  # type: ignore[no-any-return]

    def processes(self, function: str, group: Any) -> Ranks:
        """The processes of a group, which share a sweep."""
        return Ranks(function, group)


class Eager(torch.autograd.Function):
    """(problem, progress, *inputs) -> value. The inputs are plain tensors; a temperature may be a number."""

    @staticmethod
    def forward(ctx: Any, problem: Any, report: Report, *inputs: Any) -> Tensor:
        # Hooks on saved tensors (activation checkpoints, offloading) save memory, so that no tiles are kept.
        keep = "tiles" if _saved_tensor_hooks(True) is None else "sums"
        value, ctx.saved = computed(problem, inputs, keep, report)
        ctx.problem, ctx.number, at = problem, None, problem.arrays
        if at < len(inputs) and not isinstance(inputs[at], Tensor):
            ctx.number, inputs = inputs[at], (*inputs[:at], None, *inputs[at + 1 :])
        ctx.save_for_backward(*inputs)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        problem, wanted = ctx.problem, ctx.needs_input_grad[2:]
        inputs = [*ctx.saved_tensors]
        if ctx.number is not None:
            inputs[problem.arrays] = ctx.number
        if torch.is_grad_enabled():  # create_graph=True
            tensors, text = operands(problem, inputs)
            saved = [as_tensor(x) for x in ctx.saved.arrays]
            return (None, None, *gradients(text, (*wanted, False), grad, tensors, saved)[:-1])
        own, ctx.saved = ctx.saved, Saved(ctx.saved.arrays)  # a second backward pass recomputes the tiles
        given = inputs if own.kept is not None else resolved(inputs)
        constants = problem.constants()
        asked = [want and i not in constants for i, want in enumerate(wanted)] if constants else wanted
        return (None, None, *derivatives(problem, given, own, grad, asked))


_arrays.tensors = TORCH = Torch()
register(Tensor, TORCH)
register(torch.nn.Parameter, TORCH)
