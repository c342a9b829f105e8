"""Anchors that meet keys which are no anchors themselves: InfoNCE with a queue or in both directions, and the
log-sum-exp of rows underneath. Sums and gradients come from the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays
from ._arrays import Floats
from ._contrast import (
    NO_GROUPS,
    ContrastProblem,
    describe_embeddings,
    exclusion,
    reduced,
    wrap_rows,
)
from ._losses import (
    ContrastOptions,
    Reduction,
    ScalarReduction,
    as_reduction,
    as_scalar_reduction,
    contrast_options,
)

if TYPE_CHECKING:
    from ._device.losses import DeviceContrast

__all__ = [
    "info_nce",
    "info_nce_value_and_grad",
    "row_log_sum_exp",
    "row_log_sum_exp_value_and_grad",
]


def _pairs(
    function: str, anchors: Any, keys: Any, queue: Any, options: ContrastOptions, symmetric: bool
) -> ContrastProblem:
    named = {"anchors": anchors, "keys": keys} | ({} if queue is None else {"queue": queue})
    described = describe_embeddings(function, named)
    _arrays.check_rows(function, "anchors", described[0], "keys", described[1])
    n = _arrays.rows_of(described[0])
    own = np.arange(n, dtype=np.int64)
    queued = sum(_arrays.rows_of(z) for z in described[2:])
    groups = np.concatenate([own, np.full(queued, -1, np.int64)])
    limits = exclusion(options, described[:1], described[1:], (own, groups), symmetric)
    return ContrastProblem([described[0]], described[1:], own, groups, options, "softmax", limits)


def info_nce(
    anchors: Any,
    keys: Any,
    queue: Any = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> Any:
    """InfoNCE: row i of anchors (n, d) belongs to row i of keys (n, d), and all other keys are its negatives.

    loss_i = log sum_j exp(<a_i, k_j> / temperature) - <a_i, k_i> / temperature, j over keys and queue
    (van den Oord et al. 2018, arXiv:1807.03748, eq. 4).

    queue (m, d): more keys, which belong to no anchor and get no gradient. All rows of keys stay negatives
    of the other anchors; MoCo's loss, whose negatives are the queue alone, is `moco`.
    symmetric: the mean of loss_i and of the same with anchors and keys exchanged, both from one pass (CLIP,
    Radford et al. 2021, arXiv:2103.00020); the queue takes no part in the second.
    reduction: "mean" over the n pairs, "sum", or "none" for the losses, (n,).

    Other arguments, returns and errors as in `nt_xent`.

    >>> import numpy as np
    >>> round(info_nce(np.eye(4), np.eye(4), temperature=0.5), 6)  # log(1 + 3 exp(-2))
    0.340753
    """
    if _arrays.any_tensor(anchors, keys, temperature):
        from .torch import functional

        chosen = (temperature, normalize, symmetric, reduction, exclude_above, exclude_hardest)
        return functional.info_nce(anchors, keys, queue, *chosen)
    options = contrast_options("info_nce", temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_reduction("info_nce", reduction)
    if _arrays.any_on_device(anchors, keys, queue):
        from ._device import losses as device

        return device.pairs("info_nce", anchors, keys, queue, options, symmetric).value(reduction)
    problem = _pairs("info_nce", anchors, keys, queue, options, symmetric)
    losses, columns, *_ = problem.forward()
    if symmetric and columns is not None:
        losses = losses / 2 + columns[: len(losses)] / 2
    loss = reduced(losses, np.ones(len(losses), bool), reduction)
    return _arrays.wrap(loss, anchors, [*problem.anchors, *problem.keys])


def info_nce_value_and_grad(
    anchors: Any,
    keys: Any,
    queue: Any = None,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
) -> tuple[Any, tuple[Any, Any, Any]]:
    """`info_nce` and its gradients: (loss, (grad_anchors, grad_keys, grad_temperature)).

    Arguments and errors as in `info_nce`, gradients as in `nt_xent_value_and_grad`.

    >>> import numpy as np
    >>> loss, (grad_anchors, grad_keys, _) = info_nce_value_and_grad(np.eye(4), np.eye(4), symmetric=True)
    >>> np.allclose(grad_anchors, grad_keys)
    True
    """
    function = "info_nce_value_and_grad"
    options = contrast_options(function, temperature, normalize, exclude_above, exclude_hardest)
    reduction = as_scalar_reduction(function, reduction)
    if _arrays.any_on_device(anchors, keys, queue):
        from ._device import losses as device

        on_device = device.pairs(function, anchors, keys, queue, options, symmetric)
        loss, (*grads, by_temperature) = on_device.value_and_grad(
            reduction, [True, True, False][: 2 + (queue is not None)]
        )
        return loss, (grads[0], grads[1], by_temperature)
    problem = _pairs(function, anchors, keys, queue, options, symmetric)
    forward = problem.forward(keep=True)
    losses, columns = forward.losses, forward.key_losses
    n = len(losses)
    weight = (1 / n if reduction == "mean" else 1.0) / (2 if symmetric else 1)
    loss, column_weights = weight * float(np.sum(losses)), None
    if symmetric and columns is not None:
        loss += weight * float(np.sum(columns[:n]))
        column_weights = np.zeros(len(columns))
        column_weights[:n] = weight
    wanted = [True, True, False][: 1 + len(problem.keys)]
    grads, by_temperature = problem.backward(forward, np.full(n, weight), column_weights, wanted)
    described = [*problem.anchors, *problem.keys]
    loss, by_temperature = (_arrays.wrap(value, anchors, described) for value in (loss, by_temperature))
    return loss, (wrap_rows(grads[0], anchors), wrap_rows(grads[1], keys), by_temperature)


def _log_sum_exp_options(
    function: str, y: Any, temperature: float, normalize: bool, exclude_self: bool
) -> ContrastOptions:
    if exclude_self and y is not None:
        raise ValueError(f"{function}: exclude_self=True needs y=None, for the rows of y are not those of x")
    return contrast_options(function, temperature, normalize)


def _log_sum_exp_on_device(
    function: str, x: Any, y: Any, temperature: float, normalize: bool, exclude_self: bool
) -> DeviceContrast:
    from ._device import losses

    options = _log_sum_exp_options(function, y, temperature, normalize, exclude_self)
    return losses.row_log_sum_exp(function, x, y, options.temperature, options.normalize, exclude_self)


def _log_sum_exp_problem(
    function: str, x: Any, y: Any, temperature: float, normalize: bool, exclude_self: bool
) -> ContrastProblem:
    options = _log_sum_exp_options(function, y, temperature, normalize, exclude_self)
    described = describe_embeddings(function, {"x": x} if y is None else {"x": x, "y": y})
    keys = [] if exclude_self else described[-1:]
    return ContrastProblem(described[:1], keys, NO_GROUPS, NO_GROUPS, options, "log_sum_exp")


def row_log_sum_exp(
    x: Any,
    y: Any = None,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> Any:
    """log sum_j exp(<x_i, y_j> / temperature) for every row of x (n, d) over the rows of y (m, d): (n,).

    What other softmax losses are built of, without n x m memory. y=None is x itself; exclude_self then leaves
    out j = i. temperature, normalize, dtypes, returns and errors as in `nt_xent`.

    >>> import numpy as np
    >>> row_log_sum_exp(np.eye(2), exclude_self=True)
    array([0., 0.])
    """
    if _arrays.any_tensor(x, y, temperature):
        from .torch import functional

        return functional.row_log_sum_exp(x, y, temperature, normalize, exclude_self)
    if _arrays.any_on_device(x, y):
        on_device = _log_sum_exp_on_device("row_log_sum_exp", x, y, temperature, normalize, exclude_self)
        return on_device.value("none")
    problem = _log_sum_exp_problem("row_log_sum_exp", x, y, temperature, normalize, exclude_self)
    return _arrays.wrap(problem.forward().losses, x, [*problem.anchors, *problem.keys])


def row_log_sum_exp_value_and_grad(
    x: Any,
    y: Any = None,
    *,
    weights: Any = None,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> tuple[Any, tuple[Any, Any, Any]]:
    """v = `row_log_sum_exp`, and (grad_x, grad_y, grad_temperature), the gradients of sum_i weights_i v_i.

    weights: (n,), what a loss made of v has for derivatives; None is 1 for all. grad_y is None where y is.
    Other arguments and errors as in `row_log_sum_exp`.

    >>> import numpy as np
    >>> v, (grad_x, grad_y, _) = row_log_sum_exp_value_and_grad(np.zeros((1, 2)), np.eye(2))
    >>> grad_x  # the mean of the rows of y, weighted by the softmax
    array([[0.5, 0.5]])
    """
    function = "row_log_sum_exp_value_and_grad"
    if _arrays.any_on_device(x, y):
        from ._device import losses

        on_device = _log_sum_exp_on_device(function, x, y, temperature, normalize, exclude_self)
        return losses.row_log_sum_exp_value_and_grad(on_device, weights, y is not None)
    problem = _log_sum_exp_problem(function, x, y, temperature, normalize, exclude_self)
    forward = problem.forward(keep=True)
    row_weights = _as_weights(function, weights, len(forward.losses))
    arrays = [*problem.anchors, *problem.keys]
    grads, by_temperature = problem.backward(forward, row_weights, None, [True] * len(arrays))
    grad_x, grad_y = grads[0], grads[1] if len(grads) > 1 else None
    if y is None and grad_x is not None and grad_y is not None:
        grad_x, grad_y = grad_x + grad_y, None
    values, by_temperature = (_arrays.wrap(value, x, arrays) for value in (forward.losses, by_temperature))
    return values, (wrap_rows(grad_x, x), wrap_rows(grad_y, y), by_temperature)


def _as_weights(function: str, weights: Any, rows: int) -> Floats:
    if weights is None:
        return np.ones(rows)
    array = np.asarray(weights.detach() if _arrays.is_tensor(weights) else weights)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{function}: weights must hold real numbers but has dtype {array.dtype}")
    if array.shape != (rows,):
        raise ValueError(f"{function}: x has {rows} rows but weights has shape {array.shape}")
    return np.ascontiguousarray(array, np.float64)
