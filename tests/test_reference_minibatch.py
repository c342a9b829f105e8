"""The reference's minibatch CKA."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gramless import reference
from test_reference import two_layers


@pytest.fixture
def pair():
    return two_layers()


def test_minibatch_cka_of_one_batch_is_cka(pair):
    whole = reference.MinibatchCKA("rbf")
    whole.update(pair, pair[:1])
    expected = reference.cka_matrix(pair, pair[:1], kernel="rbf")
    assert whole.compute() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighting", ["mean", "pairs"])
def test_minibatch_cka_averages_before_it_divides(pair, weighting):
    x, y = pair
    parts = [slice(0, 12), slice(12, 16), slice(16, 30)]
    weights = {"mean": [1, 1, 1], "pairs": [12 * 9, 4 * 1, 14 * 11]}[weighting]
    batches = reference.MinibatchCKA(weighting=weighting)
    for part in parts:
        batches.update([x[part]], [y[part]])
    xy, xx, yy = (
        np.average([reference.hsic(a[part], b[part]) for part in parts], weights=weights)
        for a, b in [(x, y), (x, x), (y, y)]
    )
    assert batches.compute() == pytest.approx(xy / math.sqrt(xx * yy), rel=1e-12)
