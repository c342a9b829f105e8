"""MinibatchCKA in any order of updates, merges, saving, loading and resets, against a list of batches."""

from __future__ import annotations

import json

import gramless
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

WIDTHS_X, WIDTHS_Y = (3, 5), (2, 4, 1)
EXACT = 1e-10  # relative error allowed in float64


def make_batch(seed, rows):
    generator = np.random.default_rng(seed)
    shared = generator.standard_normal((rows, 1))
    xs = [generator.standard_normal((rows, width)) + shared for width in WIDTHS_X]
    return xs, [generator.standard_normal((rows, width)) + shared for width in WIDTHS_Y]


class Accumulators(RuleBasedStateMachine):
    """Two accumulators that exchange their sums, and the list of batches that each should contain."""

    @initialize(
        kernel=st.sampled_from(["linear", "rbf", gramless.RBF(sigma=2.0)]),
        weighting=st.sampled_from(["mean", "pairs"]),
        with_itself=st.booleans(),
    )
    def begin(self, kernel, weighting, with_itself):
        self.options, self.with_itself = (kernel, weighting), with_itself
        self.accumulators = [gramless.MinibatchCKA(*self.options) for _ in range(2)]
        self.seen = [[], []]
        self.saved = [(a.state_dict(), []) for a in self.accumulators]

    which = st.integers(0, 1)

    @rule(which=which, seed=st.integers(0, 2**32 - 1), rows=st.integers(4, 9))
    def update(self, which, seed, rows):
        xs, ys = make_batch(seed, rows)
        self.accumulators[which].update(xs, None if self.with_itself else ys)
        self.seen[which].append((xs, None if self.with_itself else ys))

    @rule(which=which, wrong=st.sampled_from(["layers", "rows", "ys"]))
    def update_with_something_wrong(self, which, wrong):
        xs, ys = make_batch(0, 3 if wrong == "rows" else 5)
        given = None if self.with_itself else ys
        if wrong == "ys":
            given = ys if self.with_itself else None
        if wrong != "rows" and not self.seen[which]:
            return  # the first batch may be of any form
        with pytest.raises(ValueError, match=r"^MinibatchCKA\.update: "):
            self.accumulators[which].update(xs[:1] if wrong == "layers" else xs, given)

    @rule(which=which)
    def merge(self, which):
        self.accumulators[which].merge(self.accumulators[1 - which])
        self.seen[which] += self.seen[1 - which]

    @rule(which=which)
    def merge_with_itself(self, which):
        self.accumulators[which].merge(self.accumulators[which])
        self.seen[which] *= 2

    @precondition(lambda self: max(map(len, self.seen)) > 40)
    @rule()
    def forget_much(self):
        self.reset(0)
        self.reset(1)

    @rule(which=which)
    def reset(self, which):
        self.accumulators[which].reset()
        self.seen[which] = []

    @rule(which=which, travel=st.sampled_from([dict, lambda state: json.loads(json.dumps(state))]))
    def save(self, which, travel):
        self.saved[which] = travel(self.accumulators[which].state_dict()), list(self.seen[which])

    @rule(which=which, other=which)
    def load(self, which, other):
        state, batches = self.saved[other]
        self.accumulators[which].load_state_dict(state)
        self.seen[which] = list(batches)

    @rule(which=which)
    def load_something_wrong(self, which):
        state = self.accumulators[which].state_dict()
        wrong = {**state, "weighting": {"mean": "pairs", "pairs": "mean"}[self.options[1]]}
        with pytest.raises(ValueError, match=r"^MinibatchCKA\.load_state_dict: weighting is "):
            self.accumulators[which].load_state_dict(wrong)

    @invariant()
    def each_knows_its_batches_and_no_others(self):
        for accumulator, batches in zip(self.accumulators, self.seen, strict=True):
            assert accumulator.state_dict()["batches"] == len(batches)
            if not batches:
                with pytest.raises(RuntimeError, match="no batch"):
                    accumulator.compute()
                continue
            model = gramless.reference.MinibatchCKA(*self.options)
            for batch in batches:
                model.update(*batch)
            assert accumulator.compute() == pytest.approx(model.compute(), rel=EXACT, abs=EXACT)


Accumulators.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestAccumulators = Accumulators.TestCase
