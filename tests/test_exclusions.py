"""Which negatives are left out: the most similar, or those above a threshold."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from gradients import with_grads
from gramless import _core, reference
from loss_views import assert_near, every_dtype, labels_of, views


@every_dtype
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
@pytest.mark.parametrize("fraction", [0, 0.01, 0.1, 0.5, 0.99, 1])
def test_the_hardest_negatives_are_those_of_the_reference(fraction, normalize, dtype):
    a, b = views(60, 7, dtype)
    options = {"temperature": 0.4, "normalize": normalize, "exclude_hardest": fraction}
    for name, arrays, more in [
        ("nt_xent", (a, b), {}),
        ("dcl", (a, b), {}),
        ("sup_con", (a, labels_of(60)), {}),
        ("info_nce", (a, b, a[:11][::-1]), {"symmetric": True}),
    ]:
        if name == "dcl" and fraction == 1:
            continue
        ours, expected = (
            with_grads(module, name)(*arrays, **options, **more) for module in (gramless, reference)
        )
        assert_near(ours, expected, dtype)


@every_dtype
@pytest.mark.parametrize("fraction", [0.0001, 0.003, 0.3, 1])
def test_limits_of_many_keys_are_those_of_a_sort(backend, dtype, fraction):
    """Strips of fewer rows than threads could share: 50,000 float64 keys are 20 rows in 8 MB."""
    generator = np.random.default_rng(0)
    anchors, keys = generator.standard_normal((200, 5)).astype(dtype), generator.standard_normal((50_000, 5))
    keys = keys.astype(dtype)
    keys[7], anchors[3] = 0, 0  # zeros of both signs, and an anchor all of whose negatives tie
    groups = np.arange(200), np.arange(50_000) % 300
    found, of_keys = _core.contrast_limits([anchors], [keys], *groups, False, fraction, 1e-6, False)
    assert np.all(of_keys == np.inf)
    dots = (anchors.astype(np.longdouble) @ keys.T.astype(np.longdouble)).astype(np.float64)
    for i, row in enumerate(dots):
        row = np.sort(row[groups[1] != groups[0][i]])
        k = math.floor(fraction * len(row))
        expected = row[-k] - 1e-6 * np.abs(row).max()
        assert found[i] == pytest.approx(expected, abs=(1e-6 if dtype == np.float32 else 1e-14) * 16)


@every_dtype
@pytest.mark.parametrize("threshold", [-2, -0.5, 0.0, 0.31, 0.8, 2])
def test_negatives_above_a_threshold_are_those_of_the_reference(threshold, dtype):
    a, b = views(60, 7, dtype)
    for name, arrays, more in [
        ("nt_xent", (a, b), {}),
        ("sup_con", (a, labels_of(60)), {}),
        ("info_nce", (a, b, a[:11][::-1]), {"symmetric": True}),
    ]:
        ours, expected = (
            with_grads(module, name)(*arrays, exclude_above=threshold, temperature=0.4, **more)
            for module in (gramless, reference)
        )
        assert_near(ours, expected, dtype)


@every_dtype
def test_equal_negatives_are_all_left_out_together(dtype):
    """Rounding, which differs with the place in a tile, must not choose among them."""
    a = np.tile(views(1, 33, dtype)[0], (150, 1))
    assert gramless.nt_xent(a, a, exclude_hardest=0.01) == 0
    assert gramless.nt_xent(a, a, exclude_hardest=0.003) == pytest.approx(math.log(299), rel=1e-6)
