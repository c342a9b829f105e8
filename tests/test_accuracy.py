"""float32 CKA within 1e-6 of float64, on data that is hard for float32. The limit is never raised."""

from __future__ import annotations

import functools
import math

import gramless
import numpy as np
import pytest
from core_values import hsic_values
from gramless import RBF, Linear
from tolerance import distances_of, hsic_in_float64

LIMIT = 1e-6


def related(generator, n, d, width):
    """Two float32 inputs that share a signal: CKA is well between 0 and 1."""
    x = generator.standard_normal((n, d), dtype=np.float32)
    mixing = generator.standard_normal((min(d, 64), width), dtype=np.float32) / np.float32(8)
    noise = generator.standard_normal((n, width), dtype=np.float32)
    return x, np.tanh(x[:, : len(mixing)] @ mixing) + noise


def plain(generator):
    return related(generator, 400, 64, 48)


def shifted(generator):
    return tuple(x + np.float32(1000) for x in plain(generator))


def outliers(generator):
    """Three dimensions of mean 300, as in language models."""
    x, y = plain(generator)
    for a in (x, y):
        a[:, :3] = 10 * a[:, :3] + np.float32(300)
    return x, y


def wide(generator, n, d):
    return related(generator, n, d, d)


def lognormal(generator):
    return tuple(a * generator.lognormal(0, 1.5, (len(a), 1)).astype(np.float32) for a in plain(generator))


def clusters(generator):
    x, y = plain(generator)
    members = generator.integers(0, 5, len(x))
    return tuple(a * np.float32(0.05) + np.float32(10) * a[members] for a in (x, y))


def duplicates(generator):
    x, y = plain(generator)
    rows = generator.integers(0, 40, len(x))
    return x[rows], y


def half_constant(generator):
    """Dead units: most columns are one large number."""
    x, y = plain(generator)
    x[:, 8:] = np.float32(4321.1)
    return x, y


def far_scales(generator):
    """Columns whose spreads differ by six orders of magnitude."""
    x, y = plain(generator)
    return x * np.logspace(-3, 3, x.shape[1]).astype(np.float32), y


DATA = {
    "plain": plain,
    "shifted": shifted,
    "outliers": outliers,
    "wide_500": functools.partial(wide, n=500, d=8_000),
    "wide_200": functools.partial(wide, n=200, d=20_000),
    "lognormal": lognormal,
    "clusters": clusters,
    "duplicates": duplicates,
    "half_constant": half_constant,
    "far_scales": far_scales,
}
KERNELS = [Linear(), RBF(), RBF(scale=0.3), RBF(scale=4.0)]


class Problem:
    """A pair of float32 inputs and the CKA of the float64 copies of their values."""

    def __init__(self, inputs):
        self.x, self.y = inputs
        assert self.x.dtype == self.y.dtype == np.float32
        centred = [a - a.mean(axis=0) for a in (self.x.astype(np.float64), self.y.astype(np.float64))]
        self.dots = [a @ a.T for a in centred]
        self.distances = [distances_of(a) for a in centred]

    def gram(self, which, kernel):
        if isinstance(kernel, Linear):
            return self.dots[which]
        distance2 = self.distances[which]
        median = np.median(distance2[~np.eye(len(distance2), dtype=bool)])
        return np.exp(-distance2 / (2 * kernel.scale**2 * median))

    def cka(self, kernel, estimator):
        k, l = self.gram(0, kernel), self.gram(1, kernel)
        xy, xx, yy = (hsic_in_float64(a, b, estimator) for a, b in ((k, l), (k, k), (l, l)))
        return xy / math.sqrt(xx * yy)


@pytest.fixture(scope="module", params=DATA)
def problem(request):
    return Problem(DATA[request.param](np.random.default_rng(20)))


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_float32_cka_is_that_of_float64(backend, problem, kernel, estimator):
    ours = gramless.cka(problem.x, problem.y, kernel=kernel, estimator=estimator)
    assert abs(ours - problem.cka(kernel, estimator)) <= LIMIT


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_float32_linear_cka_in_either_space(backend, problem, estimator):
    """In feature space where the cost model may choose it; for wide data it never does."""
    narrow = sum(a.shape[1] for a in (problem.x, problem.y)) <= len(problem.x)
    for space in ("gram", "features") if narrow else ("gram",):
        check_space(problem, estimator, space)


def check_space(problem, estimator, space):
    values = hsic_values([problem.x], [problem.y], [Linear()], [Linear()], estimator, space=space)
    ours = values.xy[0, 0] / math.sqrt(values.xx[0] * values.yy[0])
    assert abs(ours - problem.cka(Linear(), estimator)) <= LIMIT


@pytest.mark.parametrize("kernel", [Linear(), RBF(), RBF(scale=4.0)], ids=str)
def test_float32_sweep_is_that_of_float64(kernel):
    """Every entry of a matrix over unlike layers."""
    problems = [Problem(DATA[name](np.random.default_rng(20))) for name in ("plain", "shifted", "outliers")]
    layers = [a for problem in problems for a in (problem.x, problem.y)]
    grams = [problem.gram(which, kernel) for problem in problems for which in (0, 1)]
    ours = gramless.cka_matrix(layers, kernel=kernel)
    hsic = np.array([[hsic_in_float64(k, l, "unbiased") for l in grams] for k in grams])
    lengths = np.sqrt(np.diag(hsic))
    assert np.max(np.abs(ours - hsic / np.outer(lengths, lengths))) <= LIMIT


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [2049, 9217])
def test_many_samples_are_summed_over_all_their_segments(backend, dtype, n):
    """In feature space: sums over n are float32 within a run of samples, float64 across runs."""
    generator = np.random.default_rng(n)
    x = generator.standard_normal((n, 5)).astype(dtype)
    y = (x[:, :3] ** 2 + x[:, 1:4] + 0.5 * generator.standard_normal((n, 3))).astype(dtype)
    y[n // 2 :] *= 2  # the first segments differ from the others
    a, b = (np.asarray(z, np.float64) - np.mean(z, axis=0, dtype=np.float64) for z in (x, y))
    expected = np.sum((a.T @ b) ** 2) / (n - 1) ** 2
    assert gramless.hsic(x, y, estimator="biased") == pytest.approx(expected, rel=LIMIT)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_float64_keeps_ten_digits_far_from_the_origin(estimator):
    x, y = (a.astype(np.float64) for a in plain(np.random.default_rng(3)))
    near = gramless.cka(x, y, kernel="rbf", estimator=estimator)
    far = gramless.cka(x + 2.0**20, y - 2.0**20, kernel="rbf", estimator=estimator)
    assert far == pytest.approx(near, rel=1e-9)


def test_the_limit_is_one_that_uncentred_float32_misses():
    """The tests above can fail: uncentred float32, as in other packages, has a far larger error."""
    problem = Problem(shifted(np.random.default_rng(20)))
    k, l = problem.x @ problem.x.T, problem.y @ problem.y.T
    xy, xx, yy = (hsic_in_float64(a, b, "unbiased") for a, b in ((k, l), (k, k), (l, l)))
    assert abs(xy / math.sqrt(abs(xx * yy)) - problem.cka(Linear(), "unbiased")) > 100 * LIMIT
