"""Which negatives are left out: the most or least similar, or those above a threshold."""

from __future__ import annotations

import functools
import itertools
import math

import gramless
import numpy as np
import pytest
from gradients import with_grads
from gramless import _core, reference
from loss_views import assert_near, every_dtype, labels_of, views

EVERY_FRACTION = [0, 0.01, 0.1, 0.5, 0.99, 1]
EXCLUDED = [
    *({name: fraction} for name in ("exclude_hardest", "exclude_easiest") for fraction in EVERY_FRACTION),
    {"exclude_hardest": 0.1, "exclude_easiest": 0.3},
    {"exclude_hardest": 0.01, "exclude_easiest": 0.95},
    {"exclude_hardest": 0.6, "exclude_easiest": 0.7},
    {"exclude_above": 0.3, "exclude_easiest": 0.2},
]


@every_dtype
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
@pytest.mark.parametrize("excluded", EXCLUDED, ids=str)
def test_the_hardest_and_easiest_negatives_are_those_of_the_reference(excluded, normalize, dtype):
    a, b = views(60, 7, dtype)
    options = {"temperature": 0.4, "normalize": normalize, **excluded}
    all_left_out = sum(value for name, value in excluded.items() if name != "exclude_above") >= 1
    for name, arrays, more in [
        ("nt_xent", (a, b), {}),
        ("dcl", (a, b), {}),
        ("sup_con", (a, labels_of(60)), {}),
        ("info_nce", (a, b, a[:11][::-1]), {"symmetric": True}),
    ]:
        if name == "dcl" and all_left_out:
            continue
        ours, expected = (
            with_grads(module, name)(*arrays, **options, **more) for module in (gramless, reference)
        )
        assert_near(ours, expected, dtype)


def many_keys(dtype):
    generator = np.random.default_rng(0)
    anchors, keys = generator.standard_normal((200, 5)).astype(dtype), generator.standard_normal((50_000, 5))
    keys = keys.astype(dtype)
    keys[7], anchors[3] = 0, 0  # zeros of both signs, and an anchor all of whose negatives tie
    return anchors, keys, (np.arange(200), np.arange(50_000) % 300)


@functools.cache
def sorted_negatives(dtype):
    anchors, keys, groups = many_keys(dtype)
    dots = (anchors.astype(np.longdouble) @ keys.T.astype(np.longdouble)).astype(np.float64)
    return [np.sort(row[groups[1] != group]) for group, row in zip(groups[0], dots, strict=True)]


@every_dtype
@pytest.mark.parametrize("easiest", [False, True], ids=["hardest", "easiest"])
@pytest.mark.parametrize("fraction", [1e-6, 0.003, 0.3, 1])
def test_limits_of_many_keys_are_those_of_a_sort(backend, dtype, fraction, easiest):
    """Strips with few rows: 50,000 float64 keys give 20 rows in 8 MB."""
    anchors, keys, groups = many_keys(dtype)
    found, of_keys = _core.contrast_limits([anchors], [keys], *groups, False, fraction, 1e-6, False, easiest)
    assert np.all(of_keys == (-np.inf if easiest else np.inf))
    for i, row in enumerate(sorted_negatives(dtype)):
        k = max(1, math.floor(fraction * len(row)))
        tie = 1e-6 * np.abs(row).max()
        expected = row[k - 1] + tie if easiest else row[-k] - tie
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
    for rule in ("exclude_hardest", "exclude_easiest"):
        assert gramless.nt_xent(a, a, **{rule: 0.01}) == 0
        assert gramless.nt_xent(a, a, **{rule: 0}) == pytest.approx(math.log(299), rel=1e-6)


