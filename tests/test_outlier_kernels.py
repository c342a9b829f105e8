"""One row far from all others, for every kernel: float32 within 1e-6, float64 within 1e-10 of the truth."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from gramless import RBF, Distance, Laplace, Linear, analysis
from test_laplace import ESTIMATORS, in_near_pairs, rows
from test_outlier_rows import one_row, several_rows
from tolerance import TRUE

KERNELS = [
    Linear(),
    RBF(),
    Laplace(),
    Laplace(scale=30),
    *(Distance(exponent) for exponent in (0.3, 0.7, 1.0, 1.5)),
]
LIMITS = {np.float32: 1e-6, np.float64: 1e-10}
every_dtype = pytest.mark.parametrize("dtype", LIMITS, ids=lambda dtype: dtype.__name__)
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
CASES = {
    "one row": lambda size: one_row(size, n=60, d=9),
    "few rows": lambda size: one_row(size, n=12, d=5),
    "one column": lambda size: one_row(size, n=50, d=3),
    "three rows": several_rows,
}


def true_gram(x, kernel):
    """In extended precision, from differences."""
    x = np.asarray(x, np.longdouble)
    x = x - np.median(x, axis=0)
    if isinstance(kernel, Linear):
        return x @ x.T
    distance2 = np.stack([np.sum((x - row) ** 2, axis=1) for row in x])
    if isinstance(kernel, Distance):
        return -(distance2 ** np.longdouble(kernel.exponent / 2))
    median = np.sqrt(np.median(distance2[~np.eye(len(x), dtype=bool)]))
    sigma = np.longdouble(kernel.scale) * median
    return np.exp(-distance2 / (2 * sigma**2) if isinstance(kernel, RBF) else -np.sqrt(distance2) / sigma)


def true_hsic(x, y, kernel, estimator):
    k, l = (true_gram(side, kernel) for side in (x, y))
    return [float(TRUE[estimator](a, b)) for a, b in ((k, l), (k, k), (l, l))]


@pytest.mark.parametrize("case", CASES)
@every_dtype
@every_kernel
def test_every_kernel_keeps_its_digits_beside_a_far_row(kernel, dtype, case):
    for size in (1e2, 1e4, 1e5):
        x, y = (side.astype(dtype) for side in CASES[case](size))
        for estimator in ESTIMATORS:
            xy, xx, yy = true_hsic(x, y, kernel, estimator)
            options = {"kernel": kernel, "estimator": estimator}
            root, limit = math.sqrt(xx * yy), LIMITS[dtype]
            assert gramless.cka(x, y, **options) == pytest.approx(xy / root, abs=limit)
            assert gramless.hsic(x, y, **options) == pytest.approx(xy, abs=limit * root)
            assert gramless.hsic(x, x, **options) == pytest.approx(xx, rel=limit)


def permuted(x, y, kernel):
    found = gramless.independence_test(x, y, kernel=kernel, method="permutation", n_resamples=19, rng=0)
    return found.statistic, *found.null


def minibatch(x, y, kernel):
    accumulated = gramless.MinibatchCKA(kernel=kernel)
    accumulated.update(x, y)
    return accumulated.compute()[0, 0]


def interval(x, y, kernel, **options):
    found = analysis.cka_interval(x, y, kernel=kernel, **options)
    return found.value, found.low, found.high


CALLS = {
    "cka_matrix": lambda x, y, kernel: gramless.cka_matrix([x, y], kernel=kernel)[0, 1],
    "MinibatchCKA": minibatch,
    "intervals": interval,
    "intervals by groups": lambda *case: interval(*case, groups=5),
    "permutations": permuted,
    "gamma": lambda x, y, kernel: gramless.independence_test(x, y, kernel=kernel, method="gamma").pvalue,
    "mmd": lambda x, y, kernel: gramless.mmd(x, y + 1, kernel=kernel),
    "gradients": lambda x, y, kernel: gramless.value_and_grad(gramless.cka)(x, y, kernel=kernel)[1][1],
}


@pytest.mark.filterwarnings("ignore:cka_interval. one .* carries much of the HSIC:RuntimeWarning")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("exponent", [1.0, 1.5])
def test_every_way_to_a_distance_kernel_keeps_them(call, exponent):
    """float32 against float64, which the test above checks."""
    x, y = one_row(1e5, n=40, d=4)
    wide = CALLS[call](x.astype(np.float64), y.astype(np.float64), Distance(exponent))
    np.testing.assert_allclose(
        CALLS[call](x, y, Distance(exponent)), wide, rtol=1e-6, atol=1e-6 * np.abs(wide).max()
    )


@pytest.mark.parametrize("exponent", [0.4, 1.0, 1.6])
def test_mmd_by_a_distance_kernel_is_the_energy_distance_beside_a_far_row(exponent):
    x, y = (side.astype(np.float64) for side in one_row(1e6, n=40, d=4))
    y = y[:30] + 1
    distances = -true_gram(np.concatenate([x, y]), Distance(exponent))
    offsets = np.where(np.arange(70) == 1, 0, distances[1])  # which cancel in the sums below
    distances = np.where(np.eye(70, dtype=bool), 0, distances - offsets - offsets[:, None])
    own_x, own_y, between = distances[:40, :40], distances[40:, 40:], distances[:40, 40:]
    expected = 2 * between.mean() - own_x.sum() / (40 * 39) - own_y.sum() / (30 * 29)
    assert gramless.mmd(x, y, kernel=Distance(exponent)) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("exponent", [0.2, 0.4, 0.49])
def test_small_exponents_of_float32_are_computed_in_float64(exponent):
    """Powers of near distances are below the smallest float32: code in float32 has errors above 1e-5."""
    x, y = in_near_pairs(60, 9, apart=1e-3).astype(np.float32), rows(60, 5, 1, np.float32)
    for estimator in ESTIMATORS:
        found = gramless.cka(x, y, kernel=Distance(exponent), estimator=estimator)
        wide = gramless.cka(
            *(z.astype(float) for z in (x, y)), kernel=Distance(exponent), estimator=estimator
        )
        assert found == wide


OTHERS = {  # and what an error is held to, where that is neither 1 nor the value itself
    **{
        f"mmd, {kernel}": (lambda x, y, kernel=kernel: gramless.mmd(x, y, kernel=kernel), None)
        for kernel in ("rbf", "laplace", "cosine")
    },
    "mmd, linear": (
        lambda x, y: gramless.mmd(x, y, kernel="linear"),
        lambda x, y: gramless.mmd(x, y, kernel="linear", estimator="biased"),  # whose terms cancel less
    ),
    **{
        f"rsa, {metric}": (lambda x, y, metric=metric: gramless.rsa(x, y, metric=metric), None)
        for metric in ("sqeuclidean", "cosine", "correlation")
    },
    "siglip": (lambda x, y: gramless.siglip(x, y, logit_scale=5.0, logit_bias=-5.0), None),
    "mutual_knn": (lambda x, y: gramless.mutual_knn(x, y, k=5), None),
    "cknna": (lambda x, y: gramless.cknna(x, y, k=5), None),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("size", [1e4, 1e5, 1e6])
def test_other_comparisons_of_float32_keep_their_digits(name, size):
    call, terms = OTHERS[name]
    for n, d in ((100, 4), (20, 40)):
        x, y = one_row(size, n=n, d=d)
        wide = x.astype(np.float64), y.astype(np.float64)
        expected = call(*wide)
        assert call(x, y) == pytest.approx(expected, rel=1e-6, abs=1e-6 * (terms(*wide) if terms else 1))
