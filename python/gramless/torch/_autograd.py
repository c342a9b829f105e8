"""One pair of operators for all problems, gramless::forward and backward, and its derivative.

An operator sees `Tensor[] inputs, str problem`. The text is a constant of whatever graph it is in; what may
vary from call to call is a tensor: arrays, labels, a temperature that is one and, last, all numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._arrays import check_storage
from .._backends import backend_of
from .._problems.text import parted, problem_of
from .._progress import Report
from ._derivatives import refuse_second_derivative, refuse_tangents
from ._tensors import CPU, DTYPES, TENSORS, as_tensor, like, resolved
from ._vmap import one_by_one

operators = torch.library.Library("gramless", "FRAGMENT")
operators.define("forward(Tensor[] inputs, str problem) -> Tensor[]")  # the value, then what is saved
operators.define(
    "backward(Tensor[] inputs, str problem, Tensor grad, Tensor[] saved, bool[] wanted) -> Tensor[]"
)
forward = torch.ops.gramless.forward.default
backward = torch.ops.gramless.backward.default


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def _text(fields: Any) -> str:
    return repr(fields)


def number(x: float) -> Tensor:
    """x as float64, 0-d. torch.compile lets a float vary between calls where a product with a tensor takes it
    up; as an argument of an operator, or through torch.tensor and torch.full, each value has its own graph.
    """
    return torch.ones((), dtype=torch.float64, device=CPU) * x


def operands(problem: Any, inputs: Sequence[Any]) -> tuple[list[Tensor], str]:
    """(inputs, problem) as the operators take them."""
    fields, numbers = parted(problem, *[x for x in inputs if not isinstance(x, Tensor)])
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    none = torch.empty(0, dtype=torch.float64, device=CPU)
    own = torch.stack([number(x) for x in numbers]) if numbers else none
    return [*tensors, own], _text(fields)


def _problem(text: str, inputs: Sequence[Tensor]) -> tuple[Any, Sequence[Any]]:
    """The problem, and its inputs."""
    problem, temperature = problem_of(text, tuple(inputs[-1].tolist()))
    own = list(resolved(inputs[:-1]))
    if temperature is not None:
        own.insert(problem.arrays, temperature)
    for x in own[: problem.arrays]:
        check_storage(problem.function, "an input", x)
    return problem, own


def computed(
    problem: Any, inputs: Sequence[Any], keep: str, report: Report = None
) -> tuple[Tensor, Any, Any]:
    """A problem's value as a tensor, what its forward saved, and what else it kept."""
    inputs = resolved(inputs)
    backend = backend_of(TENSORS, inputs[0], problem.function)
    value, saved, kept = problem.forward(backend, inputs, keep, report)
    return TENSORS.result(value, problem.dtype(TENSORS, inputs)), saved, kept


def _forward(inputs: Sequence[Tensor], text: str) -> list[Tensor]:
    value, saved, _ = computed(*_problem(text, inputs), "traced")
    found = [value, *map(as_tensor, saved)]
    return [x.clone() if x._base is not None else x for x in found]  # outputs share no memory


def _backward(
    inputs: Sequence[Tensor], text: str, grad: Tensor, saved: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor]:
    problem, inputs = _problem(text, inputs)
    backend = backend_of(TENSORS, inputs[0], problem.function)
    own = list(wanted[:-1])  # not of the numbers
    if len(own) < len(inputs):
        own.insert(problem.arrays, False)
    cotangent = TENSORS.cotangent(backend, grad, tuple(grad.shape))
    grads = problem.backward(backend, inputs, [*map(backend.placed, saved)], None, cotangent, own)
    return [like(g, x) for g, x, want in zip(grads, inputs, own, strict=True) if want]


