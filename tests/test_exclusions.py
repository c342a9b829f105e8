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
@pytest.mark.parametrize("fraction", [1e-6, 0.003, 0.3, 1])
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
        k = max(1, math.floor(fraction * len(row)))
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
    assert gramless.nt_xent(a, a, exclude_hardest=0) == pytest.approx(math.log(299), rel=1e-6)


@every_dtype
def test_a_fraction_of_less_than_one_negative_is_one(dtype):
    a, b = views(40, 33, dtype)
    for name in ("nt_xent", "dcl", "info_nce"):
        loss = getattr(gramless, name)
        one, least = (loss(a, b, exclude_hardest=fraction, reduction="none") for fraction in (0.014, 1e-9))
        assert np.array_equal(one, least)
        none = loss(a, b, exclude_hardest=0.0, reduction="none")
        assert np.all(least < none)
        np.testing.assert_array_equal(none, loss(a, b, reduction="none"))


def test_a_product_just_below_a_whole_number_is_that_number():
    """0.29 of 100 negatives is 28.999999999999996 in float64."""
    anchors, keys = np.eye(1, 4), np.random.default_rng(0).standard_normal((101, 4))
    groups = np.zeros(1, np.int64), np.r_[0, np.ones(100, np.int64)]
    found, _ = _core.contrast_limits([anchors], [keys], *groups, False, 0.29, 0.0, False)
    assert found[0] == np.sort(keys[1:, 0])[-29]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": 0.0}, "temperature must be finite and not 0 but is 0.0"),
        ({"exclude_hardest": 2.0}, "exclude_hardest must be from 0 to 1 but is 2.0"),
        ({"exclude_above": 0.5, "exclude_hardest": 0.5}, "exclude each other but are 0.5 and 0.5"),
    ],
)
def test_numbers_are_checked_where_every_row_is_ignored(options, sentence):
    for function in (gramless.sup_con, gramless.value_and_grad(gramless.sup_con)):
        with pytest.raises(ValueError, match=sentence):
            function(np.ones((3, 2)), [1, 1, 1], ignore_index=1, **options)
