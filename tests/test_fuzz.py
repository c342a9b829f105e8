"""Ten thousand seeded calls with arbitrary arguments: a documented error, or the number of the reference."""

from __future__ import annotations

import math
import warnings

import gramless
import numpy as np
import pytest
from fuzzing import BATCHES, CASES, DOCUMENTED, AnyCall, check_documented, outcome_of, run
from gramless import RBF, Linear, reference

KERNELS = [
    "linear",
    "rbf",
    Linear(),
    RBF(),
    RBF(sigma=0.7),
    RBF(scale=3),
    RBF(scale=0.3, include_diagonal=True),
]
WRONG_KERNELS = [None, "sigmoid", 7, RBF, b"rbf", ["linear"]]


class Case(AnyCall):
    """One call: the function, its arguments, and whether all of them are as documented."""

    def __init__(self, random):
        super().__init__(random)
        self.function = str(
            self.random.choice(["hsic", "cka", "hsic_matrix", "cka_matrix", "median_distance"])
        )
        self.arguments, self.options = self.make_arguments(), {}
        if self.function != "median_distance":
            self.options = self.make_options()

    def make_arguments(self):
        if self.function == "median_distance":
            return [self.make_array()]
        if self.function in ("hsic", "cka"):
            return [self.make_array(), self.make_array()]
        return [
            [self.make_array() for _ in range(self.random.integers(1, 4))] for _ in range(self.pick([1, 2]))
        ]

    def make_options(self):
        options = {"kernel": self.pick(KERNELS), "estimator": self.pick(["biased", "unbiased", "debiased"])}
        if self.chance(0.03):
            options["kernel"], self.wrong = self.pick(WRONG_KERNELS), True
        if self.chance(0.02):
            options["estimator"], self.wrong = self.pick([None, 1, "centered", ("biased",)]), True
        return options

    @property
    def documented(self):
        """Whether the call is valid."""
        least = 4 if self.options.get("estimator") in ("unbiased", "debiased") else 2
        return not self.wrong and len(set(self.row_counts)) == 1 and self.row_counts[0] >= least


def check_shape(case, result):
    if case.function.endswith("matrix"):
        assert result.dtype == np.float64
        assert result.shape == (len(case.arguments[0]), len(case.arguments[-1]))
    else:
        assert type(result) is float


def self_hsic(layers, kernel, estimator):
    return np.array([reference.hsic(layer, layer, kernel=kernel, estimator=estimator) for layer in layers])


def rounding(kernel, layers):
    """The error of a kernel value in float32: |a - b|^2 is a difference of numbers as large as |a|^2."""
    if not isinstance(kernel, RBF) or kernel.sigma is None:
        return 3e-6
    arrays = [np.asarray(layer, np.float64) for layer in layers]
    largest_norm2 = max(float(np.max(np.sum((a - a.mean(0)) ** 2, axis=1))) for a in arrays)
    return max(3e-6, 4 * 2.0**-24 * largest_norm2 / (2 * kernel.sigma**2))


def check_against_reference(case, result):
    """Relative to the largest value there could be: HSIC of independent data is small by cancellation."""
    expected, error = np.asarray(case.call(reference)), 3e-6
    if case.function == "median_distance":
        assert abs(result - expected) <= error * max(1.0, float(np.max(np.abs(case.arguments[0]))))
        return
    xs, ys = ([a] if case.function in ("hsic", "cka") else a for a in (case.arguments[0], case.arguments[-1]))
    kernel, estimator = case.options["kernel"], case.options["estimator"]
    error = rounding(kernel, [*xs, *ys])
    largest = np.sqrt(np.outer(self_hsic(xs, kernel, "biased"), self_hsic(ys, kernel, "biased")))
    if case.function.startswith("hsic"):
        assert np.all(np.abs(result - expected) <= error * largest)
        return
    own = np.outer(self_hsic(xs, kernel, estimator), self_hsic(ys, kernel, estimator))
    defined = own > 1e-6 * largest**2  # elsewhere the ratio is one of rounding errors
    allowed = error * largest / np.sqrt(own, where=defined, out=np.ones_like(own))
    close = np.abs(np.reshape(result, own.shape) - np.reshape(expected, own.shape)) <= allowed
    assert np.all(close[defined])


def check_outcome(case):
    outcome = outcome_of(case, gramless)
    check_documented(case, outcome)
    if not isinstance(outcome, DOCUMENTED):
        check_shape(case, outcome)
    return outcome


def check_number(case):
    if not (case.documented and case.finite):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result = case.call(gramless)
        check_against_reference(case, result)
    return result


@pytest.mark.parametrize("batch", range(BATCHES))
def test_any_call_returns_a_number_or_raises_a_documented_error(batch):
    outcomes = run(Case, batch, check_outcome)
    errors = sum(isinstance(outcome, DOCUMENTED) for outcome in outcomes)
    assert 0.1 < errors / len(outcomes) < 0.6  # some cases are invalid and some are valid
    assert any(isinstance(outcome, float) and math.isnan(outcome) for outcome in outcomes)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_any_number_is_that_of_the_reference(batch):
    compared = sum(result is not None for result in run(Case, batch, check_number))
    assert compared > 0.3 * CASES / BATCHES
