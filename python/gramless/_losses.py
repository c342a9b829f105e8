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

_REDUCTIONS = get_args(Reduction)

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
    if isinstance(value, (str, bytes, bytearray, memoryview)):  # which float() would parse
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
    if not isinstance(value, str) or value not in _REDUCTIONS:
        raise ValueError(f'{function}: reduction must be "mean", "sum" or "none" but is {value!r}')
    return cast(Reduction, value)


def as_scalar_reduction(function: str, value: Any) -> ScalarReduction:
    """`value` itself, once it is known to be a reduction to one number, which alone has one gradient."""
    if not isinstance(value, str) or value not in get_args(ScalarReduction):
        raise ValueError(f'{function}: reduction must be "mean" or "sum" but is {value!r}')
    return cast(ScalarReduction, value)


def as_labels(function: str, labels: Any, rows: int) -> npt.NDArray[Any]:
    """Labels (rows,), integers or text."""
    array = np.asarray(labels)
    check_labels(function, array.shape, rows)
    if array.dtype.kind not in "biuUS":
        raise TypeError(f"{function}: labels must be integers or text but has dtype {array.dtype}")
    return array


def check_labels(function: str, shape: tuple[int, ...], rows: int) -> None:
    """Raises ValueError unless there is one label for each row."""
    if len(shape) != 1:
        raise ValueError(
            f"{function}: labels must have 1 dimension, one label per row, but has shape {shape}"
        )
    if shape[0] != rows:
        raise ValueError(f"{function}: z has {rows} rows but labels has {shape[0]}")


def numbered(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """One number from 0 for each label, the same for equal ones."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def as_groups(function: str, labels: Any, rows: int) -> npt.NDArray[np.int64]:
    """One number per row, the same for rows of the same label; labels are integers or text, one for each row.

    >>> as_groups("sup_con", ["cat", "dog", "cat"], 3)
    array([0, 1, 0])
    """
    return numbered(as_labels(function, labels, rows))


def check_queue(function: str, columns: int, shape: tuple[int, ...]) -> None:
    """Raises ValueError where a queue has its keys in columns, as MoCo's own code keeps them."""
    if shape[1] != columns and shape[0] == columns:
        raise ValueError(
            f"{function}: q has {columns} columns but queue has {shape[1]}; each key must be a row of it: "
            "pass queue.T"
        )


def exclusions(function: str, above: Any, hardest: Any) -> tuple[float | None, float | None]:
    """exclude_above and exclude_hardest as floats. Those that are floats already are checked where they are
    used, for torch.compile may let them vary.
    """
    if (above is None or hardest is None) and all(
        x is None or isinstance(x, float) for x in (above, hardest)
    ):
        return above, hardest
    checked = contrast_options(function, 1.0, True, above, hardest)
    return checked.exclude_above, checked.exclude_hardest


def check_positives(
    function: str, labels: Any, mask: Any, ignore_index: Any, exclude_above: Any, exclude_hardest: Any
) -> None:
    """Raises ValueError unless either labels or a mask say which rows are positive."""
    if labels is None and mask is None:
        raise ValueError(f"{function}: labels or mask must say which rows are positive but both are None")
    if mask is None:
        return
    named = {"labels": labels, "ignore_index": ignore_index}
    named |= {"exclude_above": exclude_above, "exclude_hardest": exclude_hardest}
    for name, value in named.items():
        if value is not None:
            raise ValueError(f"{function}: mask and {name} exclude each other but both are given")


def check_mask(function: str, shape: tuple[int, ...], rows: int, unit: str = "row") -> None:
    """Raises ValueError unless a mask is (rows, rows), or has a row and a column for each example."""
    if shape != (rows, rows):
        raise ValueError(f"{function}: z has {rows} {unit}s but mask has shape {shape}, not ({rows}, {rows})")


def as_mask(function: str, mask: Any, rows: int) -> npt.NDArray[np.float64]:
    """A mask's weights (rows, rows) in float64, those of rows with themselves 0."""
    array = np.asarray(mask)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{function}: mask must hold real numbers but has dtype {array.dtype}")
    check_mask(function, array.shape, rows)
    weights = array.astype(np.float64)
    np.fill_diagonal(weights, 0)
    return weights


def whole_number(value: Any) -> int | None:
    """`value` as an integer that a label may be equal to; None where it is none."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == value else None


def ignored_rows(labels: Any, ignore_index: Any) -> npt.NDArray[np.bool_] | None:
    """Which rows have the label that is ignored; None where no row has."""
    if ignore_index is None:
        return None
    ignored = np.atleast_1d(np.asarray(labels) == ignore_index)
    return ignored if ignored.any() else None