def _fake_forward(inputs: Sequence[Tensor], text: str) -> list[Tensor]:
    (problem, _), first = problem_of(text), inputs[0]
    value, saved = problem.shapes(TENSORS.on_device(first), [x.shape for x in inputs])
    name = problem.dtype(TENSORS, inputs)
    return [
        first.new_empty(value, dtype=DTYPES[name]),
        *[
            first.new_empty(shape, dtype=DTYPES[problem.saved_dtype(i, name)])
            for i, shape in enumerate(saved)
        ],
    ]


def _fake_backward(
    inputs: Sequence[Tensor], text: str, grad: Tensor, saved: Sequence[Tensor], wanted: Sequence[bool]
) -> list[Tensor]:
    return [x.new_empty(x.shape) for x, want in zip(inputs, wanted, strict=True) if want]


for _key in ("CPU", "CUDA"):
    operators.impl("forward", _forward, _key)
    operators.impl("backward", _backward, _key)
for _name, _fake, _call in (("forward", _fake_forward, forward), ("backward", _fake_backward, backward)):
    torch.library.register_fake(f"gramless::{_name}", _fake, lib=operators)
    torch.library.register_vmap(f"gramless::{_name}", one_by_one(_call), lib=operators)


class Evaluate(torch.autograd.Function):
    """(problem, *inputs) -> (value, *saved)"""

    @staticmethod
    def forward(text: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(forward(inputs, text))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:], *output[1:])
        ctx.text, ctx.count = inputs[0], len(inputs) - 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * (1 + int(ctx.count))
        inputs, saved = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        return (None, *gradients(ctx.text, ctx.needs_input_grad[1:], grad, inputs, saved))

    vmap = staticmethod(one_by_one(lambda *arguments: Evaluate.apply(*arguments)))


class EvaluateInForwardMode(Evaluate):
    """The same where forward mode is on; torch.compile refuses a Function that has a jvp."""

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        return refuse_tangents(problem_of(ctx.text)[0].function)

    vmap = staticmethod(one_by_one(lambda *arguments: EvaluateInForwardMode.apply(*arguments)))


class Gradients(torch.autograd.Function):
    """(problem, wanted, number of inputs, grad, *inputs, *saved) -> gradients, which have no derivative."""

    @staticmethod
    def forward(
        text: str, wanted: Sequence[bool], count: int, grad: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        return tuple(backward(tensors[:count], text, grad, tensors[count:], wanted))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.text = inputs[0]

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return refuse_second_derivative(problem_of(ctx.text)[0].function)

    vmap = staticmethod(one_by_one(lambda *arguments: Gradients.apply(*arguments)))


def gradients(
    text: str, needed: Sequence[bool], grad: Tensor, inputs: Sequence[Tensor], saved: Sequence[Tensor]
) -> list[Tensor | None]:
    """What a backward returns for the inputs of an operator, `needed` says for which."""
    constants = (*_constants(text), len(needed) - 1)  # the problem's numbers too
    wanted = tuple([bool(need) and i not in constants for i, need in enumerate(needed)])
    if torch.is_grad_enabled():
        found = iter(Gradients.apply(text, wanted, len(inputs), grad, *inputs, *saved))
    else:
        found = iter(backward(inputs, text, grad, saved, wanted))
    return [next(found) if want else None for want in wanted]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def _constants(text: str) -> tuple[int, ...]:
    problem, temperature = problem_of(text)
    return tuple(i - (temperature is not None and i > problem.arrays) for i in problem.constants())


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    ctx.text, ctx.count = inputs[1], len(inputs[0])
    ctx.save_for_backward(*inputs[0], *output[1:])


def _differentiate(ctx: Any, grads: Sequence[Tensor]) -> tuple[list[Tensor | None], None]:
    inputs, saved = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    return gradients(ctx.text, ctx.needs_input_grad[0], grads[0], inputs, saved), None


# Where an operator is called by itself, and where torch.compile traces torch.func.grad over torch.vmap and
# forgets the Function: the operator then refuses, instead of counting as a constant.
torch.library.register_autograd("gramless::forward", _differentiate, setup_context=_keep, lib=operators)
