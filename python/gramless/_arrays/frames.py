"""Checks of the labels of tables (pandas, polars): rows or columns that correspond must be in one order."""

from __future__ import annotations

from typing import Any

from .. import _arrays
from .namespaces import Named


def check_row_labels(function: str, named: Named) -> None:
    """Raises ValueError where two tables have the same row labels in another order: row i is not one example.

    Other differences between labels are accepted: a table may keep its own labels or have been renumbered.
    """
    # Tensors are left out, because torch.compile cannot look up methods that they lack.
    others = [(name, x) for name, x in named if not _arrays.is_tensor(x)]
    labelled = [(name, x.index) for name, x in others if hasattr(getattr(x, "index", None), "equals")]
    for name, index in labelled[1:]:
        first, other = labelled[0]
        if _are_in_another_order(other, index):
            raise ValueError(
                f"{function}: {first} and {name} have the same row labels in another order; pass "
                f"{name}.loc[{first}.index], or .to_numpy() of both to compare rows by position"
            )


def check_labels_of_rows(function: str, tables: Named, name: str, values: Any) -> None:
    """Raises ValueError where values for the rows of all tables have a table's labels in another order."""
    index = None if _arrays.is_tensor(values) else getattr(values, "index", None)
    if not hasattr(index, "equals"):
        return
    start = 0
    for table, x in tables:
        own, start = index[start : start + len(x)], start + len(x)  # type: ignore[index]
        rows = None if _arrays.is_tensor(x) else getattr(x, "index", None)
        if hasattr(rows, "equals") and _are_in_another_order(rows, own):
            raise ValueError(
                f"{function}: {name} have the row labels of {table} in another order; pass them in the order "
                f"of the rows, or .to_numpy() of both to take {name} by position"
            )


def check_views(function: str, named: Named) -> None:
    """Checks arrays whose rows are multiplied with each other; row i of the first two is one example."""
    check_row_labels(function, named[:2])
    check_column_order(function, named)


def check_column_order(function: str, named: Named) -> None:
    """Raises ValueError where two tables have the same names of columns in another order: products of their
    rows would multiply different features. Other names are accepted: each model may have its own.
    """
    found = [(name, columns) for name, x in named if (columns := _column_names(x)) is not None]
    for name, columns in found[1:]:
        first, other = found[0]
        if _are_in_another_order(other, columns):
            raise ValueError(
                f"{function}: {first} and {name} have the same columns in another order; pass "
                f"{name}[{first}.columns], or .to_numpy() of both to multiply columns by position"
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


def _are_in_another_order(one: Any, other: Any) -> bool:
    if len(one) != len(other) or set(one) != set(other):
        return False
    return list(one) != list(other)


def _column_names(table: Any) -> list[str] | None:
    """The names of the columns, or None unless all are text: numbers may be positions."""
    columns = getattr(table, "columns", None)
    if columns is None or callable(columns):
        return None
    names = list(columns)
    return names if all(isinstance(name, str) for name in names) else None
