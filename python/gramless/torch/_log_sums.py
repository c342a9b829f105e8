"""MoCo's and SupCon's losses of tensors, with masks and ignored rows; documented in `gramless`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._losses import ContrastOptions, as_reduction, check_mask, check_positives, check_queue
from ._check import check_array, check_columns, check_labels, check_rows, check_temperature
from ._eager import contrast
from ._framework import on_device
from ._ignored_rows import sup_con_without
from ._options import compute_dtype
from .functional import loss_options, row_log_sum_exp, unit_rows


def _rows(x: Tensor, normalize: bool, dtype: torch.dtype) -> Tensor:
    return unit_rows(x, dtype) if normalize else x.to(dtype)


def _reduced(losses: Tensor, reduction: str, counted: Tensor | None = None) -> Tensor:
    """The losses (n,), or their sum, or their mean over those that are counted."""
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    return total / (losses.shape[0] if counted is None else counted.sum().clamp(min=1))


def moco(
    q: Any,
    k: Any,
    queue: Any,
    temperature: Any,
    normalize: bool = True,
    reduction: str = "mean",
    function: str = "moco",
) -> Tensor:
    """`gramless.moco` of tensors."""
    named = {"q": q, "k": k, "queue": queue}
    q, k, queue = (check_array(function, name, x) for name, x in named.items())
    check_queue(function, q.shape[1], tuple(queue.shape))
    check_columns(function, "q", q, "queue", queue)
    check_columns(function, "q", q, "k", k)
    check_rows(function, "q", q, "k", k)
    check_temperature(function, temperature)
    as_reduction(function, reduction)
    dtype = compute_dtype([q, k, queue])
    with torch.autocast(q.device.type, enabled=False):
        log_sums = row_log_sum_exp(q, queue.detach(), temperature, normalize, function=function).to(dtype)
        z_q, z_k = _rows(q, normalize, dtype), _rows(k, normalize, dtype)
        odds = log_sums - (z_q * z_k).sum(1) / temperature
        return _reduced(torch.nn.functional.softplus(odds, threshold=50), reduction)


def moco_value_and_grad(
    q: Any, k: Any, queue: Any, options: ContrastOptions, reduction: str
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """`gramless.moco_value_and_grad` of tensors."""
    function = "moco_value_and_grad"
    inputs = [check_array(function, name, x).detach() for name, x in (("q", q), ("k", k))]
    dtype = compute_dtype([*inputs, check_array(function, "queue", queue)])
    like = dtype if not on_device(inputs[0]) else inputs[0].dtype
    place = inputs[0].device
    t = torch.tensor(options.temperature, dtype=torch.float64, device=place, requires_grad=True)
    a, b = (x.to(like).requires_grad_() for x in inputs)
    with torch.enable_grad():
        loss = moco(a, b, queue, t, options.normalize, reduction, function)
        grad_q, grad_k, by_temperature = torch.autograd.grad(loss, (a, b, t))
    return loss.detach(), (grad_q, grad_k, by_temperature.to(dtype))


def sup_con(
    z: Any,
    labels: Any,
    temperature: Any,
    normalize: bool = True,
    reduction: str = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    mask: Any = None,
    ignore_index: Any = None,
    function: str = "sup_con",
) -> Tensor:
    """`gramless.sup_con` of a tensor."""
    check_positives(function, labels, mask, ignore_index, exclude_above, exclude_hardest)
    z = check_array(function, "z", z)
    if mask is not None:
        return _masked(function, z, mask, temperature, normalize, reduction)
    dense = check_labels(function, labels, z.shape[0])
    options, learned = loss_options(
        function, temperature, normalize, "softmax", reduction, False, exclude_above, exclude_hardest
    )
    if ignore_index is None:
        return contrast(options, [z], labels=dense, temperature=learned)
    ignored: Any = (labels if isinstance(labels, Tensor) else np.asarray(labels)) == ignore_index
    if torch.compiler.is_compiling():
        of_all = z, dense.to(z.device), torch.as_tensor(ignored, device=z.device), temperature
        return sup_con_without(*of_all, exclude_above, exclude_hardest, normalize, reduction, function)
    kept = torch.as_tensor(ignored, device=z.device).logical_not().nonzero()[:, 0]
    rows = z.index_select(0, kept)
    if kept.shape[0] == 0:
        zeros: Tensor = z.new_zeros(z.shape[0] if reduction == "none" else (), dtype=compute_dtype([z]))
        zeros = zeros + rows.sum().to(zeros.dtype)  # with a gradient, of 0
        return zeros
    found: Tensor = contrast(options, [rows], labels=dense.to(z.device)[kept], temperature=learned)
    if reduction == "none":
        found = found.new_zeros(z.shape[0]).index_copy(0, kept, found)
    return found


def _masked(function: str, z: Tensor, mask: Any, temperature: Any, normalize: bool, reduction: str) -> Tensor:
    """Positives are those of a mask (n, n), weighted with its numbers."""
    mask = torch.as_tensor(mask, device=z.device).detach()
    check_mask(function, tuple(mask.shape), z.shape[0])
    check_temperature(function, temperature)
    as_reduction(function, reduction)
    dtype = compute_dtype([z])
    with torch.autocast(z.device.type, enabled=False):
        rows = _rows(z, normalize, dtype)
        own = torch.eye(z.shape[0], dtype=torch.bool, device=z.device)
        weights = mask.to(dtype).masked_fill(own, 0)
        count = weights.sum(1, keepdim=True)
        counted = count[:, 0] > 0
        mean = (weights / torch.where(count > 0, count, 1.0)) @ rows
        log_sums = row_log_sum_exp(z, None, temperature, normalize, True, function).to(dtype)
        losses = log_sums - (rows * mean).sum(1) / temperature
        return _reduced(torch.where(counted, losses, 0.0), reduction, counted)
