"""Numbers that users pass, checked; errors name the function and the argument."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

_LONGEST = 200  # characters shown

NO_NUMBERS = (bool, np.bool_, str, bytes, bytearray, memoryview)  # not numbers, although float() accepts them


def shown(value: Any) -> str:
    """A value as one line of text for an error; an array is described by its shape.

    >>> shown(np.zeros((2, 3))), shown("a")
    ('an array of shape (2, 3)', "'a'")
    """
    shape = _shape(value)
    if len(shape) > 0:
        return f"an array of shape {tuple(shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def made_first(function: str, value: Any) -> str:
    """The end of an error for rows that were passed to the constructor of a loss.

    >>> made_first("DCLLoss", np.zeros((2, 3)))
    '; construct the loss first and pass the rows to it, DCLLoss()(...)'
    """
    if not function.endswith("Loss") or len(_shape(value)) < 2:
        return ""
    return f"; construct the loss first and pass the rows to it, {function}()(...)"


def _shape(value: Any) -> tuple[int, ...]:
    """The shape, or () for values without one: no array, a nested tensor, an uninitialized parameter."""
    try:
        shape = getattr(value, "shape", ())
    except RuntimeError:
        return ()
    return shape if isinstance(shape, tuple) else ()


def as_number(function: str, name: str, value: Any, wanted: str = "a number") -> float:
    """`value`, a number or an array of one number, as a float; `wanted`: the accepted types in the error.

    >>> as_number("nt_xent", "temperature", "1")
    Traceback (most recent call last):
    TypeError: nt_xent: temperature must be a number but is '1'
    """
    shape: tuple[int, ...] = ()
    if not isinstance(value, NO_NUMBERS):
        try:
            if isinstance(value, (int, float)):  # also symbolic numbers of torch.compile, without attributes
                return float(value)
            shape = tuple(getattr(value, "shape", ()))
            if all(length == 1 for length in shape):
                item = getattr(value, "item", None)
                one, shape = value if item is None else item(), ()
                if not isinstance(one, NO_NUMBERS):
                    return float(one)
        except (
            TypeError,
            ValueError,
            OverflowError,
            RuntimeError,
        ):  # a tensor has no value inside a transform
            shape = ()
    end = made_first(function, value)
    if shape:
        one = wanted.replace("a number", "one number")
        raise ValueError(f"{function}: {name} must be {one} but has shape {shape}{end}")
    raise TypeError(f"{function}: {name} must be {wanted} but is {shown(value)}{end}")


def as_flag(function: str, name: str, value: Any) -> bool:
    """`value` as True or False.

    >>> as_flag("nt_xent", "normalize", np.zeros(2))
    Traceback (most recent call last):
    TypeError: nt_xent: normalize must be True or False but is an array of shape (2,)
    """
    try:
        return bool(value)
    except (TypeError, ValueError, RuntimeError):  # an array of several values, or a tensor without values
        raise TypeError(f"{function}: {name} must be True or False but is {shown(value)}") from None


def positive(function: str, name: str, value: Any, wanted: str = "a number") -> float:
    """`value` as a positive, finite float; `wanted`: the accepted types in the error.

    >>> positive("RBF", "sigma", 0)
    Traceback (most recent call last):
    ValueError: RBF: sigma must be positive and finite but is 0.0
    """
    number = as_number(function, name, value, wanted)
    if not 0 < number < math.inf:  # torch.compile traces this, unlike math.isfinite
        raise ValueError(f"{function}: {name} must be positive and finite but is {number!r}")
    return number


def as_integer(function: str, name: str, value: Any, wanted: str = "an int") -> int:
    """`value` as an int; `wanted`: the accepted types in the error.

    >>> as_integer("set_num_threads", "count", 1.5, "an integer or None")
    Traceback (most recent call last):
    TypeError: set_num_threads: count must be an integer or None but is 1.5
    """
    if not isinstance(value, NO_NUMBERS):
        try:
            return operator.index(value)
        except (TypeError, ValueError, RuntimeError):  # a tensor may have no value
            pass
    raise TypeError(f"{function}: {name} must be {wanted} but is {shown(value)}")


def at_least(least: int, function: str, name: str, value: Any, wanted: str = "an int") -> int:
    """`value` as an int of at least `least`; `wanted`: the accepted types in the error.

    >>> at_least(1, "independence_test", "n_resamples", 0)
    Traceback (most recent call last):
    ValueError: independence_test: n_resamples must be at least 1 but is 0
    """
    count = as_integer(function, name, value, wanted)
    if count < least:
        raise ValueError(f"{function}: {name} must be at least {least} but is {count}")
    return count
