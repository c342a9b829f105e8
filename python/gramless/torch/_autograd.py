"""One pair of operators for all problems, gramless::forward and gramless::backward, and its derivative.

An operator takes `Tensor[] inputs, str problem`. The text is a constant of a graph; values that may vary
between calls are tensors: arrays, labels, a temperature and, last, all numbers of the problem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from .._arrays import check_storage
from .._arrays.namespaces import Arrays, Wanted
from .._backends import backend_of
from .._problems.problem import Saved
from .._problems.text import labels_of, parted, problem_of
from .._progress import Report
from ._derivatives import refuse_second_derivative, refuse_tangents
from ._tensors import CPU, DTYPES, TENSORS, as_tensor, like, number, resolved

operators = torch.library.Library("gramless", "FRAGMENT")
operators.define("forward(Tensor[] inputs, str problem) -> Tensor[]")  # the value, then the saved tensors
operators.define(
    "backward(Tensor[] inputs, str problem, Tensor grad, Tensor[] saved, bool[] wanted) -> Tensor[]"
)
forward = torch.ops.gramless.forward.default
backward = torch.ops.gramless.backward.default


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def _text(fields: Any) -> str:
    return repr(fields)


def operands(problem: Any, inputs: Arrays, labels: Sequence[str | None] = ()) -> tuple[list[Tensor], str]:
    """(inputs, problem) as the operators take them; labels: the names of the inputs in errors."""
    fields, numbers = parted(problem)
    none = torch.empty(0, dtype=torch.float64, device=CPU)
    own = torch.stack([number(x) for x in numbers]) if numbers else none
    given = [x if isinstance(x, Tensor) else number(x).reshape(1) for x in inputs]  # see `_problem`
    return [*given, own], _text((*fields, tuple(labels)))


def _problem(text: str, inputs: Arrays) -> tuple[Any, Arrays]:
    """The problem and its inputs, from the arguments of an operator."""
    problem, own = problem_of(text, tuple(inputs[-1].tolist())), list(resolved(inputs[:-1]))
    if problem.arrays < len(own) and own[problem.arrays].ndim == 1:  # a temperature that was a plain number
        own[problem.arrays] = own[problem.arrays].item()
    for label, x in zip_longest(labels_of(text), own):
        if isinstance(x, Tensor):
            check_storage(problem.function, label or "an input", x)
    return problem, own


def computed(problem: Any, inputs: Arrays, keep: str, report: Report = None) -> tuple[Tensor, Saved]:
    """The value of a problem as a tensor, and the state that its forward saved."""
    inputs = resolved(inputs)
    backend = backend_of(TENSORS, inputs[0], problem.function)
    value, saved = problem.forward(backend, inputs, keep, report)
    return TENSORS.result(value, problem.dtype(TENSORS, inputs)), saved


def _forward(inputs: Arrays, text: str) -> list[Tensor]:
    value, saved = computed(*_problem(text, inputs), "traced")
    found = [value, *map(as_tensor, saved.arrays)]
    return [x.clone() if x._base is not None else x for x in found]  # outputs must not share memory


def _backward(inputs: Arrays, text: str, grad: Tensor, saved: Arrays, wanted: Wanted) -> list[Tensor]:
    problem, inputs = _problem(text, inputs)
    backend = backend_of(TENSORS, inputs[0], problem.function)
    own = Saved([*map(backend.placed, saved)]), grad, wanted[:-1]  # the numbers have no gradient
    return [x for x in derivatives(problem, inputs, *own) if x is not None]


def derivatives(problem: Any, inputs: Arrays, saved: Saved, grad: Tensor, wanted: Wanted) -> list[Any]:
    """The gradients with respect to the inputs of a problem; None where no gradient is needed."""
    backend = backend_of(TENSORS, inputs[0], problem.function)
    cotangent = TENSORS.cotangent(backend, grad, tuple(grad.shape))
    grads = problem.backward(backend, inputs, saved, cotangent, wanted)
    return [like(g, x) if want else None for g, x, want in zip(grads, inputs, wanted, strict=True)]


def _fake_forward(inputs: Arrays, text: str) -> list[Tensor]:
    problem, first = problem_of(text), inputs[0]
    value, saved = problem.shapes(TENSORS.on_device(first), [x.shape for x in inputs])
    name = problem.dtype(TENSORS, inputs)
    dtypes = name, *[problem.saved_dtype(i, name) for i in range(len(saved))]
    return [first.new_empty(s, dtype=DTYPES[d]) for s, d in zip((value, *saved), dtypes, strict=True)]


def _fake_backward(inputs: Arrays, text: str, grad: Tensor, saved: Arrays, wanted: Wanted) -> list[Tensor]:
    return [x.new_empty(x.shape) for x, want in zip(inputs, wanted, strict=True) if want]


def _pick(argument: Any, dim: Any, i: int) -> Any:
    if isinstance(argument, (list, tuple)) and isinstance(dim, (list, tuple)):
        return [_pick(a, d, i) for a, d in zip(argument, dim, strict=True)]
    return argument if dim is None else argument.select(dim, i)


def one_by_one(call: Callable[..., Any]) -> Callable[..., Any]:
    """The vmap rule of `call`, which returns a tuple or a list of tensors."""

    def rule(info: Any, dims: Any, *arguments: Any) -> tuple[Any, Any]:
        results = [call(*_pick(arguments, dims, i)) for i in range(info.batch_size)]
        kind: type = type(results[0])
        stacked: list[Tensor] = [torch.stack(values) for values in zip(*results, strict=True)]
        return kind(stacked), kind([0] * len(stacked))

    return rule


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
    """`Evaluate` in forward mode, where it raises; torch.compile does not support a Function with a jvp."""

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        return refuse_tangents(problem_of(ctx.text).function)

    vmap = staticmethod(one_by_one(lambda *arguments: EvaluateInForwardMode.apply(*arguments)))


class Gradients(torch.autograd.Function):
    """(problem, wanted, number of inputs, grad, *inputs, *saved) -> gradients, which have no derivative."""

    @staticmethod
    def forward(text: str, wanted: Wanted, count: int, grad: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return tuple(backward(rest[:count], text, grad, rest[count:], wanted))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.text = inputs[0]

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return refuse_second_derivative(problem_of(ctx.text).function)

    vmap = staticmethod(one_by_one(lambda *arguments: Gradients.apply(*arguments)))


def gradients(text: str, needed: Wanted, grad: Tensor, inputs: Arrays, saved: Arrays) -> list[Any]:
    """The gradients with respect to the inputs for which `needed` is true."""
    constants = (*_constants(text), len(needed) - 1)  # also the numbers of the problem
    wanted = tuple([bool(need) and i not in constants for i, need in enumerate(needed)])
    if torch.is_grad_enabled():
        found = iter(Gradients.apply(text, wanted, len(inputs), grad, *inputs, *saved))
    else:
        found = iter(backward(inputs, text, grad, saved, wanted))
    return [next(found) if want else None for want in wanted]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def _constants(text: str) -> tuple[int, ...]:
    return tuple(problem_of(text).constants())


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    ctx.text, ctx.count = inputs[1], len(inputs[0])
    ctx.save_for_backward(*inputs[0], *output[1:])


def _differentiate(ctx: Any, grads: Sequence[Tensor]) -> tuple[list[Tensor | None], None]:
    inputs, saved = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
    return gradients(ctx.text, ctx.needs_input_grad[0], grads[0], inputs, saved), None


# For direct calls of an operator, and for torch.func.grad over torch.vmap, in which torch.compile drops the
# Function: a second derivative then raises, instead of treating the operator as a constant.
torch.library.register_autograd("gramless::forward", _differentiate, setup_context=_keep, lib=operators)
