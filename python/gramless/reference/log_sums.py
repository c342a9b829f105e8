"""The log-sum-exp of rows of similarities, from which other softmax losses can be built."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._losses import as_temperature
from ._paragraphs import documented
from .gram import Array
from .logits import as_embeddings, log_sum_exp, unit_rows, unit_rows_backward

__all__ = ["row_log_sum_exp", "row_log_sum_exp_value_and_grad"]


@documented
def row_log_sum_exp(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> Array:
    """log sum_j exp(<x_i, y_j> / tau) for every row of x (n, d), over the rows of y (m, d) or of x.

    {summed_rows}

    Returns
    -------
    ndarray of float64, (n,)

    {raises}

    Examples
    --------
    >>> row_log_sum_exp([[0.0], [1.0]], [[0.0], [0.0]]).round(6)
    array([0.693147, 0.693147])
    """
    return log_sums("row_log_sum_exp", x, y, None, temperature, normalize, exclude_self)[0]


@documented
def row_log_sum_exp_value_and_grad(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None = None,
    *,
    weights: npt.ArrayLike | None = None,
    temperature: float = 1.0,
    normalize: bool = False,
    exclude_self: bool = False,
) -> tuple[Array, tuple[Array, Array | None, float]]:
    """`row_log_sum_exp` v with the gradients of sum_i weights_i v_i.

    {weighted_rows}

    Returns
    -------
    ndarray of float64, (n,)
        v.
    tuple
        (grad_x, grad_y, grad_temperature); grad_y is None if y is None.

    {raises}

    Examples
    --------
    >>> values, (grad_x, grad_y, _) = row_log_sum_exp_value_and_grad([[0.0], [1.0]], [[0.0], [0.0]])
    >>> grad_y
    array([[0.5],
           [0.5]])
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
    """The values, and the gradients of their weighted sum."""
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
