"""`guided_info_nce`: the pairs that a guide leaves, against the reference and naive code."""

from __future__ import annotations

import gramless
import naive_losses
import numpy as np
import pytest
from gramless import reference
from loss_views import assert_near, every_dtype, views
from tolerance import MORE_DIGITS, assert_as_accurate

# Rows, negatives, columns and columns of the guide, around vectors, tiles and panels of columns.
SHAPES = [(1, 1, 3, 2), (2, 5, 17, 200), (17, 40, 64, 5), (97, 102, 33, 16)]
CHOICES = [
    {},
    {"margin": 0.1, "contrast_anchors": False},
    {"margin": 0.2, "margin_strategy": "relative", "contrast_positives": False, "normalize": False},
    {"margin": -0.6, "temperature": 0.1},  # pairs of a row with itself count
    {"margin": -1.0, "margin_strategy": "relative", "normalize": False, "temperature": 3.0},
    {"contrast_anchors": False, "contrast_positives": False},
]


def case(n, m, d, e, dtype=np.float64, copies=True):
    """Anchors, positives, negatives, and the guide's rows for each, some of which are copies of others."""
    rows = [*views(n, d, dtype), views(m, d, dtype, seed=1)[0]]
    guide = [*views(n, e, dtype, seed=2), views(m, e, dtype, seed=3)[0]]
    if copies and n > 16 and m > 7:
        guide[0][3], guide[1][5], guide[0][9] = guide[1][3], guide[1][4], guide[1][8]
        guide[2][7], guide[0][11], guide[0][12] = guide[1][6], guide[1][11], guide[1][11]
    return rows, guide


def named(rows, guide):
    names = ("anchors", "positives", "negatives")
    found = dict(zip(names, rows, strict=False))
    return found | {f"guide_{name}": x for name, x in zip(names, guide, strict=False)}


def with_grads(module, arrays, **options):
    if module is reference:
        return reference.guided_info_nce_value_and_grad(**arrays, **options)
    wrt = [name for name in ("anchors", "positives", "negatives") if name in arrays]
    return gramless.value_and_grad(gramless.guided_info_nce, [*wrt, "temperature"])(**arrays, **options)


@every_dtype
@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_it_is_the_reference(backend, dtype, options):
    for shape in SHAPES:
        rows, guide = case(*shape, dtype)
        for count in (3, 2) if shape[0] < 20 else (3,):
            arrays = named(rows[:count], guide[:count])
            chosen = {"temperature": 0.3} | options
            ours, expected = (with_grads(module, arrays, **chosen) for module in (gramless, reference))
            assert len(ours[1]) == count + 1
            assert_near(ours, expected, dtype)
    for reduction in ("sum", "none"):
        ours, expected = (
            module.guided_info_nce(**arrays, **chosen, reduction=reduction)
            for module in (gramless, reference)
        )
        assert_near(ours, expected, dtype)


def naive(rows, guide, tau):
    """All n x n matrices, in one dtype."""
    dtype, n = rows[0].dtype.type, len(rows[0])
    units = [naive_losses.unit(x, True) for x in rows]
    (a, p, m), g = [z for z, _ in units], [naive_losses.unit(x, True)[0] for x in guide]
    pairs = [(0, 1), (0, 0), (1, 1), (0, 2)]
    z, ends = [a, p, m], np.cumsum([n, n, n])
    s = np.hstack([z[i] @ z[j].T for i, j in pairs]) / dtype(tau)
    cosines = np.hstack([g[i] @ g[j].T for i, j in pairs])
    own = np.eye(n, s.shape[1], dtype=bool)
    left = own | (cosines <= np.diag(cosines)[:, None])
    losses, ds, _ = naive_losses.softmax_loss(s, own, left)
    ds, grads = ds / dtype(n), [np.zeros_like(x) for x in rows]
    for (i, j), part in zip(pairs, np.split(ds / dtype(tau), ends, axis=1), strict=True):
        grads[i] += part @ z[j]
        grads[j] += part.T @ z[i]
    for i, (unit, length) in enumerate(units):
        grads[i] = (grads[i] - (grads[i] * unit).sum(1, keepdims=True) * unit) / length
    return [losses.mean(), *grads, -(ds * s).sum() / dtype(tau)]


