"""Checks of the options of the contrastive losses; errors name the function and the value.

This module does not depend on the compiled core, so that `gramless.reference` can use it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ._counts import as_flag, as_number, shown
from ._masked import check_unmasked

Reduction: TypeAlias = Literal["mean", "sum", "none"]
Exclusions: TypeAlias = tuple[float | None, float | None, float | None]  # above, hardest, easiest

EXCLUDED = ("exclude_above", "exclude_hardest", "exclude_easiest")
NOTHING: Exclusions = (None, None, None)
_REDUCTIONS = get_args(Reduction)

EPSILON = 1e-12  # rows are divided by max(|row|, EPSILON), so that a row of zeros stays 0
TIE = 1e-6  # similarities closer than this, relative to an anchor's largest magnitude, count as equal


def as_temperature(function: str, value: Any, name: str = "temperature") -> float:
    """`value` as a float, checked to be finite and not 0; it may be negative.

    >>> as_temperature("nt_xent", 0)
    Traceback (most recent call last):
    ValueError: nt_xent: temperature must be finite and not 0 but is 0.0
    """
    temperature = value if type(value) is float else as_number(function, name, value)
    if not math.isfinite(temperature) or temperature == 0:
        raise ValueError(f"{function}: {name} must be finite and not 0 but is {temperature!r}")
    return temperature


def exclusions(function: str, given: Any) -> Exclusions:
    """The values of the options in EXCLUDED as checked floats."""
    above, hardest, easiest = given
    if above is not None and hardest is not None:
        raise ValueError(
            f"{function}: pass exclude_above or exclude_hardest, not both; they are {above!r} and {hardest!r}"
        )
    if above is not None:
        above = as_number(function, "exclude_above", above, "a number or None")
        if math.isnan(above):
            raise ValueError(f"{function}: exclude_above must be a number or None but is nan")
    if hardest is not None:
        hardest = _fraction(function, EXCLUDED[1], hardest)
    if easiest is not None:
        easiest = _fraction(function, EXCLUDED[2], easiest)
    return above, hardest, easiest


def _fraction(function: str, name: str, value: Any) -> float:
    fraction = as_number(function, name, value, "a number or None")
    if not 0 <= fraction <= 1:
        raise ValueError(f"{function}: {name} must be from 0 to 1 but is {fraction!r}")
    return fraction


def as_margin(function: str, value: Any) -> float:
    """`value` as a float, checked to be finite."""
    margin = value if type(value) is float else as_number(function, "margin", value)
    if not math.isfinite(margin):
        raise ValueError(f"{function}: margin must be finite but is {margin!r}")
    return margin


def check_guide(function: str, name: str, finite: Any) -> None:
    """Raise ValueError unless all rows of a guide are finite. finite: (rows,), whether each row is."""
    if not finite.all():
        row = int(finite.argmin())
        raise ValueError(
            f"{function}: {name} must be finite, because it decides which pairs count, but row {row} is not"
        )


def is_share(function: str, strategy: Any) -> bool:
    """Whether a margin is relative to the similarity that it is subtracted from."""
    if not isinstance(strategy, str) or strategy not in ("absolute", "relative"):
        raise ValueError(
            f'{function}: margin_strategy must be "absolute" or "relative" but is {shown(strategy)}'
        )
    return strategy == "relative"


def excluded_count(fraction: float, negatives: int) -> int:
    """The number of negatives that a fraction of them stands for; at least 1 unless the fraction is 0.

    >>> [excluded_count(fraction, 100) for fraction in (0, 0.001, 0.29, 1)]
    [0, 1, 29, 100]
    """
    if not fraction > 0 or negatives == 0:
        return 0
    return max(1, math.floor(fraction * negatives * (1 + 1e-12)))  # 0.29 * 100 is 28.999999999999996


def as_reduction(function: str, value: Any) -> Reduction:
    """`value` itself, checked to be a reduction."""
    if not isinstance(value, str) or value not in _REDUCTIONS:
        raise ValueError(f'{function}: reduction must be "mean", "sum" or "none" but is {shown(value)}')
    return value  # type: ignore[return-value]


def of_every_loss(function: str, normalize: Any, reduction: Any) -> tuple[str, bool, Reduction]:
    """The checked fields that all problems of losses share: function, normalize and reduction."""
    unit = normalize if isinstance(normalize, bool) else as_flag(function, "normalize", normalize)
    return function, unit, as_reduction(function, reduction)


def as_array(function: str, name: str, value: Any, wanted: str, hint: str = "") -> npt.NDArray[Any]:
    """`value` as a numpy array; raises TypeError if numpy cannot read it. hint: the end of the error."""
    check_unmasked(function, name, value)
    kind, dense = type(value).__name__, _dense_form(value)
    if dense is not None:
        raise TypeError(f"{function}: {name} must be dense but is sparse, {kind}; pass {name}.{dense}()")
    try:
        array = np.asarray(value)
        if type(value) is not np.ndarray and hasattr(value, "__dlpack__") and array.dtype == object:
            array = np.from_dlpack(value)
        return _of_columns(value) if hasattr(value, "dtypes") and array.dtype == object else array
    except (TypeError, ValueError, RuntimeError, BufferError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise TypeError(f"{function}: {name} must be {wanted} but is {kind} ({reason}){hint}") from None


def _of_columns(table: Any) -> npt.NDArray[Any]:
    """The values of a table whose columns numpy reads as objects, such as columns with pandas' own dtypes or
    pyarrow's: as float64 if all are numbers and none is missing, else as objects.
    """
    array, kinds = np.asarray(table), {getattr(dtype, "kind", "O") for dtype in table.dtypes}
    if not kinds <= set("biuf") or not hasattr(table, "isna") or np.asarray(table.isna()).any():
        return array
    return array.astype(np.float64)


def _dense_form(value: Any) -> str | None:
    """The name of the method that makes a sparse array dense; None for other values."""
    if not (hasattr(value, "nnz") or hasattr(value, "nse")):
        return None
    return next((name for name in ("toarray", "todense") if hasattr(value, name)), None)


class OfRows(NamedTuple):
    """An argument with one integer or text for each row, and the names of the arrays with these rows."""

    function: str
    rows: int
    name: str = "labels"
    arrays: tuple[str, ...] = ("z",)

    def check(self, values: Any, can_be: bool = True) -> None:
        """Raise ValueError unless there is one value for each row, and TypeError unless `can_be`."""
        function, rows, name, arrays = self
        shape = tuple(values.shape)
        if len(shape) != 1:
            one = name.removesuffix("s")
            raise ValueError(
                f"{function}: {name} must have 1 dimension, one {one} per row, but has shape {shape}"
                f"{_instead_of_labels(shape, rows) if name == 'labels' else ''}"
            )
        if shape[0] != rows:
            *others, last = arrays
            have = f"{', '.join(others)} and {last} have" if others else f"{last} has"
            raise ValueError(f"{function}: {have} {rows} rows but {name} has {shape[0]}")
        if not can_be:
            raise TypeError(f"{function}: {name} must be integers or text but has dtype {values.dtype}")


def as_labels(what: OfRows, labels: Any) -> npt.NDArray[Any]:
    """Labels (rows,), integers or text."""
    array = as_array(what.function, what.name, labels, "integers or text")
    if array.dtype == object and array.ndim == 1 and all(isinstance(label, str) for label in array):
        array = array.astype(str)  # numpy reads a text column of pandas as objects
    what.check(array, array.dtype.kind in "biuUS")
    if array.dtype.kind in "US" and isinstance(labels, (list, tuple)) and not _is_text(labels):
        kinds = ", ".join(sorted({type(label).__name__ for label in labels}))
        raise TypeError(f"{what.function}: {what.name} must be integers or text but hold {kinds}")
    return array


def _instead_of_labels(shape: tuple[int, ...], rows: int) -> str:
    """The end of an error for a matrix in place of labels: the argument or function that may be meant."""
    if shape == (rows, rows):
        return "; a matrix of positives is passed as mask="
    if len(shape) == 2 and shape[0] == rows and shape[1] > 1:
        return "; two views of each example are for nt_xent(z_a, z_b)"
    return ""


def _is_text(labels: Sequence[Any]) -> bool:
    """Whether all labels are str, or all bytes; numpy converts mixed types to text, so that 1 equals "1"."""
    return any(all(isinstance(label, kind) for label in labels) for kind in (str, bytes))


def numbered(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Labels as numbers from 0, equal for equal labels.

    >>> numbered(np.array(["cat", "dog", "cat"]))
    array([0, 1, 0])
    """
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def as_ignored(function: str, value: Any) -> Any:
    """The label to ignore, an integer or text, or None if no label is ignored.

    >>> as_ignored("sup_con", 1.5)
    Traceback (most recent call last):
    ValueError: sup_con: ignore_index must be None or one label, an integer or text, but is 1.5
    """
    if value is None or isinstance(value, (str, bytes)):
        return value
    number = None
    try:
        if getattr(value, "ndim", 0) == 0:
            number = int(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass  # it is neither text nor a number
    if number is None or number != value or not -(2**63) <= number < 2**64:
        error = TypeError if number is None else ValueError
        raise error(
            f"{function}: ignore_index must be None or one label, an integer or text, but is {value!r}"
        )
    return number


def ignored_among(dtype: str, ignored: Any) -> int | None:
    """The label to ignore, or None if no label of this dtype can be equal to it (it would wrap around)."""
    limits = np.iinfo("int64" if dtype == "bool" else dtype)
    return ignored if isinstance(ignored, int) and limits.min <= ignored <= limits.max else None


def check_queue(function: str, columns: int, shape: tuple[int, ...]) -> None:
    """Raise ValueError if a queue holds its keys in columns, as MoCo's own code does."""
    if shape[1] != columns and shape[0] == columns:
        raise ValueError(
            f"{function}: q has {columns} columns but queue has {shape[1]}; each key must be a row of queue: "
            "pass queue.T"
        )


def check_positives(function: str, labels: Any, mask: Any, ignore_index: Any, excluded: Any) -> None:
    """Raise ValueError unless either labels or a mask is given, and only options that go with it."""
    if labels is None and mask is None:
        raise ValueError(f"{function}: pass labels or mask to define the positives; both are None")
    if mask is None:
        return
    others = labels, ignore_index, *excluded
    for name, value in zip(("labels", "ignore_index", *EXCLUDED), others, strict=True):
        if value is not None:
            raise ValueError(f"{function}: pass mask or {name}, not both")


def check_mask(function: str, shape: tuple[int, ...], rows: int, unit: str = "row") -> None:
    """Raise ValueError unless a mask is (rows, rows). unit: what a row stands for in the error."""
    if shape != (rows, rows):
        raise ValueError(f"{function}: z has {rows} {unit}s but mask has shape {shape}, not ({rows}, {rows})")


def ignored_rows(labels: Any, ignored: Any) -> npt.NDArray[np.bool_] | None:
    """A boolean mask of the rows with the ignored label; None if there are none."""
    found = None if ignored is None else np.atleast_1d(np.asarray(labels) == ignored)
    return found if found is not None and found.any() else None
