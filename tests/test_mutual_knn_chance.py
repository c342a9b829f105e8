"""Chance values of mutual_knn, and CKNNA."""

from __future__ import annotations

import itertools
import math

import gramless as gl
import numpy as np
import pytest
from gramless import reference
from gramless._neighbors import overlap_moments, pair_counts
from gramless.reference.neighbors import nearest_rows


def rows_of(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("k", [1, 2, 4, 5])
def test_moments_are_those_over_all_orders(k):
    x, y = (np.sort(nearest_rows(rows_of(6, 2, seed), k), axis=1).astype(np.int32) for seed in (0, 3))
    masks = np.zeros((2, 6, 6))
    np.put_along_axis(masks[0], x, 1, axis=1)
    np.put_along_axis(masks[1], y, 1, axis=1)
    orders = [np.array(order) for order in itertools.permutations(range(6))]
    values = np.array([(masks[0] * masks[1][order][:, order]).sum() / (6 * k) for order in orders])
    mean, variance = overlap_moments(6, k, pair_counts(x), pair_counts(y))
    assert mean == pytest.approx(values.mean(), abs=1e-14)
    assert variance == pytest.approx(values.var(), abs=1e-14)
    assert (variance == 0) == (k == 5)


@pytest.mark.parametrize(("n", "k"), [(2, 1), (3, 1), (3, 2)])
def test_moments_of_few_rows(n, k):
    found = gl.mutual_knn_test(rows_of(n, 2), rows_of(n, 2, 1), k, n_resamples=9, rng=0)
    assert found.mean == k / (n - 1)
    assert math.isfinite(found.std)


def test_a_test_permutes_rows():
    x, y = rows_of(40, 3), rows_of(40, 4, 1)
    found = gl.mutual_knn_test(x, y, 5, n_resamples=200, rng=7)
    generator = np.random.default_rng(7)
    orders = [generator.permutation(40) for _ in range(200)]
    null = [gl.mutual_knn(x, y[order], 5) for order in orders]
    assert found.null.tolist() == null
    assert found.statistic == gl.mutual_knn(x, y, 5)
    assert found.pvalue == (1 + sum(value >= found.statistic for value in null)) / 201
    assert found.mean == 5 / 39
    assert np.mean(null) == pytest.approx(found.mean, abs=4 * found.std / math.sqrt(200))
    assert np.std(null) == pytest.approx(found.std, rel=0.2)
    assert found.z == (found.statistic - found.mean) / found.std


def test_what_is_shared_is_beyond_chance():
    x = rows_of(100, 6)
    found = gl.mutual_knn_test(x, x + 0.5 * rows_of(100, 6, 1), n_resamples=99, rng=0)
    assert found.pvalue == 0.01
    assert found.z > 10
    assert (found.n, found.k) == (100, 10)
    with pytest.raises(ValueError, match="mutual_knn_test: n_resamples must be at least 1 but is 0"):
        gl.mutual_knn_test(x, x, n_resamples=0)


def published_cknna(x, y, k):
    """The definition of the code published with the paper, of rows of length 1, without its 1e-6."""
    grams = [u @ u.T for u in (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))]

    def hsic(a, b):
        n = len(a)
        a, b = (np.where(np.eye(n, dtype=bool), 0, m) for m in (a, b))
        total = (a * b.T).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 * (a @ b).sum() / (n - 2)
        return total / (n * (n - 3))

    def similarity(a, b):
        mask = np.ones_like(a)
        for gram in (a, b):
            own = np.zeros_like(a)
            hidden = np.where(np.eye(len(a), dtype=bool), -np.inf, gram)
            np.put_along_axis(own, np.argsort(-hidden, axis=1)[:, :k], 1.0, axis=1)
            mask = mask * own
        return hsic(mask * a, mask * b)

    a, b = grams
    return similarity(a, b) / math.sqrt(similarity(a, a) * similarity(b, b))


@pytest.mark.parametrize(("n", "k"), [(4, 2), (4, 3), (30, 2), (200, 10), (200, 150)])
def test_cknna_is_what_the_published_definition_gives(backend, n, k):
    x, y = rows_of(n, 9), rows_of(n, 5, 1) + rows_of(n, 9)[:, :5]
    expected = published_cknna(x, y, k)
    assert gl.cknna(x, y, k) == pytest.approx(expected, rel=1e-10)
    assert reference.cknna(x, y, k) == pytest.approx(expected, rel=1e-10)
    narrow = [side.astype("float32") for side in (x, y)]
    wide = published_cknna(*(side.astype("float64") for side in narrow), k)
    assert gl.cknna(*narrow, k) == pytest.approx(wide, rel=1e-10)
    assert gl.cknna(1e30 * x, 1e-30 * y, k) == pytest.approx(expected, rel=1e-10)


def test_cknna_of_unrelated_rows_is_small_and_of_zeros_undefined():
    x = rows_of(100, 4)
    assert gl.cknna(x, 3 * x) == pytest.approx(1, abs=1e-12)
    assert abs(gl.cknna(x, rows_of(100, 4, 1))) < 0.2
    assert math.isnan(gl.cknna(x, np.zeros((100, 2))))
    with pytest.raises(ValueError, match="cknna: k must be at least 2 but is 1"):
        gl.cknna(x, x, 1)
    with pytest.raises(ValueError, match="cknna: at least 4 rows are needed but x has 3"):
        gl.cknna(x[:3], x[:3], 2)