@every_dtype
def test_it_is_as_accurate_as_naive_code(dtype):
    digits, found = MORE_DIGITS[np.dtype(dtype)], [([], [], []) for _ in range(5)]
    for shape in SHAPES[1:]:
        for tau in (0.05, 0.5):
            rows, guide = case(*shape, dtype, copies=False)
            value, grads = with_grads(gramless, named(rows, guide), temperature=tau)
            answers = [[value, *grads]]
            for t in (dtype, digits):
                answers.append(naive([x.astype(t) for x in rows], [x.astype(t) for x in guide], tau))
            for place, true in enumerate(answers[2]):
                size = max(float(np.abs(true).max()), 1 / tau if place == 4 else 1.0 if place == 0 else 1e-3)
                for kind, numbers in zip(found[place], answers, strict=True):
                    kind.append(np.ravel(np.asarray(numbers[place], digits) / size))
    for kinds in found:
        assert_as_accurate(*[np.concatenate(kind) for kind in kinds], dtype)


@every_dtype
def test_what_is_as_similar_as_the_positive_stays(dtype):
    """Equal rows of the guide have equal cosines at all places, also a row with itself."""
    n, options = 130, {"temperature": 0.5, "reduction": "none"}
    (a, p, _), (ga, gp, _) = case(n, 1, 9, 200, dtype, copies=False)
    gp[:] = gp[0] = ga[0] + gp[0]
    alone = {"contrast_anchors": False, "contrast_positives": False}
    found = gramless.guided_info_nce(a, p, guide_anchors=ga, guide_positives=gp, **options, **alone)
    plain = gramless.info_nce(a, p, **options)
    assert_near(found, plain, dtype)  # no positive is left out
    less = gramless.guided_info_nce(
        a, p, guide_anchors=ga, guide_positives=gp, margin=1e-5, **options, **alone
    )
    assert np.abs(less).max() < 1e-5  # all are
    found = gramless.guided_info_nce(a, p, guide_anchors=ga, guide_positives=ga, **options)
    z = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, p)]
    s = [(z[0] @ z[1].T) / 0.5, (z[0] @ z[0].T) / 0.5, (z[1] @ z[1].T) / 0.5]
    sums = sum(np.exp(x).sum(1) for x in s)
    assert_near(found, np.log(sums) - np.diag(s[0]), dtype)  # nothing is more similar than a row to itself


def test_without_a_negative_loss_and_gradients_are_zero():
    rows, guide = case(5, 3, 4, 6)
    for normalize in (True, False):
        value, grads = with_grads(gramless, named(rows, guide), margin=5.0, normalize=normalize)
        assert value == 0
        assert all(np.all(np.asarray(grad) == 0) for grad in grads)


def test_gradients_are_differences_of_values():
    rows, guide = case(7, 4, 3, 5)
    for normalize, margin in ((True, 0.0), (False, -0.5)):
        options = {"normalize": normalize, "margin": margin, "temperature": 0.7}
        _, grads = with_grads(gramless, named(rows, guide), **options)
        moves = [np.random.default_rng(i).standard_normal(x.shape) for i, x in enumerate(rows)]

        def moved(step, moves=moves, options=options):
            shifted = [x + step * move for x, move in zip(rows, moves, strict=True)]
            chosen = options | {"temperature": 0.7 + 0.3 * step}
            return gramless.guided_info_nce(**named(shifted, guide), **chosen)

        slope = sum((g * move).sum() for g, move in zip(grads, moves, strict=False)) + 0.3 * grads[-1]
        assert abs((moved(1e-6) - moved(-1e-6)) / 2e-6 - slope) < 1e-7


