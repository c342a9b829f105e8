"""two_sample_test: p-values, their level and power, and errors of invalid calls."""

from __future__ import annotations

import math

import gramless as gl
import numpy as np
import pytest
from gramless import RBF, mmd, reference, two_sample_test
from test_two_samples import samples


@pytest.fixture(autouse=True)
def _one_thread():  # samples are small, and there are many calls
    gl.set_num_threads(1)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "laplace", gl.Distance(1.3)], ids=str)
def test_pvalues_are_those_of_the_reference(kernel):
    x, y = samples(20, 14, 3)
    options = {"kernel": kernel, "n_resamples": 60, "rng": 3}
    found = two_sample_test(x, y, **options)
    assert found.pvalue == reference.mmd_permutation_pvalue(x, y, **options)
    assert found.statistic == pytest.approx(reference.mmd(x, y, kernel=kernel), rel=1e-10)
    assert (found.method, found.n, found.m, found.null.shape) == ("permutation", 20, 14, (60,))


def test_gamma_is_near_the_permutations():
    pytest.importorskip("scipy")
    x, y = samples(60, 40, 3, seed=2)
    x, y = x, x[:40] + 0.35 + 0 * y
    generator = np.random.default_rng(1)
    y = y + generator.standard_normal(y.shape)
    exact = two_sample_test(x, y, rng=0, n_resamples=1999)
    found = two_sample_test(x, y, method="gamma")
    assert found.statistic == pytest.approx(mmd(x, y, estimator="biased"), rel=1e-10)
    assert found.null is None
    # Of 1999 permutations the p-value, 0.024, has an error of 0.0034.
    assert found.pvalue == pytest.approx(exact.pvalue, abs=0.01)


@pytest.mark.parametrize("method", ["permutation", "gamma"])
def test_level_and_power(method):
    """Of 200 tests at level 0.05, 10 are expected to reject; more than 24 once in 10^4."""
    pytest.importorskip("scipy")
    generator, rejected = np.random.default_rng(0), 0
    for _ in range(200):
        x, y = generator.standard_normal((25, 2)), generator.standard_normal((15, 2))
        rejected += two_sample_test(x, y, method=method, n_resamples=39, rng=generator).pvalue <= 0.05
    assert 1 <= rejected <= 24
    x = generator.standard_normal((80, 1))
    assert two_sample_test(x, 2 * generator.standard_normal((80, 1)), method=method, rng=0).pvalue < 0.01


@pytest.mark.parametrize(
    ("arrays", "options", "sentence"),
    [
        ((np.ones((4, 2)), np.ones((4, 3))), {}, "x has 2 columns but y has 3"),
        ((np.ones((1, 2)), np.ones((4, 2))), {}, "the unbiased estimator needs at least 2 rows but x has 1"),
        ((np.ones((4, 2)), np.ones((1, 2))), {}, "the unbiased estimator needs at least 2 rows but y has 1"),
    ],
)
def test_bad_samples_are_one_sentence(arrays, options, sentence):
    for function in (mmd, two_sample_test):
        with pytest.raises(ValueError, match=rf"^{function.__name__}: ") as error:
            function(*arrays, **options)
        assert str(error.value) == f"{function.__name__}: {sentence}"


def test_bad_options_are_one_sentence():
    x, y = samples()
    with pytest.raises(ValueError, match=r'^two_sample_test: method must be "permutation" or "gamma" but'):
        two_sample_test(x, y, method="chi2")
    with pytest.raises(ValueError, match=r"^two_sample_test: n_resamples must be at least 1 but is 0$"):
        two_sample_test(x, y, n_resamples=0)
    with pytest.raises(TypeError, match=r"^mmd: y must hold real numbers but has dtype"):
        mmd(x, y.astype(str))
    assert mmd(x[:1], y[:1], estimator="biased", kernel=RBF(sigma=1.0)) > 0


def test_equal_rows_have_no_pvalue_and_nan_is_nan():
    x = np.ones((6, 2))
    with pytest.warns(RuntimeWarning, match=r"^two_sample_test: the p-value is NaN") as caught:
        assert math.isnan(two_sample_test(x, x).pvalue)
    assert caught[0].filename == __file__
    a, b = samples()
    a[0, 0] = np.nan
    assert math.isnan(mmd(a, b))
    assert math.isnan(two_sample_test(a, b, n_resamples=9).pvalue)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_does_not_show(threads):
    x, y = samples(700, 500, 20)
    gl.set_num_threads(1)
    expected = gl.value_and_grad(mmd)(x, y)
    gl.set_num_threads(threads)
    value, grads = gl.value_and_grad(mmd)(x, y)
    assert value == expected[0]
    for ours, theirs in zip(grads, expected[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
