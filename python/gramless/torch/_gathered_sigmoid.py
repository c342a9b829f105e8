"""The sigmoid loss of a batch that is distributed over processes.

Every process gathers the rows of all processes. Its loss is that of its own rows of a against all rows of b,
so that the average over processes is the loss of the whole batch. Each process computes the gradient of the
sum of all losses with respect to its own rows. The forward pass gathers rows, the backward pass nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._arrays import checks
from .._arrays.namespaces import Named
from .._backends import backend_of
from .._backends.values import SigmoidTask
from ._derivatives import FirstDerivatives, refuse_other_derivatives
from ._gather import all_gather, check_shards, rank
from ._namespace import TORCH
from ._tensors import compute_dtype, like


class _Found(NamedTuple):
    """The loss, its derivatives with respect to scale and bias, and the gradients of the own rows."""

    loss: float
    of_scale: float
    of_bias: float
    grads: list[Any]


def _of_own_rows(
    function: str, normalize: bool, scale: Tensor, bias: Tensor, a: Tensor, b: Tensor, wanted: bool
) -> _Found:
    backend, n = backend_of(TORCH, a, function), len(a)
    own, numbers = rank(), (backend.number(scale), backend.number(bias), normalize)
    every = [all_gather(x.detach().resolve_neg()) for x in (a, b)]
    all_a, all_b = (torch.cat([x for other, x in enumerate(parts) if other != own]) for parts in every)
    a, b = every[0][own], every[1][own]

    def pairs(x: Tensor, y: Tensor, first_positive: int, sides: list[bool]) -> tuple[Any, list[Any]]:
        weights = backend.full(len(x), 1 / n) if wanted else None
        task = SigmoidTask(x, y, *numbers, first_positive)
        found: tuple[Any, list[Any]] = backend.sigmoid_pairs(task, weights, [wanted and s for s in sides])
        return found

    sums, grads = pairs(a, b, 0, [True, True])
    others, (of_a, _) = pairs(a, all_b, -n, [True, False])  # all of these pairs are negative
    if wanted:
        grads[0] += of_a
        grads[1] += pairs(all_a, b, -len(all_a), [False, True])[1][1]
    loss, slope, slope_dot = (
        backend.total(own_sum + more) / n for own_sum, more in zip(sums, others, strict=True)
    )
    return _Found(loss, slope_dot, slope, grads)


class GatheredSigmoid(torch.autograd.Function):
    """(function, normalize, scale, bias, a, b) -> loss."""

    @staticmethod
    def forward(
        ctx: Any, function: str, normalize: bool, scale: Tensor, bias: Tensor, a: Tensor, b: Tensor
    ) -> Tensor:
        found = _of_own_rows(function, normalize, scale, bias, a, b, any(ctx.needs_input_grad))
        ctx.save_for_backward(scale, bias, a, b)
        ctx.function, ctx.found = function, found
        return torch.tensor(found.loss, dtype=compute_dtype([a, b]))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        inputs, factor = ctx.saved_tensors, grad.item()
        _, of_scale, of_bias, of_rows = ctx.found
        found = [of_scale * factor, of_bias * factor, *[g * factor for g in of_rows]]
        grads = tuple(like(g, x) for g, x in zip(found, inputs, strict=True))
        if torch.is_grad_enabled():
            grads = FirstDerivatives.apply(ctx.function, len(grads), *grads, grad, *inputs)
        return (None, None, *grads)


def gathered_sigmoid(
    function: str, named: Named, logit_scale: Any, logit_bias: Any, normalize: bool
) -> Tensor:
    """The loss of two sides for which rows i are a positive pair."""
    a, b = checks.pair(function, TORCH, named)
    scale = TORCH.scale(function, logit_scale, "logit_scale")
    bias = TORCH.scale(function, logit_bias, "logit_bias")
    refuse_other_derivatives(function, [a, b, scale, bias])
    also = "logit_bias", float(bias.detach())
    check_shards(function, [a, b], normalize=normalize, scale=scale, also=also)
    loss: Tensor = GatheredSigmoid.apply(function, normalize, scale, bias, a, b)
    return loss