def test_a_guide_of_another_dtype_and_rows_of_several():
    rows, guide = case(40, 30, 6, 5)
    expected = with_grads(gramless, named(rows, guide))
    wide = [guide[0].astype(np.float32), guide[1].astype(np.float32), guide[2].astype(np.float32)]
    assert_near(with_grads(gramless, named(rows, wide)), expected, np.float32)
    mixed = [rows[0].astype(np.float32), *rows[1:]]
    true = with_grads(gramless, named([mixed[0].astype(np.float64), *rows[1:]], guide))
    assert_near(with_grads(gramless, named(mixed, guide)), true, np.float64)
    single = [x.astype(np.float32) for x in rows]
    value, grads = with_grads(gramless, named(single, guide))
    assert [grad.dtype for grad in grads[:3]] == [np.float32] * 3
    assert_near((value, grads), expected, np.float32)


def test_threads_and_kept_tiles_do_not_change_a_bit():
    rows, guide = case(301, 200, 40, 33, np.float32)
    before, workspace, results = gramless.get_num_threads(), gramless.get_workspace_limit(), []
    try:
        for threads, limit in ((1, workspace), (3, workspace), (2, 0)):
            gramless.set_num_threads(threads)
            gramless.set_workspace_limit(limit)
            value, grads = with_grads(gramless, named(rows, guide), temperature=0.1)
            results.append([value, *(np.asarray(grad).tobytes() for grad in grads)])
    finally:
        gramless.set_num_threads(before)
        gramless.set_workspace_limit(workspace)
    assert results[0] == results[1] == results[2]


def shaped(**shapes):
    arrays = {"anchors": (3, 2), "positives": (3, 2), "guide_anchors": (3, 4), "guide_positives": (3, 4)}
    return {name: np.ones(shape) for name, shape in (arrays | shapes).items()}


NAN = np.array([[1.0, 2.0], [3.0, np.nan], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("arrays", "options", "sentence"),
    [
        (shaped(guide_anchors=(2, 4)), {}, "anchors has 3 rows but guide_anchors has 2"),
        (shaped(guide_positives=(4, 4)), {}, "positives has 3 rows but guide_positives has 4"),
        (shaped(guide_positives=(3, 5)), {}, "guide_anchors has 4 columns but guide_positives has 5"),
        (shaped(positives=(4, 2)), {}, "anchors has 3 rows but positives has 4"),
        (
            shaped(negatives=(2, 2)),
            {},
            "negatives and guide_negatives must both be given or neither, but guide_negatives is None",
        ),
        (
            shaped(negatives=(2, 2), guide_negatives=(3, 4)),
            {},
            "negatives has 2 rows but guide_negatives has 3",
        ),
        (shaped(), {"margin": np.inf}, "margin must be finite but is inf"),
        (shaped(), {"margin": "0"}, "margin must be a number but is '0'"),
        (
            shaped(),
            {"margin_strategy": "mean"},
            'margin_strategy must be "absolute" or "relative" but is \'mean\'',
        ),
        (
            shaped() | {"guide_anchors": NAN, "guide_positives": NAN[:, :1] * np.ones((3, 2))},
            {},
            "guide_anchors must be finite, because it decides which pairs count, but row 1 is not",
        ),
        (
            shaped(negatives=(3, 2)) | {"guide_negatives": np.full((3, 4), np.inf)},
            {},
            "guide_negatives must be finite, because it decides which pairs count, but row 0 is not",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(arrays, options, sentence):
    for module in (gramless, reference):
        with pytest.raises((ValueError, TypeError), match=f"^guided_info_nce: {sentence}$"):
            module.guided_info_nce(**arrays, **options)


@pytest.mark.parametrize("far", [1e30, np.inf, np.nan])
def test_what_is_not_finite_is_so_where_it_is_in_the_reference(far):
    rows, guide = case(20, 8, 5, 6)
    rows[0][2], rows[2][1, 3] = np.abs(rows[0][2]), far
    options = {"normalize": False, "temperature": 1.0, "reduction": "none"}
    arrays = named(rows, guide)
    found, expected = (module.guided_info_nce(**arrays, **options) for module in (gramless, reference))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
