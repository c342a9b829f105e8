"""The options of the reference's losses, with the same checks as those of the losses of gramless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._losses import OfRows, as_array, as_labels, as_temperature, check_mask, exclusions, numbered

ScalarReduction: TypeAlias = Literal["mean", "sum"]


@dataclass(frozen=True)
class ContrastOptions:
    """Common options of the softmax losses."""

    temperature: float
    normalize: bool
    exclude_above: float | None = None
    exclude_hardest: float | None = None
    exclude_easiest: float | None = None
    decoupled: bool = False  # whether positives are left out of the denominator


def contrast_options(
    function: str,
    temperature: Any,
    normalize: Any,
    exclude_above: Any = None,
    exclude_hardest: Any = None,
    exclude_easiest: Any = None,
    decoupled: bool = False,
) -> ContrastOptions:
    """The checked options; raises TypeError or ValueError with one sentence."""
    limits = exclusions(function, (exclude_above, exclude_hardest, exclude_easiest))
    return ContrastOptions(as_temperature(function, temperature), bool(normalize), *limits, decoupled)


def as_scalar_reduction(function: str, value: Any) -> ScalarReduction:
    """`value`, checked to be a reduction to one number, as gradients need."""
    if not isinstance(value, str) or value not in get_args(ScalarReduction):
        raise ValueError(f'{function}: reduction must be "mean" or "sum" but is {value!r}')
    return cast(ScalarReduction, value)


def as_groups(what: OfRows, labels: Any) -> npt.NDArray[np.int64]:
    """One number for each row, equal for rows of one label; labels are integers or text, one for each row.

    >>> as_groups(OfRows("sup_con", 3), ["cat", "dog", "cat"])
    array([0, 1, 0])
    """
    return numbered(as_labels(what, _arrays.without_tensors(what.function, what.name, labels)))


def as_mask(function: str, mask: Any, rows: int) -> npt.NDArray[np.float64]:
    """The weights (rows, rows) of a mask in float64, with diagonal 0."""
    array = as_array(function, "mask", _arrays.without_tensors(function, "mask", mask), "an array")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{function}: mask must hold real numbers but has dtype {array.dtype}")
    check_mask(function, array.shape, rows)
    weights = array.astype(np.float64)
    np.fill_diagonal(weights, 0)
    return weights
