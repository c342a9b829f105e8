"""The exact median: equal to sorting every distance, ties and duplicates included."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from gramless import RBF, reference
from tolerance import NAIVE, assert_as_accurate, gram_of

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
either_diagonal = pytest.mark.parametrize("include_diagonal", [False, True])


def squared_distances(x):
    x = np.asarray(x, np.float64)
    return np.stack([np.sum((x - row) ** 2, axis=1) for row in x])


def sorted_median(x, include_diagonal):
    """The median of a list of all entries, as simple as possible."""
    distance2 = squared_distances(x)
    return math.sqrt(np.median(distance2 if include_diagonal else distance2[~np.eye(len(x), dtype=bool)]))


@every_dtype
@either_diagonal
@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 33, 96, 97, 192, 193, 500, 1000])
@pytest.mark.parametrize("spread", [2, 9])
def test_whole_numbers_have_exactly_the_median_of_sorting(backend, dtype, include_diagonal, n, spread):
    """Centred on whole numbers every operation is exact; few values make many ties and equal rows."""
    half = np.random.default_rng([n, spread]).integers(-spread, spread, (n, 7), endpoint=True)
    x = np.concatenate([half[: n // 2], -half[: n // 2], np.zeros((n % 2, 7), int)])  # means are 0
    expected = sorted_median(x, include_diagonal)
    assert gramless.median_distance(x.astype(dtype), include_diagonal=include_diagonal) == expected


@every_dtype
def test_all_equal_rows_of_any_value_are_at_distance_exactly_zero(backend, dtype):
    """Rounding must not separate equal distances, nor make the diagonal differ from 0."""
    row = np.random.default_rng(1).standard_normal((1, 517)) * 1e3 + 77.7
    assert gramless.median_distance(np.repeat(row, 190, axis=0).astype(dtype)) == 0.0


@either_diagonal
@pytest.mark.parametrize("n", [2, 3, 7, 97, 400])
@pytest.mark.parametrize("d", [1, 3, 64, 700])
def test_float64_median_to_thirteen_digits(backend, include_diagonal, n, d):
    x = np.random.default_rng([n, d]).standard_normal((n, d))
    expected = sorted_median(x, include_diagonal)
    assert gramless.median_distance(x, include_diagonal=include_diagonal) == pytest.approx(
        expected, rel=1e-13
    )


@pytest.mark.parametrize("n", [2, 7, 97, 400])
@pytest.mark.parametrize("d", [3, 64, 700])
def test_float32_median_within_the_rounding_of_one_distance(backend, n, d):
    """|a - b|^2 = |a|^2 + |b|^2 - 2 <a, b> carries at most d / 8 + 8 roundings of |a|^2 + |b|^2.

    A median of values that each move by at most r moves by at most r.
    """
    x = np.random.default_rng([n, d]).standard_normal((n, d), dtype=np.float32)
    ours = gramless.median_distance(x) ** 2
    expected = sorted_median(x, False) ** 2
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    largest_norms = 2 * np.max(np.sum(centred**2, axis=1))
    assert abs(ours - expected) <= (d / 8 + 8) * 2**-24 * largest_norms


@every_dtype
@pytest.mark.parametrize("exponent", [-60, -20, 20, 60])
def test_median_scales_with_the_units(dtype, exponent):
    """Scaling by powers of two is bitwise exact, as long as squares stay in range."""
    x = np.random.default_rng(2).standard_normal((150, 6)).astype(dtype)
    assert gramless.median_distance(x * dtype(2.0**exponent)) == gramless.median_distance(x) * 2.0**exponent


@pytest.mark.parametrize("n", [6, 60, 800])
def test_skewed_distances_are_found(backend, n):
    """Squared distances over ten orders of magnitude: most of the searched range is empty."""
    x = np.exp(np.random.default_rng(n).uniform(-6, 6, (n, 2)))
    assert gramless.median_distance(x) == pytest.approx(sorted_median(x, False), rel=1e-11)


def test_distances_below_the_rounding_of_the_norms_are_never_negative(backend):
    """Nearly equal rows far from the mean: |a|^2 + |b|^2 - 2 <a, b> often rounds to less than 0.

    Three such rows and another: the median averages the largest of three small distances and a large one.
    """
    for seed in range(200):
        x = 1e-3 * np.random.default_rng(seed).standard_normal((4, 40))
        x[0] += 1000.0
        x = x.astype(np.float32)
        largest_norms = 2 * np.max(np.sum((x - x.mean(0, np.float64)) ** 2, axis=1))
        found = gramless.median_distance(x)
        assert abs(found**2 - sorted_median(x, False) ** 2) <= 16 * 2.0**-24 * largest_norms


def test_median_of_missing_values_is_nan_and_of_infinite_ones_not_finite():
    x = np.random.default_rng(0).standard_normal((50, 3))
    for value in (np.nan, np.inf, -np.inf):
        x[7, 1] = value
        assert not math.isfinite(gramless.median_distance(x))
    x[7, 1] = np.nan
    assert math.isnan(gramless.median_distance(x))


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
@either_diagonal
def test_rbf_uses_this_median(backend, scale, include_diagonal):
    x = np.random.default_rng(6).standard_normal((130, 9))
    sigma = scale * gramless.median_distance(x, include_diagonal=include_diagonal)
    given, chosen = RBF(sigma=sigma), RBF(scale=scale, include_diagonal=include_diagonal)
    assert gramless.hsic(x, x, kernel=chosen) == pytest.approx(gramless.hsic(x, x, kernel=given), rel=1e-12)


@every_dtype
@pytest.mark.parametrize("sigma", [1e-1, 1e-2, 1e-4, 1e-7])
def test_equal_rows_have_kernel_value_one_for_any_bandwidth(backend, dtype, sigma):
    """Rows many bandwidths apart: the kernel only distinguishes equal rows."""
    generator = np.random.default_rng(0)
    centres, groups = generator.standard_normal((3, 16)), generator.choice(3, (2, 300), p=[0.6, 0.3, 0.1])
    x, y = centres[groups[0]].astype(dtype), centres[groups[1], :5].astype(dtype)
    kernel = RBF(sigma=sigma)
    pairs = [(x, y), (x, x), (y, y)]
    expected = [reference.hsic(a, b, kernel=kernel) for a, b in pairs]
    naive = [NAIVE["unbiased"](gram_of(a, kernel, dtype), gram_of(b, kernel, dtype)) for a, b in pairs]
    assert_as_accurate([gramless.hsic(a, b, kernel=kernel) for a, b in pairs], naive, expected, dtype)


@pytest.mark.parametrize(("dtype", "sigma"), [(np.float32, 1e-3), (np.float32, 1e-5), (np.float64, 1e-9)])
def test_rows_many_bandwidths_apart_have_a_biased_cka_of_one(backend, dtype, sigma):
    """Both Gram matrices are the identity."""
    x = np.random.default_rng(0).standard_normal((30, 8)).astype(dtype)
    value = gramless.cka(x, x**2, kernel=RBF(sigma=sigma), estimator="biased")
    assert value == pytest.approx(1, abs=1e-6)


def test_a_sampled_median_is_reproducible_and_close():
    x = np.random.default_rng(8).standard_normal((3000, 4))
    exact = gramless.hsic(x, x, kernel=RBF())
    sampled = {gramless.hsic(x, x, kernel=RBF(median_rows=500)) for _ in range(3)}
    assert len(sampled) == 1
    assert sampled != {exact}
    # Over samples of 500 rows the standard deviation is 2.1 %; this one is off by 1.6 %.
    assert sampled.pop() == pytest.approx(exact, rel=0.05)


def test_sampling_starts_beyond_median_rows():
    x = np.random.default_rng(8).standard_normal((400, 4))
    exact = gramless.hsic(x, x, kernel=RBF())
    assert gramless.hsic(x, x, kernel=RBF(median_rows=400)) == exact
    assert gramless.hsic(x, x, kernel=RBF(median_rows=399)) != exact


def test_the_median_is_exact_for_any_number_of_rows_by_default():
    x = np.random.default_rng(8).standard_normal((16_500, 2), dtype=np.float32)
    sigma = gramless.median_distance(x)
    assert gramless.hsic(x, x, kernel="rbf") == gramless.hsic(x, x, kernel=RBF(sigma=sigma))


def test_progress_of_the_median_reaches_its_end():
    x = np.random.default_rng(0).standard_normal((3000, 300), dtype=np.float32)
    seen = []
    gramless.median_distance(x, progress=lambda done, total: seen.append((done, total)))
    assert all(0 <= done <= total for done, total in seen)
