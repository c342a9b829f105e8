"""The log-sum-exp of rows of similarities, which other softmax losses are built of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._losses import as_temperature
from .gram import Array
from .logits import as_embeddings, log_sum_exp, unit_rows, unit_rows_backward

__all__ = ["row_log_sum_exp", "row_log_sum_exp_value_and_grad"]


def row_log_sum_exp(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> Array:
    """log sum_j exp(<x_i, y_j> / tau) for the rows of x (n, d) over those of y (m, d), or of x, as (n,).

    exclude_self leaves out j = i, where y is None.

    Examples
    --------
    >>> row_log_sum_exp([[0.0], [1.0]], [[0.0], [0.0]]).round(6)
    array([0.693147, 0.693147])
    """
    return log_sums("row_log_sum_exp", x, y, None, temperature, normalize, exclude_self)[0]


def row_log_sum_exp_value_and_grad(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    weights: npt.ArrayLike | None = None,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> tuple[Array, tuple[Array, Array | None, float]]:
    """The values v (n,), and (grad_x, grad_y, grad_temperature) of sum_i weights_i v_i.

    weights=None: all 1. grad_y is None where y is.
    """
    return log_sums("row_log_sum_exp_value_and_grad", x, y, weights, temperature, normalize, exclude_self)


def log_sums(
    function: str,
    x: npt.ArrayLike,
    y: npt.ArrayLike | None,
    weights: npt.ArrayLike | None,
    temperature: float,
    normalize: bool,
    exclude_self: bool,
) -> tuple[Array, tuple[Array, Array | None, float]]:
    """The values, and the gradients of their weighted sum, for both functions above."""
    tau = as_temperature(function, temperature)
    if exclude_self and y is not None:
        raise ValueError(f"{function}: exclude_self=True excludes row i of x from x, so that y must be None")
    rows = as_embeddings(function, {"x": x} if y is None else {"x": x, "y": y})
    zx, zy = (unit_rows(u) if normalize else u for u in (rows[0], rows[-1]))
    with np.errstate(invalid="ignore", over="ignore"):
        s = zx @ zy.T / tau
    which = ~np.eye(len(s), dtype=bool) if exclude_self else np.ones(s.shape, dtype=bool)
    values = log_sum_exp(s, which)
    with np.errstate(invalid="ignore", over="ignore"):
        ds = np.where(which, np.exp(s - values), 0)
        ds = ds * (np.ones(len(s)) if weights is None else np.asarray(weights, np.float64))[:, None]
        d_temperature = -float(np.sum(ds * s)) / tau
        dx, dy = ds @ zy / tau, ds.T @ zx / tau
    if normalize:
        dx, dy = unit_rows_backward(rows[0], dx), unit_rows_backward(rows[-1], dy)
    return values[:, 0], (dx + dy if y is None else dx, None if y is None else dy, d_temperature)