@every_dtype
def test_a_fraction_of_less_than_one_negative_is_one(dtype):
    a, b = views(40, 33, dtype)
    for name, rule in itertools.product(
        ("nt_xent", "dcl", "info_nce"), ("exclude_hardest", "exclude_easiest")
    ):
        loss = getattr(gramless, name)
        one, least = (loss(a, b, **{rule: fraction}, reduction="none") for fraction in (0.014, 1e-9))
        assert np.array_equal(one, least)
        none = loss(a, b, **{rule: 0.0}, reduction="none")
        assert np.all(least < none)
        np.testing.assert_array_equal(none, loss(a, b, reduction="none"))


@every_dtype
def test_ranks_are_each_others_among_negated_rows(dtype):
    """The least similar key of an anchor is the most similar one of its negative."""
    anchors, keys = views(50, 9, dtype)
    mine, others = (
        gramless.value_and_grad(gramless.info_nce)(*pair, exclude_easiest=0.2, temperature=t, reduction="sum")
        for pair, t in (((anchors, keys), 0.3), ((-anchors, keys), -0.3))
    )
    hardest = gramless.value_and_grad(gramless.info_nce)(
        -anchors, keys, exclude_hardest=0.2, temperature=-0.3, reduction="sum"
    )
    assert hardest[0] == pytest.approx(mine[0], rel=1e-6)
    assert hardest[0] != pytest.approx(others[0], rel=1e-3)
    np.testing.assert_allclose(-hardest[1][0], mine[1][0], rtol=1e-5, atol=1e-7)


def test_a_band_of_ranks_keeps_what_a_sort_keeps():
    """The hardest 5 % without the hardest 0.5 %, of 200 negatives: ranks 2 to 10."""
    rows = np.random.default_rng(3).standard_normal((201, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = gramless.info_nce(
        rows, rows, temperature=0.2, exclude_hardest=0.005, exclude_easiest=0.95, reduction="none"
    )
    dots = rows @ rows.T
    for i in (0, 17, 200):
        negatives = np.sort(np.delete(dots[i], i))[::-1][1:10] / 0.2
        assert found[i] == pytest.approx(np.log1p(np.exp(negatives - dots[i, i] / 0.2).sum()), rel=1e-12)


def test_without_a_fraction_nothing_else_is_left_out():
    a, b = views(30, 5, np.float64)
    assert gramless.nt_xent(a, b, exclude_easiest=None) == gramless.nt_xent(a, b)


def test_a_product_just_below_a_whole_number_is_that_number():
    """0.29 of 100 negatives is 28.999999999999996 in float64."""
    anchors, keys = np.eye(1, 4), np.random.default_rng(0).standard_normal((101, 4))
    groups = np.zeros(1, np.int64), np.r_[0, np.ones(100, np.int64)]
    found, _ = _core.contrast_limits([anchors], [keys], *groups, False, 0.29, 0.0, False, False)
    assert found[0] == np.sort(keys[1:, 0])[-29]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": 0.0}, "temperature must be finite and not 0 but is 0.0"),
        ({"exclude_hardest": 2.0}, "exclude_hardest must be from 0 to 1 but is 2.0"),
        ({"exclude_above": 0.5, "exclude_hardest": 0.5}, "not both; they are 0.5 and 0.5"),
    ],
)
def test_numbers_are_checked_where_every_row_is_ignored(options, sentence):
    for function in (gramless.sup_con, gramless.value_and_grad(gramless.sup_con)):
        with pytest.raises(ValueError, match=sentence):
            function(np.ones((3, 2)), [1, 1, 1], ignore_index=1, **options)


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (-0.1, ValueError, "must be from 0 to 1 but is -0.1"),
        (float("nan"), ValueError, "must be from 0 to 1 but is nan"),
        ("most", TypeError, "must be a number or None but is 'most'"),
    ],
)
def test_fractions_that_are_none_are_refused(value, error, sentence):
    a, b = views(4, 5, np.float64)
    for module in (gramless, reference):
        for call in (
            lambda m: m.nt_xent(a, b, exclude_easiest=value),
            lambda m: m.sup_con(a, [0, 0, 1, 1], exclude_easiest=value),
        ):
            with pytest.raises(error, match=f"exclude_easiest {sentence}"):
                call(module)
