"""Checks of inputs. Each error is one sentence with the function, the argument and the values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _arrays
from .._layouts import rows_hint
from .frames import check_row_labels
from .libraries import library_of
from .meant import instead_of_layers, instead_of_shape
from .namespaces import NUMPY, Array, Arrays, Library, Named

_REAL = frozenset("efd?bhilqBHILQ")  # numpy's letters of the dtypes that the core reads
DEVICE_DTYPES = ("float32", "float64", "float16", "bfloat16")


def real(function: str, name: str, library: Library, x: Array) -> str:
    """The dtype of x, an array of the library; raises TypeError unless it is one of real numbers."""
    dtype: str = library.dtype(x)
    if dtype not in _arrays.DTYPES:
        raise TypeError(f"{function}: {name} must hold real numbers but has dtype {x.dtype}")
    return dtype


def matrix(function: str, name: str, library: Library, x: Any) -> Array:
    """x as an array (n, d) of the library; `library.check` verifies that the backend can read its memory."""
    given, x = x, library.read(function, name, x)
    dtype, shape = real(function, name, library, x), x.shape
    if len(shape) != 2:
        raise ValueError(
            f"{function}: {name} must have 2 dimensions (rows, features) but has shape {tuple(shape)}"
            f"{instead_of_shape(function, name, given, tuple(shape))}"
        )
    if 0 in shape:
        raise ValueError(f"{function}: {name} is empty, its shape is {tuple(shape)}")
    if dtype not in DEVICE_DTYPES and library.on_device(x):
        raise TypeError(
            f"{function}: {name} has dtype {dtype} but on a GPU must have one of {', '.join(DEVICE_DTYPES)}"
        )
    return x


def read(
    function: str,
    named: Named,
    number: Any = None,
    check_tables: Callable[[str, Named], None] = check_row_labels,
) -> tuple[Library, list[Array]]:
    """The library that computes with all of these arguments, and the arguments as its arrays (n, d).

    number: a number that selects torch's library if it is a tensor.
    check_tables: called if several arguments are tables; by default checks that row i of all is one example.
    """
    arrays = []
    for _, x in named:  # fast path for plain numpy arrays: at 16 rows, checks take as long as the sums
        if type(x) is not np.ndarray or x.dtype.char not in _REAL or not x.dtype.isnative:
            break
        if x.ndim != 2 or x.size == 0:
            break
        arrays.append(x)
    else:
        if not _arrays.is_tensor(number):
            return NUMPY, arrays
    library = library_of(function, named, number)
    tables = 0
    for _, x in named:
        tables += hasattr(x, "columns")
    if tables > 1:
        check_tables(function, named)
    return library, matrices(function, library, named)


def matrices(function: str, library: Library, named: Named) -> list[Array]:
    """All arguments as arrays of the library; raises unless they are on one device."""
    if library.rank == 1:
        on_device = [_arrays.is_on_device(x) for _, x in named]
        if not all(on_device):
            first, other = named[on_device.index(True)][0], named[on_device.index(False)][0]
            raise TypeError(f"{function}: {first} is on a GPU but {other} is not; copy one of them")
    found = [matrix(function, name, library, x) for name, x in named]
    library.check(function, named, found)
    if library.rank and len(found) > 1:
        _in_one_place(function, library, named, found)
    return found


def _in_one_place(function: str, library: Library, named: Named, arrays: Arrays) -> None:
    first, x = named[0][0], arrays[0]
    place, dtype = library.device(x), library.dtype(x) if library.on_device(x) else None
    for (name, _), y in zip(named, arrays, strict=True):
        if library.device(y) != place:
            places = [f"device {d}" if isinstance(d, int) else d for d in (place, library.device(y))]
            raise ValueError(f"{function}: {first} is on {places[0]} but {name} is on {places[1]}")
        if dtype is not None and library.dtype(y) != dtype:
            raise TypeError(
                f"{function}: on a GPU all arrays must have one dtype "
                f"but {first} has {x.dtype} and {name} has {y.dtype}"
            )


def pair(function: str, library: Library, named: Named) -> list[Array]:
    """Two arrays of one shape."""
    found = matrices(function, library, named)
    sides(function, named, found)
    return found


def sides(function: str, named: Named, arrays: Arrays, paired: bool = True) -> None:
    """Raises ValueError unless all have the same number of columns and, if paired, the first two of rows."""
    first, x = named[0][0], arrays[0]
    for (name, _), y in zip(named[1:], arrays[1:], strict=False):
        same_columns(function, first, x, name, y)
    if paired:
        same_rows(function, first, x, named[1][0], arrays[1])


def same_rows(
    function: str, name_x: str, x: Array, name_y: str, y: Array, hint: Callable[..., str] | None = None
) -> None:
    """Raises ValueError unless both have the same number of rows; hint: returns the end of the error."""
    if x.shape[0] != y.shape[0]:
        end = "" if hint is None else hint(name_x, tuple(x.shape), name_y, tuple(y.shape))
        raise ValueError(f"{function}: {name_x} has {x.shape[0]} rows but {name_y} has {y.shape[0]}{end}")


def same_examples(function: str, name_x: str, x: Array, name_y: str, y: Array) -> None:
    """`same_rows`, whose error says if a representation may be transposed or have tokens as rows."""
    same_rows(function, name_x, x, name_y, y, rows_hint)


def same_columns(function: str, name_x: str, x: Array, name_y: str, y: Array) -> None:
    """Raises ValueError unless both have the same number of columns."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{function}: {name_x} has {x.shape[1]} columns but {name_y} has {y.shape[1]}")


def enough_rows(function: str, name: str, x: Array, estimator: str) -> None:
    """Raises ValueError where the estimator is not defined for so few rows."""
    needed = 4 if estimator == "unbiased" else 2
    if x.shape[0] < needed:
        raise ValueError(
            f"{function}: the {estimator} estimator needs at least {needed} rows but {name} has {x.shape[0]}"
        )


def sequence(function: str, name: str, layers: Any) -> list[Any]:
    """The entries of a sequence of layers, each accessed once: a sequence may create them at each access.

    Raises TypeError or ValueError unless it is a sequence with at least one entry.
    """
    _arrays.check_shaped(function, name, layers)
    if isinstance(layers, (str, bytes, Mapping)) or not (
        isinstance(layers, Sequence) or getattr(layers, "ndim", 0) > 0
    ):
        raise TypeError(
            f"{function}: {name} must be a sequence of arrays but is {type(layers).__name__}"
            f"{instead_of_layers(function, name, layers)}"
        )
    if getattr(layers, "ndim", 3) != 3:
        raise ValueError(
            f"{function}: {name} must be a sequence of two-dimensional arrays "
            f"but is one array of shape {tuple(layers.shape)}{instead_of_layers(function, name, layers)}"
        )
    if len(layers) == 0:
        raise ValueError(f"{function}: {name} has no layers")
    return list(layers)
