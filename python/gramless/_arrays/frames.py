"""Tables with labelled rows and columns, of pandas or polars, whose labels show that they do not fit."""

from __future__ import annotations

from typing import Any

from .. import _arrays
from .namespaces import Named


def check_row_labels(function: str, named: Named) -> None:
    """Raises ValueError where two tables have the same row labels in another order: row i is not one example.

    Labels that differ otherwise say nothing: a table may have kept its own or been numbered anew.
    """
    others = [(name, x) for name, x in named if not _arrays.is_tensor(x)]  # torch.compile asks no method
    labelled = [(name, x.index) for name, x in others if hasattr(getattr(x, "index", None), "equals")]
    for name, index in labelled[1:]:
        first, other = labelled[0]
        if len(index) != len(other) or index.equals(other) or set(index) != set(other):
            continue
        raise ValueError(
            f"{function}: {first} and {name} have the same row labels in another order; pass "
            f"{name}.loc[{first}.index], or .to_numpy() of both to compare rows by position"
        )


def check_column_names(function: str, named: Named) -> None:
    """Raises ValueError where two tables have names for their columns that differ, as in scikit-learn."""
    (name_x, x), (name_y, y) = ((name, _column_names(x)) for name, x in named)
    if x is None or y is None or x == y or len(x) != len(y):
        return
    place = next(i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b)
    raise ValueError(
        f"{function}: column {place} is {x[place]!r} in {name_x} but {y[place]!r} in {name_y}; give both the "
        "same columns in one order, or pass .to_numpy() of both to compare columns by position"
    )


def _column_names(table: Any) -> list[str] | None:
    """None where there are none that are text: numbers may be places."""
    columns = getattr(table, "columns", None)
    if columns is None or callable(columns):
        return None
    names = list(columns)
    return names if all(isinstance(name, str) for name in names) else None
