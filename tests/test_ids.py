"""`info_nce` without the duplicates of an anchor's own key: `ids`."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference
from loss_views import assert_near, every_dtype, labels_of
from test_key_gradients import SHAPES, assert_as_accurate_as_naive_code, case

ONE_WAY = pytest.mark.parametrize("symmetric", [False, True], ids=["one way", "both ways"])


EXCLUDED = [{"exclude_above": 0.4}, {"exclude_hardest": 0.1, "exclude_easiest": 0.5}]


def assert_as_the_reference(shape, dtype, **options):
    *arrays, negatives = case(*shape, dtype)
    options |= {"negatives": negatives, "ids": labels_of(sum(shape[:2]))}
    ours, expected = (with_grads(module, "info_nce")(*arrays, **options) for module in (gramless, reference))
    assert_near(ours, expected, dtype)
    for reduction in ("sum", "none"):
        found, true = (
            module.info_nce(*arrays, **options, reduction=reduction) for module in (gramless, reference)
        )
        assert_near(found, true, dtype)


@every_dtype
@ONE_WAY
def test_ids_are_those_of_the_reference(backend, dtype, symmetric):
    for shape in SHAPES:
        assert_as_the_reference(shape, dtype, symmetric=symmetric)


@ONE_WAY
@pytest.mark.parametrize("excluded", EXCLUDED, ids=str)
def test_others_may_be_excluded_beside_those_of_one_id(symmetric, excluded):
    for shape in SHAPES[1:]:
        assert_as_the_reference(shape, np.float32, symmetric=symmetric, **excluded)


@every_dtype
def test_ids_are_as_accurate_as_naive_code(dtype):
    assert_as_accurate_as_naive_code(dtype, labels_of)


@every_dtype
@ONE_WAY
def test_ids_that_all_differ_change_nothing_but_roundings(dtype, symmetric):
    *arrays, negatives = case(97, 130, 21, dtype)
    options = {"negatives": negatives, "symmetric": symmetric, "temperature": 0.05}
    text = np.array([f"page {i}" for i in np.random.default_rng(0).permutation(97 + 130)])
    assert_near(
        with_grads(gramless, "info_nce")(*arrays, ids=text, **options),
        with_grads(gramless, "info_nce")(*arrays, **options),
        dtype,
    )


def test_what_is_left_out_is_the_duplicates_of_the_own_key():
    """The loss of each anchor without the keys that have the id of its own key."""
    a, b, negatives = case(12, 20, 6)
    ids, keys = labels_of(32), np.concatenate([b, negatives])
    losses = gramless.info_nce(a, b, negatives=negatives, ids=ids, reduction="none")
    for i, loss in enumerate(losses):
        others = keys[ids != ids[i]]
        assert loss == pytest.approx(
            gramless.info_nce(a[i : i + 1], b[i : i + 1], negatives=others), rel=1e-12
        )


@ONE_WAY
def test_without_a_negative_loss_and_gradients_are_zero(symmetric):
    a, b, negatives = case(5, 3, 4)
    for normalize in (True, False):
        options = {"ids": [3] * 8, "symmetric": symmetric, "normalize": normalize}
        value, grads = gramless.value_and_grad(gramless.info_nce)(a, b, negatives=negatives, **options)
        assert value == 0
        assert all(np.all(np.asarray(grad) == 0) for grad in grads)


def test_ids_of_a_queue_come_last():
    a, b, more = case(12, 20, 6)
    ids = labels_of(32)
    expected = gramless.value_and_grad(gramless.info_nce)(a, b, negatives=more, ids=ids)
    value, (by_a, by_b, *by_more, by_temperature) = gramless.value_and_grad(gramless.info_nce)(
        a, b, more[15:], negatives=more[:15], ids=ids
    )
    assert_near((value, (by_a, by_b, np.concatenate(by_more[::-1]), by_temperature)), expected, np.float64)


def test_threads_do_not_change_a_bit():
    a, b, negatives = case(200, 301, 9, np.float32)
    before, results = gramless.get_num_threads(), []
    try:
        for threads in (1, 3):
            gramless.set_num_threads(threads)
            value, grads = gramless.value_and_grad(gramless.info_nce)(
                a, b, negatives=negatives, ids=labels_of(501), symmetric=True
            )
            results.append([value, *(np.asarray(grad).tobytes() for grad in grads)])
    finally:
        gramless.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("ids", "options", "error", "sentence"),
    [
        ([1, 2], {}, ValueError, "keys has 3 rows but ids has 2"),
        (
            [1, 2, 3],
            {"negatives": np.ones((4, 2))},
            ValueError,
            "keys and negatives have 7 rows but ids has 3",
        ),
        (
            [1, 2, 3],
            {"negatives": np.ones((4, 2)), "queue": np.ones((1, 2))},
            ValueError,
            "keys, negatives and queue have 8 rows but ids has 3",
        ),
        ([[1, 2, 3]], {}, ValueError, r"ids must have 1 dimension, one id per row, but has shape \(1, 3\)"),
        ([1.0, 2.0, 3.0], {}, TypeError, "ids must be integers or text but has dtype float64"),
        ([1, None, 3], {}, TypeError, "ids must be integers or text but has dtype object"),
    ],
)
def test_what_does_not_fit_is_one_sentence(ids, options, error, sentence):
    for module in (gramless, reference):
        with pytest.raises(error, match=f"^info_nce: {sentence}$"):
            module.info_nce(np.ones((3, 2)), np.ones((3, 2)), ids=ids, **options)


@pytest.mark.parametrize("far", [1e30, math.inf, math.nan])
def test_what_is_not_finite_is_so_where_it_is_in_the_reference(far):
    a, b, negatives = case(9, 4, 5)
    a[2], negatives[1, 3] = np.abs(a[2]), far
    options = {"negatives": negatives, "ids": labels_of(13), "normalize": False, "temperature": 1.0}
    found, expected = (module.info_nce(a, b, reduction="none", **options) for module in (gramless, reference))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
