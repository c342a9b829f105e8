"""SupCon's loss without some of its rows as an operator of torch, gramless::sup_con_without.

How many rows are left depends on values, and torch.compile ends a graph there: the operator has the shapes of
all rows, and takes rows out where these are known.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._derivatives import final_gradients
from ._eager import contrast
from ._operators import library
from ._options import compute_dtype, number
from .functional import loss_options

_ARGUMENTS = (
    "Tensor z, Tensor labels, Tensor ignored, Tensor temperature, bool is_learned, Tensor? exclude_above, "
    "Tensor? exclude_hardest, bool normalize, str reduction, str function"
)
library.define(f"sup_con_without({_ARGUMENTS}) -> Tensor")
library.define(f"sup_con_without_backward({_ARGUMENTS}, Tensor grad) -> (Tensor of_z, Tensor of_temperature)")
_forward_operator = torch.ops.gramless.sup_con_without.default
_backward_operator = torch.ops.gramless.sup_con_without_backward.default


def sup_con_without(
    z: Tensor,
    labels: Tensor,
    ignored: Tensor,
    temperature: Any,
    exclude_above: float | None,
    exclude_hardest: float | None,
    normalize: bool,
    reduction: str,
    function: str,
) -> Tensor:
    """The loss of the rows that are not ignored; with reduction "none" ignored rows have 0."""
    learned = isinstance(temperature, Tensor)
    given = temperature if learned else number(temperature)
    above, hardest = (None if x is None else number(x) for x in (exclude_above, exclude_hardest))
    rest = learned, above, hardest, normalize, reduction, function
    found: Tensor = _forward_operator(z, labels, ignored, given, *rest)
    return found


def _loss(
    rows: Tensor,
    labels: Tensor,
    temperature: Tensor,
    is_learned: bool,
    exclude_above: Tensor | None,
    exclude_hardest: Tensor | None,
    *others: Any,
) -> Tensor:
    """Of the rows that are left."""
    normalize, reduction, function = others
    limits = [None if x is None else x.item() for x in (exclude_above, exclude_hardest)]
    value = temperature if is_learned else temperature.item()
    options, learned = loss_options(function, value, normalize, "softmax", reduction, False, *limits)
    return contrast(options, [rows], labels=labels, temperature=learned)


def _forward(z: Tensor, labels: Tensor, ignored: Tensor, *options: Any) -> Tensor:
    reduction, kept = options[-2], ignored.logical_not().nonzero()[:, 0]
    found = z.new_zeros(_shape(z, reduction), dtype=compute_dtype([z]))
    if kept.shape[0] == 0:
        return found
    loss = _loss(z.detach()[kept], labels[kept], *options).detach()
    return loss.clone() if reduction != "none" else found.index_copy(0, kept, loss)


def _backward(
    z: Tensor, labels: Tensor, ignored: Tensor, temperature: Tensor, *options_and_grad: Any
) -> tuple[Tensor, Tensor]:
    *options, grad = options_and_grad
    kept = ignored.logical_not().nonzero()[:, 0]
    of_z, of_temperature = torch.zeros_like(z), torch.zeros_like(temperature)
    if kept.shape[0] == 0:
        return of_z, of_temperature
    with torch.enable_grad():
        rows = z.detach()[kept].requires_grad_()
        wanted = [rows]
        if options[0]:
            temperature = temperature.detach().requires_grad_()
            wanted.append(temperature)
        loss = _loss(rows, labels[kept], temperature, *options)
    of_rows, *of_learned = torch.autograd.grad(loss, wanted, grad if loss.ndim == 0 else grad[kept])
    return of_z.index_copy(0, kept, of_rows), of_learned[0] if of_learned else of_temperature


def _shape(z: Tensor, reduction: str) -> tuple[int, ...]:
    return (z.shape[0],) if reduction == "none" else ()


def _fake_forward(z: Tensor, *options: Any) -> Tensor:
    return z.new_empty(_shape(z, options[-2]), dtype=compute_dtype([z]))


def _fake_backward(
    z: Tensor, labels: Tensor, ignored: Tensor, temperature: Tensor, *options: Any
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(z), torch.empty_like(temperature)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    z, labels, ignored, temperature, is_learned, above, hardest, *ctx.constants = inputs
    ctx.is_learned = is_learned
    ctx.save_for_backward(z, labels, ignored, temperature, above, hardest)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    *arrays, above, hardest = ctx.saved_tensors
    arguments = *arrays, ctx.is_learned, above, hardest, *ctx.constants, grad
    of_z, of_temperature = final_gradients(_backward_operator, ctx.constants[-1], *arguments)
    learned = of_temperature if ctx.is_learned else None
    return (of_z, None, None, learned, *(None for _ in range(6)))


for _key in ("CPU", "CUDA"):
    library.impl("sup_con_without", _forward, _key)
    library.impl("sup_con_without_backward", _backward, _key)
torch.library.register_fake("gramless::sup_con_without", _fake_forward, lib=library)
torch.library.register_fake("gramless::sup_con_without_backward", _fake_backward, lib=library)
torch.library.register_autograd("gramless::sup_con_without", _differentiate, setup_context=_keep, lib=library)
