"""Ten thousand seeded calls of losses with arbitrary arguments: documented errors or right numbers."""

from __future__ import annotations

import math
import warnings

import gramless
import numpy as np
import pytest
from fuzzing import BATCHES, CASES, DOCUMENTED, AnyCall, check_documented, outcome_of, run
from gradients import with_grads
from gramless import reference

FUNCTIONS = ["nt_xent", "dcl", "sup_con", "info_nce", "row_log_sum_exp", "similarity_distillation"]
WRONG_TEMPERATURES = [0, math.nan, math.inf, None, "x", [1.0], 0.0, b"1"]
WRONG_REDUCTIONS = ["max", None, 1, ["mean"]]
WRONG_EXCLUSIONS = [
    {"exclude_above": "x"},
    {"exclude_above": math.nan},
    {"exclude_hardest": 1.5},
    {"exclude_hardest": -0.1},
    {"exclude_hardest": []},
    {"exclude_above": 0.5, "exclude_hardest": 0.5},
]


class Case(AnyCall):
    """One call of a loss, perhaps with its gradients."""

    def __init__(self, random):
        super().__init__(random)
        self.loss = self.pick(FUNCTIONS)
        self.with_grad = self.chance(0.5)
        self.function = self.loss
        self.columns, self.column_counts = int(self.random.integers(1, 11)), []
        self.options = {}
        self.arguments = self.make_arguments()
        self.make_options()

    def call(self, module):
        called = with_grads(module, self.loss) if self.with_grad else getattr(module, self.loss)
        return called(*self.arguments, **self.options)

    def make_embeddings(self, other_rows=False):
        """An array of the case's columns, rarely of others; `other_rows`: any number of rows is valid."""
        rows, counted = self.rows, len(self.row_counts)
        if other_rows:
            self.rows = int(self.random.integers(1, 9))
        columns = self.columns + self.chance(0.03)
        array = self.make_array(columns, size=2.0)
        if len(self.row_counts) > counted:
            self.column_counts.append(columns)
            if other_rows:
                self.row_counts.pop()
        self.rows = rows
        return array

    def make_arguments(self):
        if self.loss == "sup_con":
            rows = self.rows + self.chance(0.03)
            z = self.make_embeddings()
            self.row_counts.append(rows)
            return [z, self.make_labels(rows)]
        if self.loss == "row_log_sum_exp":
            return [self.make_embeddings(), self.make_keys()]
        arrays = [self.make_embeddings(), self.make_embeddings()]
        if self.loss == "info_nce":
            arrays.append(self.make_keys())
        if self.loss == "similarity_distillation":
            arrays.append(self.make_embeddings(True))
        return arrays

    def make_keys(self):
        """A queue or the like, which may be None, of any number of rows."""
        if self.chance(0.5):
            return None
        keys = self.make_embeddings(True)
        return 3 if keys is None else keys

    def make_labels(self, rows):
        if self.chance(0.03):
            self.wrong = True
            return self.pick([np.zeros(rows), np.zeros((rows, 2), int), [1j] * rows, None])
        labels = self.random.integers(-2, 3, rows)
        return self.pick([labels, labels.tolist(), labels.astype(str), labels > 0])

    def make_options(self):
        options = self.options
        options["temperature"] = self.pick([0.05, 0.2, 0.5, 1, 3.0, -0.7])
        options["normalize"] = bool(self.chance(0.7))
        if self.chance(0.03):
            options["temperature"], self.wrong = self.pick(WRONG_TEMPERATURES), True
        if self.loss != "row_log_sum_exp":
            options["reduction"] = self.pick(["mean", "sum"] if self.with_grad else ["mean", "sum", "none"])
            if self.chance(0.02):
                options["reduction"], self.wrong = self.pick(WRONG_REDUCTIONS), True
        if self.loss == "info_nce":
            options["symmetric"] = bool(self.chance(0.5))
        if self.loss in ("row_log_sum_exp", "similarity_distillation"):
            return
        if self.chance(0.2):
            options |= self.pick([{"exclude_above": 0.3}, {"exclude_hardest": 0.2}])
        elif self.chance(0.03):
            options |= self.pick(WRONG_EXCLUSIONS)
            self.wrong = True

    @property
    def documented(self):
        """Whether the call is valid."""
        return not self.wrong and len(set(self.row_counts)) == 1 and len(set(self.column_counts)) == 1

    @property
    def arrays(self):
        arrays = self.arguments[:1] if self.loss == "sup_con" else self.arguments
        return [array for array in arrays if array is not None]


def check_shapes(case, outcome):
    rows = case.row_counts[0]
    anchors = 2 * rows if case.loss in ("nt_xent", "dcl") else rows
    value = outcome[0] if case.with_grad else outcome
    if case.loss == "row_log_sum_exp" or case.options.get("reduction") == "none":
        assert value.shape == (anchors,)
    else:
        assert isinstance(value, float)
    if case.with_grad:
        *grads, by_temperature = outcome[1]
        assert isinstance(by_temperature, float)
        shapes = [grad.shape for grad in grads if grad is not None]
        assert set(shapes) <= {np.asarray(array).shape for array in case.arrays}


def check_outcome(case):
    outcome = outcome_of(case, gramless)
    check_documented(case, outcome)
    if not isinstance(outcome, DOCUMENTED):
        check_shapes(case, outcome)
    return outcome


def largest_logit(case):
    if case.options["normalize"]:
        norms = [1.0]
    else:
        norms = [np.max(np.linalg.norm(np.asarray(array, float), axis=1)) for array in case.arrays]
    lowest = min(abs(case.options["temperature"]), 0.01 if case.loss == "similarity_distillation" else 9)
    return 1 + max(norms) ** 2 / lowest


def check_number(case):
    """The error is the rounding of the largest logit; which negatives are excluded may depend on rounding."""
    excluded = {"exclude_above", "exclude_hardest"} & set(case.options)
    if not (case.documented and case.finite) or excluded:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ours, expected = case.call(gramless), case.call(reference)
    values = (ours[0], expected[0]) if case.with_grad else (ours, expected)
    count = 2 * case.row_counts[0] if case.options.get("reduction") == "sum" else 1
    allowed = 8 * 2.0**-24 * largest_logit(case) * count
    assert np.all(np.isclose(values[0], values[1], rtol=0, atol=allowed, equal_nan=True)), (
        f"{values[0]} but {values[1]}"
    )
    return values[0]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_any_call_returns_numbers_or_raises_a_documented_error(batch):
    outcomes = run(Case, batch, check_outcome)
    errors = sum(isinstance(outcome, DOCUMENTED) for outcome in outcomes)
    assert 0.1 < errors / len(outcomes) < 0.6  # some cases are invalid and some are valid


@pytest.mark.parametrize("batch", range(BATCHES))
def test_any_loss_is_that_of_the_reference(batch):
    compared = sum(result is not None for result in run(Case, batch, check_number))
    assert compared > 0.3 * CASES / BATCHES
