"""The options of the contrastive losses, checked once at the edge; errors name the function and the value.

Knows nothing of the compiled core, so that the reference can use it too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt

Reduction: TypeAlias = Literal["mean", "sum", "none"]
ScalarReduction: TypeAlias = Literal["mean", "sum"]

EPSILON = 1e-12  # rows are divided by max(|row|, EPSILON), so that a zero row stays one
TIE = 1e-6  # similarities closer than this, relative to an anchor's largest, are equally hard


@dataclass(frozen=True)
class ContrastOptions:
    """What the softmax losses have in common."""

    temperature: float
    normalize: bool
    exclude_above: float | None = None
    exclude_hardest: float | None = None
    decoupled: bool = False  # the positives are left out of the denominator


def contrast_options(
    function: str,
    temperature: Any,
    normalize: Any,
    exclude_above: Any = None,
    exclude_hardest: Any = None,
    decoupled: bool = False,
) -> ContrastOptions:
    """The options once they are known to be right; raises TypeError or ValueError in one sentence."""
    if exclude_above is not None and exclude_hardest is not None:
        raise ValueError(
            f"{function}: exclude_above and exclude_hardest exclude each other "
            f"but are {exclude_above!r} and {exclude_hardest!r}"
        )
    return ContrastOptions(
        as_temperature(function, temperature),
        bool(normalize),
        _threshold(function, exclude_above),
        _fraction(function, exclude_hardest),
        decoupled,
    )


def _number(function: str, name: str, value: Any, wanted: str) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{function}: {name} must be {wanted} but is {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} must be {wanted} but is {value!r}") from None


def as_scale(function: str, value: Any) -> float:
    """A logit scale as a float; 0, negative and infinite ones are legal."""
    return _number(function, "logit_scale", value, "a number")


def as_temperature(function: str, value: Any, name: str = "temperature") -> float:
    """`value` as a float, once it is known that one can divide by it; it may be negative.

    >>> as_temperature("nt_xent", 0)
    Traceback (most recent call last):
    ValueError: nt_xent: temperature must be finite and not 0 but is 0.0
    """
    temperature = _number(function, name, value, "a number")
    if not math.isfinite(temperature) or temperature == 0:
        raise ValueError(f"{function}: {name} must be finite and not 0 but is {temperature!r}")
    return temperature


def _threshold(function: str, value: Any) -> float | None:
    if value is None:
        return None
    threshold = _number(function, "exclude_above", value, "a number or None")
    if math.isnan(threshold):
        raise ValueError(f"{function}: exclude_above must be a number or None but is nan")
    return threshold


def _fraction(function: str, value: Any) -> float | None:
    if value is None:
        return None
    fraction = _number(function, "exclude_hardest", value, "a number or None")
    if not 0 <= fraction <= 1:
        raise ValueError(f"{function}: exclude_hardest must be from 0 to 1 but is {fraction!r}")
    return fraction


def as_reduction(function: str, value: Any) -> Reduction:
    """`value` itself, once it is known to be a reduction."""
    if not isinstance(value, str) or value not in get_args(Reduction):
        raise ValueError(f'{function}: reduction must be "mean", "sum" or "none" but is {value!r}')
    return cast(Reduction, value)


def as_scalar_reduction(function: str, value: Any) -> ScalarReduction:
    """`value` itself, once it is known to be a reduction to one number, which alone has one gradient."""
    if not isinstance(value, str) or value not in get_args(ScalarReduction):
        raise ValueError(f'{function}: reduction must be "mean" or "sum" but is {value!r}')
    return cast(ScalarReduction, value)


def as_groups(function: str, labels: Any, rows: int) -> npt.NDArray[np.int64]:
    """One number per row, the same for rows of the same label; labels are integers or text, one for each row.

    >>> as_groups("sup_con", ["cat", "dog", "cat"], 3)
    array([0, 1, 0])
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(
            f"{function}: labels must have 1 dimension, one label per row, but has shape {array.shape}"
        )
    if len(array) != rows:
        raise ValueError(f"{function}: z has {rows} rows but labels has {len(array)}")
    if array.dtype.kind not in "biuUS":
        raise TypeError(f"{function}: labels must be integers or text but has dtype {array.dtype}")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)
