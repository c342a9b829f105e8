"""`info_nce` with negatives that get gradients, against its reference, naive code and plain torch."""

from __future__ import annotations

import gramless
import naive_losses
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference
from loss_views import assert_near, every_dtype, views
from tolerance import MORE_DIGITS, assert_as_accurate

# Rows, negatives and columns around vectors, tiles (24, 48, 96, 192, 384 rows) and panels of columns.
SHAPES = [(1, 1, 3), (2, 5, 17), (17, 40, 64), (48, 3, 5), (97, 194, 33), (193, 60, 7)]
SMALL_SHAPES = SHAPES[:4]


def case(n, m, d, dtype=np.float64):
    """Anchors, keys and negatives."""
    a, b = views(n, d, dtype)
    return a, b, views(m, d, dtype, seed=1)[0]


def naive(a, keys, negatives, tau, normalize=True, symmetric=False, ids=None):
    """Loss and gradients, n x (n + m) in one dtype, positives in the sum."""
    n, dtype = len(a), a.dtype.type
    (a, length), (k, lengths) = (
        naive_losses.unit(x, normalize) for x in (a, np.concatenate([keys, negatives]))
    )
    s, own = a @ k.T / dtype(tau), np.eye(n, len(k), dtype=bool)
    which = np.ones_like(own) if ids is None else own | (ids[:n, None] != ids)
    losses, ds, _ = naive_losses.softmax_loss(s, own, which)
    if symmetric:
        back, of_back, _ = naive_losses.softmax_loss(s[:, :n].T, own[:, :n], which[:, :n])
        losses, ds = losses / 2 + back / 2, ds / 2
        ds[:, :n] += of_back.T / 2
    _, (da, dk), by_tau = naive_losses.result(
        losses, ds / dtype(n), s, (a, k), (length, lengths), dtype(tau), normalize
    )
    return losses.mean(), (da, dk[:n], dk[n:], by_tau)


@every_dtype
@pytest.mark.parametrize("symmetric", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
def test_negatives_are_those_of_the_reference(backend, dtype, normalize, symmetric):
    options = {"normalize": normalize, "symmetric": symmetric, "temperature": 0.3 if normalize else 20.0}
    for shape in SHAPES:
        *arrays, negatives = case(*shape, dtype)
        named = options | {"negatives": negatives}
        ours, expected = (
            with_grads(module, "info_nce")(*arrays, **named) for module in (gramless, reference)
        )
        assert len(ours[1]) == 4
        assert_near(ours, expected, dtype)
        for reduction in ("sum", "none"):
            found, true = (
                module.info_nce(*arrays, **named, reduction=reduction) for module in (gramless, reference)
            )
            assert_near(found, true, dtype)


def assert_as_accurate_as_naive_code(dtype, ids_of=lambda rows: None):
    """Values and gradients of both directions over all shapes; ids_of: the ids of a number of keys."""
    digits, found = MORE_DIGITS[np.dtype(dtype)], {place: ([], [], []) for place in range(5)}
    for shape in SHAPES if dtype == np.float32 else SMALL_SHAPES:
        for tau in (0.05, 0.5):
            arrays, ids = case(*shape, dtype), ids_of(sum(shape[:2]))
            named = {"negatives": arrays[2], "ids": ids, "temperature": tau, "symmetric": True}
            value, grads = with_grads(gramless, "info_nce")(*arrays[:2], **named)
            answers = [(value, grads)]
            answers += [naive(*[x.astype(t) for x in arrays], tau, True, True, ids) for t in (dtype, digits)]
            results = [[number, *of_arrays] for number, of_arrays in answers]
            for place, true in enumerate(results[2]):
                size = max(float(np.abs(true).max()), 1.0 if place in (0, 4) else 1e-3 / shape[0])
                for kind, numbers in zip(found[place], results, strict=True):
                    kind.append(
                        np.ravel(np.asarray(numbers[place], digits) / max(size, place == 4 and 1 / tau))
                    )
    for kinds in found.values():
        assert_as_accurate(*map(np.concatenate, kinds), dtype)


@every_dtype
def test_negatives_are_as_accurate_as_naive_code(dtype):
    assert_as_accurate_as_naive_code(dtype)


@every_dtype
def test_negatives_are_a_queue_with_gradients(dtype):
    a, b, negatives = case(60, 90, 12, dtype)
    value, grads = gramless.value_and_grad(gramless.info_nce)(a, b, negatives=negatives)
    expected, of_queue = gramless.value_and_grad(gramless.info_nce)(a, b, negatives)
    assert value == expected == gramless.info_nce(a, b, negatives=negatives)
    for ours, theirs in zip(grads, of_queue, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    both, wanted = gramless.value_and_grad(gramless.info_nce, ["queue", "negatives"])(
        a, b, negatives[:40], negatives=negatives[40:]
    )
    assert both == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(np.concatenate(wanted), of_queue[2], rtol=2e-5, atol=1e-7)


@every_dtype
@pytest.mark.parametrize(
    "excluded", [{"exclude_above": 0.3}, {"exclude_hardest": 0.1, "exclude_easiest": 0.5}], ids=str
)
def test_negatives_may_be_excluded(dtype, excluded):
    *arrays, negatives = case(20, 33, 8, dtype)
    options = excluded | {"negatives": negatives, "symmetric": True}
    ours, expected = (with_grads(module, "info_nce")(*arrays, **options) for module in (gramless, reference))
    assert_near(ours, expected, dtype)


def test_threads_and_layouts_do_not_change_a_bit():
    a, b, negatives = case(200, 301, 9, np.float32)
    before, results = gramless.get_num_threads(), []
    try:
        for threads in (1, 3):
            gramless.set_num_threads(threads)
            for rows in (negatives, np.asfortranarray(negatives), np.repeat(negatives, 2, axis=0)[::2]):
                value, grads = gramless.value_and_grad(gramless.info_nce)(a, b, negatives=rows)
                results.append([value, *(np.asarray(grad).tobytes() for grad in grads)])
    finally:
        gramless.set_num_threads(before)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("negatives", "error", "sentence"),
    [
        (np.ones((7, 4)), ValueError, "info_nce: anchors has 3 columns but negatives has 4"),
        (np.ones((0, 3)), ValueError, r"info_nce: negatives is empty, its shape is \(0, 3\)"),
        (
            np.ones((5, 2, 3)),
            ValueError,
            r"info_nce: negatives must have 2 dimensions \(rows, features\) but has shape \(5, 2, 3\); "
            r"all of them are negatives of every anchor: pass negatives\.reshape\(-1, 3\)",
        ),
        (np.array([["a"]]), TypeError, "info_nce: negatives must hold real numbers"),
    ],
)
def test_what_does_not_fit_is_one_sentence(negatives, error, sentence):
    with pytest.raises(error, match=sentence):
        gramless.info_nce(np.ones((5, 3)), np.ones((5, 3)), negatives=negatives)
