"""The contrastive losses of gramless for tensors, differentiable by autograd.

What `gramless.nt_xent` and its relatives do with tensors; documented there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._losses import EPSILON, as_reduction, contrast_options
from ._check import check_array, check_columns, check_rows, check_temperature
from ._eager import contrast
from ._options import Options


def loss_options(
    function: str,
    temperature: Any,
    normalize: bool,
    kind: str,
    reduction: str = "mean",
    symmetric: bool = False,
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> tuple[Options, Tensor | None]:
    value, learned = check_temperature(function, temperature)
    if not all(_is_traced(x) for x in (exclude_above, exclude_hardest)):
        checked = contrast_options(function, value, normalize, exclude_above, exclude_hardest)
        exclude_above, exclude_hardest = checked.exclude_above, checked.exclude_hardest
    as_reduction(function, reduction)
    chosen = (value, bool(normalize), kind, bool(symmetric), reduction, exclude_above, exclude_hardest)
    return Options(function, *chosen), learned


def _is_traced(x: Any) -> bool:
    """Whether the operator is to check x: none, or a float that torch.compile may let vary."""
    return x is None or (torch.compiler.is_compiling() and isinstance(x, float))


def two_views(
    function: str,
    kind: str,
    z_a: Any,
    z_b: Any,
    temperature: Any,
    normalize: bool = True,
    reduction: str = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Tensor:
    """`gramless.nt_xent` (kind "softmax") or `gramless.dcl` ("decoupled") of tensors."""
    z_a, z_b = check_array(function, "z_a", z_a), check_array(function, "z_b", z_b)
    check_rows(function, "z_a", z_a, "z_b", z_b)
    check_columns(function, "z_a", z_a, "z_b", z_b)
    options, learned = loss_options(
        function, temperature, normalize, kind, reduction, False, exclude_above, exclude_hardest
    )
    return contrast(options, [z_a, z_b], temperature=learned)


def info_nce(
    anchors: Any,
    keys: Any,
    queue: Any,
    temperature: Any,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: str = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Tensor:
    """`gramless.info_nce` of tensors."""
    function = "info_nce"
    anchors, keys = check_array(function, "anchors", anchors), check_array(function, "keys", keys)
    check_columns(function, "anchors", anchors, "keys", keys)
    check_rows(function, "anchors", anchors, "keys", keys)
    others = [keys]
    if queue is not None:
        queue = check_array(function, "queue", queue)
        check_columns(function, "anchors", anchors, "queue", queue)
        others.append(queue.detach())
    options, learned = loss_options(
        function, temperature, normalize, "softmax", reduction, symmetric, exclude_above, exclude_hardest
    )
    return contrast(options, [anchors], others, temperature=learned)


def row_log_sum_exp(
    x: Any,
    y: Any,
    temperature: Any,
    normalize: bool = False,
    exclude_self: bool = False,
    function: str = "row_log_sum_exp",
) -> Tensor:
    """`gramless.row_log_sum_exp` of tensors."""
    if exclude_self and y is not None:
        raise ValueError(f"{function}: exclude_self=True needs y=None, for the rows of y are not those of x")
    x = check_array(function, "x", x)
    keys = [] if exclude_self else [x if y is None else check_array(function, "y", y)]
    for key in keys:
        check_columns(function, "x", x, "y", key)
    options, learned = loss_options(function, temperature, normalize, "log_sum_exp", "none")
    return contrast(options, [x], keys, temperature=learned)


def unit_rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    """z = u / max(|u|, 1e-12)."""
    return torch.nn.functional.normalize(x.to(dtype), dim=1, eps=EPSILON)
