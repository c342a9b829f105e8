"""Numbers that users pass, checked; errors name the function and the argument."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

NO_NUMBERS = (bool, np.bool_, str, bytes, bytearray, memoryview)  # which float() would take or parse


def as_number(function: str, name: str, value: Any, wanted: str = "a number") -> float:
    """`value` as a float; `wanted`: what else it may be, for the sentence.

    >>> as_number("nt_xent", "temperature", "1")
    Traceback (most recent call last):
    TypeError: nt_xent: temperature must be a number but is '1'
    """
    if not isinstance(value, NO_NUMBERS):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{function}: {name} must be {wanted} but is {value!r}")


def as_integer(function: str, name: str, value: Any, wanted: str = "an int") -> int:
    """`value` as an int; `wanted`: what else it may be, for the sentence.

    >>> as_integer("set_num_threads", "count", 1.5, "an integer or None")
    Traceback (most recent call last):
    TypeError: set_num_threads: count must be an integer or None but is 1.5
    """
    if not isinstance(value, NO_NUMBERS):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{function}: {name} must be {wanted} but is {value!r}")


def at_least(least: int, function: str, name: str, value: Any, wanted: str = "an int") -> int:
    """`value` as an int of at least `least`; `wanted`: what else it may be, for the sentence.

    >>> at_least(1, "independence_test", "n_resamples", 0)
    Traceback (most recent call last):
    ValueError: independence_test: n_resamples must be at least 1 but is 0
    """
    count = as_integer(function, name, value, wanted)
    if count < least:
        raise ValueError(f"{function}: {name} must be at least {least} but is {count}")
    return count
