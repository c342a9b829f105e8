"""Properties for any data: the invariances of the estimators, on inputs that hypothesis chooses."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import RBF, Linear
from hypothesis import given
from hypothesis import strategies as st

KERNELS = [Linear(), RBF(), RBF(scale=0.5, include_diagonal=True)]
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
every_estimator = pytest.mark.parametrize("estimator", ["biased", "unbiased"])
RELATIVE, ABSOLUTE = 1e-9, 1e-10


def close(value):
    return pytest.approx(value, rel=RELATIVE, abs=ABSOLUTE)


@st.composite
def pairs(draw, least_rows=6):
    """Related inputs of any two widths; some columns small, some large, some rows repeated."""
    n = draw(st.integers(least_rows, 60))
    p, q = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = generator.standard_normal((n, p)) * generator.choice([0.1, 1.0, 10.0], p)
    y = generator.standard_normal((n, q)) + draw(st.sampled_from([0.0, 1.0, 5.0])) * x[:, :1]
    if draw(st.booleans()):
        x[n // 2 : n // 2 + 2] = x[0]
    return x, y, generator


def rotation(generator, d):
    return np.linalg.qr(generator.standard_normal((d, d)))[0]


@every_kernel
@every_estimator
@given(pairs())
def test_cka_ignores_rotation(kernel, estimator, pair):
    x, y, generator = pair
    options = {"kernel": kernel, "estimator": estimator}
    turned = gramless.cka(x @ rotation(generator, x.shape[1]), y @ rotation(generator, y.shape[1]), **options)
    assert turned == close(gramless.cka(x, y, **options))


@every_kernel
@every_estimator
@given(pairs(), st.sampled_from([-2.5, 1e-3, 1.0, 1e4]), st.sampled_from([-300.0, 0.0, 7.0]))
def test_cka_ignores_scale_and_offset(kernel, estimator, pair, factor, offset):
    x, y, _ = pair
    options = {"kernel": kernel, "estimator": estimator}
    moved = factor * (x + offset)
    assert gramless.cka(moved, y, **options) == pytest.approx(
        gramless.cka(x, y, **options), rel=1e-7, abs=1e-8
    )


@every_estimator
@given(pairs(), st.sampled_from([-2.0, 0.5, 8.0]))
def test_linear_hsic_is_quadratic_in_each_input(estimator, pair, factor):
    x, y, _ = pair
    value = gramless.hsic(x, y, estimator=estimator)
    assert (
        gramless.hsic(factor * x, y, estimator=estimator) == factor**2 * value
    )  # powers of two: no rounding
    assert gramless.hsic(x, factor * y, estimator=estimator) == factor**2 * value


@every_kernel
@every_estimator
@given(pairs())
def test_shuffling_both_changes_nothing(kernel, estimator, pair):
    x, y, generator = pair
    order = generator.permutation(len(x))
    options = {"kernel": kernel, "estimator": estimator}
    assert gramless.cka(x[order], y[order], **options) == close(gramless.cka(x, y, **options))


@every_kernel
@every_estimator
@given(pairs())
def test_x_and_y_may_be_exchanged(kernel, estimator, pair):
    x, y, _ = pair
    options = {"kernel": kernel, "estimator": estimator}
    assert gramless.hsic(x, y, **options) == close(gramless.hsic(y, x, **options))
    assert gramless.cka(x, y, **options) == close(gramless.cka(y, x, **options))


@every_kernel
@every_estimator
@given(pairs())
def test_cka_with_itself_is_one(kernel, estimator, pair):
    x, _, _ = pair
    options = {"kernel": kernel, "estimator": estimator}
    assert gramless.cka(x, x, **options) == pytest.approx(1, abs=1e-14)
    assert gramless.cka(x.astype(np.float32), x.astype(np.float32), **options) == pytest.approx(1, abs=1e-6)


@every_kernel
@given(pairs())
def test_biased_cka_is_a_cosine_of_positive_matrices(kernel, pair):
    x, y, _ = pair
    value = gramless.cka(x, y, kernel=kernel, estimator="biased")
    assert -1e-14 <= value <= 1 + 1e-14


@every_kernel
@given(pairs())
def test_unbiased_cka_is_a_cosine(kernel, pair):
    x, y, _ = pair
    assert abs(gramless.cka(x, y, kernel=kernel)) <= 1 + 1e-14


@every_estimator
@given(pairs())
def test_linear_hsic_adds_over_columns(estimator, pair):
    """The Gram matrix of [a b] is the sum of those of a and b, and HSIC is linear in it."""
    x, y, generator = pair
    more = generator.standard_normal((len(x), 5))
    whole = gramless.hsic(np.hstack([x, more]), y, estimator=estimator)
    parts = gramless.hsic(x, y, estimator=estimator) + gramless.hsic(more, y, estimator=estimator)
    scale = gramless.hsic(x, x) + gramless.hsic(y, y) + gramless.hsic(more, more)
    assert whole == pytest.approx(parts, rel=RELATIVE, abs=1e-12 * abs(scale))


@given(pairs())
def test_repeating_every_row_leaves_biased_cka(pair):
    """The biased estimator and the median of all entries depend only on the empirical distribution."""
    x, y, _ = pair
    for kernel in (Linear(), RBF(scale=0.5, include_diagonal=True)):
        expected = gramless.cka(x, y, kernel=kernel, estimator="biased")
        twice = gramless.cka(np.vstack([x, x]), np.vstack([y, y]), kernel=kernel, estimator="biased")
        assert twice == close(expected)


@given(pairs(), st.integers(2, 5))
def test_matrices_are_made_of_pairs(pair, count):
    x, y, generator = pair
    layers = [x, y, *(generator.standard_normal((len(x), d)) for d in range(1, count))]
    for kernel in KERNELS:
        matrix = gramless.hsic_matrix(layers, kernel=kernel)
        assert np.array_equal(matrix, matrix.T)
        scale = np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
        pairs = np.array([[gramless.hsic(a, b, kernel=kernel) for b in layers] for a in layers])
        assert np.max(np.abs(matrix - pairs) / scale) <= 1e-12


@pytest.mark.filterwarnings("ignore:RBF. more than half of the distances")
@given(pairs(least_rows=4), st.sampled_from([np.float32, np.float64]), st.sampled_from(KERNELS))
def test_functions_are_those_of_the_reference(pair, dtype, kernel):
    x, y = (a.astype(dtype) for a in pair[:2])
    for estimator in ("biased", "unbiased"):
        options = {"kernel": kernel, "estimator": estimator}
        ours, expected = gramless.hsic(x, y, **options), gramless.reference.hsic(x, y, **options)
        scale = np.sqrt(
            gramless.reference.hsic(x, x, kernel=kernel, estimator="biased")
            * gramless.reference.hsic(y, y, kernel=kernel, estimator="biased")
        )
        assert abs(ours - expected) <= (3e-6 if dtype == np.float32 else 1e-12) * scale


@st.composite
def points(draw):
    n, d = draw(st.integers(2, 60)), draw(st.integers(1, 30))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = generator.standard_normal((n, d)) * generator.choice([0.1, 1.0, 10.0], d)
    if draw(st.booleans()):
        x[n // 2 :] = x[: n - n // 2]  # equal rows: distances of 0
    return x, generator


@pytest.mark.parametrize("include_diagonal", [False, True])
@given(points(), st.sampled_from([-300.0, 0.0, 7.0]))
def test_the_median_distance_ignores_rotation_offset_and_order(include_diagonal, data, offset):
    x, generator = data
    moved = (x @ rotation(generator, x.shape[1]) + offset)[generator.permutation(len(x))]
    expected = gramless.median_distance(x, include_diagonal=include_diagonal)
    # If the median is a distance of equal rows, rotation rounds each of them differently.
    slack = 1e-12 * (abs(offset) + np.max(np.abs(x))) if expected == 0 else 0
    assert gramless.median_distance(moved, include_diagonal=include_diagonal) == pytest.approx(
        expected, rel=1e-7, abs=slack
    )


@pytest.mark.parametrize("include_diagonal", [False, True])
@given(points(), st.sampled_from([-2.0, 0.5, 1024.0]))
def test_the_median_distance_has_the_units_of_the_data(include_diagonal, data, factor):
    x, _ = data
    expected = abs(factor) * gramless.median_distance(x, include_diagonal=include_diagonal)
    assert gramless.median_distance(factor * x, include_diagonal=include_diagonal) == expected


@given(points(), st.integers(1, 4))
def test_the_median_distance_knows_no_columns_of_zeros(data, columns):
    x, _ = data
    padded = np.hstack([x, np.zeros((len(x), columns))])
    assert gramless.median_distance(padded) == pytest.approx(gramless.median_distance(x), rel=1e-12)


@every_kernel
@given(pairs(), st.integers(2, 5))
def test_a_matrix_follows_the_order_of_its_layers(kernel, pair, count):
    x, y, generator = pair
    layers = [x, y, *(generator.standard_normal((len(x), d)) + x[:, :1] for d in range(1, count))]
    order = generator.permutation(len(layers))
    matrix = gramless.cka_matrix(layers, kernel=kernel)
    assert gramless.cka_matrix([layers[i] for i in order], kernel=kernel) == close(
        matrix[np.ix_(order, order)]
    )
    assert gramless.cka_matrix(layers, layers[:2], kernel=kernel) == close(matrix[:, :2])


@every_kernel
@every_estimator
@given(pairs())
def test_signs_of_columns_and_columns_of_constants_change_nothing(kernel, estimator, pair):
    x, y, generator = pair
    options = {"kernel": kernel, "estimator": estimator}
    changed = np.hstack([x * generator.choice([-1.0, 1.0], x.shape[1]), np.full((len(x), 2), 5.0)])
    assert gramless.cka(changed, y, **options) == close(gramless.cka(x, y, **options))
