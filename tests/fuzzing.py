"""Calls with arbitrary arguments: their arrays, and checks of calls. It does not depend on functions."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

CASES = int(os.environ.get("GRAMLESS_FUZZ_CASES", "10000"))
BATCHES = 10
DTYPES = [
    "float32",
    "float64",
    "float16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
WRONG = [None, 3, "x", b"x", {}, object(), [], [[]], np.array(3.0), np.zeros(5), np.zeros((2, 3, 4)), 1j]
WRONG += [
    np.zeros((6, 2), complex),
    np.zeros((6, 2), object),
    np.zeros((6, 2), ">f4"),
    np.zeros((6, 2), "U3"),
]
WRONG += [np.zeros((0, 3)), np.zeros((3, 0)), np.ma.zeros((6, 2)), [[1, 2], [3]], lambda: 0, float("nan")]
DOCUMENTED = (ValueError, TypeError)


class AnyCall:
    """The arguments of a call; subclasses choose the function and decide whether the call is as documented.

    All choices come from `random`, a numpy Generator or an object with the same methods.
    """

    function: str

    def __init__(self, random):
        self.random = random
        self.wrong, self.finite, self.row_counts = False, True, []
        self.rows = int(self.random.choice([1, 2, 3, 4, 5, 6, 7, 9, 12, 17, 25]))

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, choices):
        return choices[self.random.integers(len(choices))]

    def make_array(self, columns=None, size=40.0):
        """A mostly valid array, of `columns` columns or of any number; its rows are counted."""
        if self.chance(0.04):
            self.wrong = True
            return self.pick(WRONG)
        rows = self.rows + self.chance(0.03)
        self.row_counts.append(rows)
        columns = int(self.random.integers(1, 11)) if columns is None else columns
        array = self.random.standard_normal((2 * rows, 2 * columns)) * size
        dtype = self.pick(DTYPES)
        array = np.asarray(np.abs(array) if dtype.startswith("u") else array).astype(dtype)
        if self.chance(0.1):
            array = array > array.dtype.type(20)
        return self.spoil(self.arrange(array, rows))

    def arrange(self, array, rows):
        array = np.asfortranarray(array) if self.chance(0.3) else array
        array = array[::2] if self.chance(0.5) else array[:rows]
        array = array[:, ::2] if self.chance(0.5) else array[:, : array.shape[1] // 2]
        array = array[::-1] if self.chance(0.2) else array
        return array[:, ::-1] if self.chance(0.2) else array

    def spoil(self, array):
        if array.dtype.kind == "f" and self.chance(0.06):
            array[self.random.integers(len(array)), 0] = self.pick([np.nan, np.inf, -np.inf])
            self.finite = False
        if self.chance(0.05):
            array[:] = array[:1]
        if self.chance(0.05):
            array = np.broadcast_to(array[:, :1], array.shape)
        if self.chance(0.05):
            array = array.tolist()
        return array

    def call(self, module):
        return getattr(module, self.function)(*self.arguments, **self.options)


def outcome_of(case, module):
    """The result of the call, or the documented error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return case.call(module)
        except DOCUMENTED as error:
            return error


def check_documented(case, outcome):
    """Invalid calls, and only those, raise an error of one sentence that names the function."""
    if isinstance(outcome, DOCUMENTED):
        assert not case.documented, f"raised {outcome!r}"
        assert str(outcome).startswith(f"{case.function}: ")
        assert "\n" not in str(outcome)
    else:
        assert case.documented, "a wrong argument was accepted"


def run(kind, batch, check):
    """The results of check(case) for every case of a batch."""
    outcomes = []
    for seed in range(batch, CASES, BATCHES):
        case = kind(np.random.default_rng(seed))
        try:
            outcomes.append(check(case))
        except Exception as error:
            pytest.fail(f"case {seed}, {case.function}: {type(error).__name__}: {error}")
    return outcomes
