"""independence_test: its level, its power, and invariances of its p-values."""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import FrozenInstanceError

import gramless
import numpy as np
import pytest
from gramless import RBF, Distance, independence_test, reference
from kernel_names import ALLOWED_KERNELS

EXACT = 1e-10  # relative error allowed in float64
METHODS = ["chi2", "gamma", "permutation"]
KERNELS = ["linear", "rbf"]
every_method = pytest.mark.parametrize("method", METHODS)
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


@pytest.fixture
def pair():
    """Weakly dependent data, so that no p-value is near 0 or 1."""
    generator = np.random.default_rng(5)
    x = generator.standard_normal((30, 3))
    return x + 4.0, np.tanh(x[:, :2]) + 2.5 * generator.standard_normal((30, 2))


def binomial_range(trials, probability, tail=1e-6):
    """The range of counts that a correct test of this level leaves with probability below tail."""
    below = np.cumsum(
        [
            math.comb(trials, count) * probability**count * (1 - probability) ** (trials - count)
            for count in range(trials + 1)
        ]
    )
    return int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1 - tail))


@every_method
@pytest.mark.parametrize("kernel", [*KERNELS, "laplace", Distance(1.3)], ids=str)
def test_agrees_with_the_reference(pair, method, kernel):
    options = {"kernel": kernel, "kernel_y": RBF(scale=0.7), "method": method, "n_resamples": 40, "rng": 9}
    ours, expected = independence_test(*pair, **options), reference.independence_test(*pair, **options)
    assert ours.statistic == pytest.approx(expected.statistic, rel=EXACT)
    assert ours.pvalue == pytest.approx(expected.pvalue, rel=EXACT)
    assert 0.001 < ours.pvalue < 0.999
    assert (ours.method, ours.n) == (method, 30)
    assert (ours.null is None) == (method != "permutation")
    if method == "permutation":
        assert ours.null == pytest.approx(expected.null, rel=EXACT, abs=EXACT * np.std(expected.null))


def test_statistics_are_the_public_numbers(pair):
    x, y = pair
    options = {"kernel": "rbf"}
    expected = {
        "chi2": gramless.cka(x, y, **options),
        "gamma": gramless.hsic(x, y, estimator="biased", **options),
        "permutation": gramless.hsic(x, y, **options),
    }
    for method, value in expected.items():
        assert independence_test(x, y, method=method).statistic == pytest.approx(value, rel=EXACT)


def test_chi2_pvalue_is_that_of_scipy(pair):
    chi2 = pytest.importorskip("scipy.stats").chi2
    x, y = pair
    for other in (y, x, -x, np.random.default_rng(0).standard_normal((30, 400))):
        result = independence_test(x, other, method="chi2")
        assert result.pvalue == pytest.approx(chi2.sf(30 * result.statistic + 1, 1), rel=EXACT)


@pytest.mark.parametrize(("n", "width"), [(25, 1), (40, 300)])
@every_kernel
@every_method
def test_level_is_kept_on_independent_data(n, width, kernel, method):
    """Of 300 tests at level 0.05, 15 are expected to reject; a correct test leaves the range once in 10^6.

    Chi2 is a bound, so it may reject less. Uncorrected statistics reject always or never on wide data.
    """
    generator = np.random.default_rng(n + width)
    rejected = 0
    for _ in range(300):
        x, y = generator.standard_normal((n, width)), generator.standard_exponential((n, width))
        result = independence_test(x, y, kernel=kernel, method=method, n_resamples=39, rng=generator)
        rejected += result.pvalue <= 0.05
    least, most = binomial_range(300, 0.05)
    assert rejected <= most
    assert method == "chi2" or rejected >= least


@every_kernel
@pytest.mark.parametrize("module", [gramless, reference])
@pytest.mark.parametrize(("n", "method"), [(4, "permutation"), (39, "permutation"), (40, "chi2")])
def test_auto_permutes_where_chi2_does_not_keep_its_level(module, n, method, kernel):
    x, y = np.random.default_rng(n).standard_normal((2, n, 2))
    options = {"kernel": kernel, "n_resamples": 20, "rng": 1}
    found = module.independence_test(x, y, **options)
    assert found.method == method
    assert found.pvalue == module.independence_test(x, y, method=method, **options).pvalue


@pytest.mark.parametrize("n", [4, 6, 8, 10])
def test_the_default_keeps_its_level_for_few_rows(n):
    """300 tests; chi2 alone would reject 93, 33, 26 and 20 of them."""
    generator = np.random.default_rng(n)
    pvalues = [
        independence_test(*generator.standard_normal((2, n, 1)), n_resamples=39, rng=generator).pvalue
        for _ in range(300)
    ]
    assert np.count_nonzero(np.array(pvalues) <= 0.05) <= binomial_range(300, 0.05)[1]


@every_method
def test_dependence_without_correlation_is_found(method):
    x = np.random.default_rng(3).standard_normal((100, 1))
    result = independence_test(x, np.cos(2 * x), method=method, n_resamples=199, rng=0)
    assert result.pvalue <= 0.005


@every_method
@every_kernel
def test_dependence_is_found_in_wide_data(method, kernel):
    generator = np.random.default_rng(4)
    signal = generator.standard_normal((50, 2))
    x, y = (
        signal @ generator.standard_normal((2, 400)) + 2 * generator.standard_normal((50, 400))
        for _ in range(2)
    )
    assert independence_test(x, y, kernel=kernel, method=method, n_resamples=199, rng=0).pvalue <= 0.005


@every_method
@every_kernel
@pytest.mark.parametrize("units", [(1000.0, 1.0), (1.0, 1e-4), (3e5, 7e-3)])
def test_units_and_offsets_do_not_change_the_answer(pair, method, kernel, units):
    x, y = pair
    options = {"kernel": kernel, "method": method, "n_resamples": 60, "rng": 0}
    expected = independence_test(x, y, **options).pvalue
    moved = independence_test(units[0] * x + 3.0, units[1] * (y - 5.0), **options).pvalue
    assert moved == pytest.approx(expected, rel=1e-8)


@every_method
def test_each_input_has_its_own_bandwidth(pair, method):
    x, y = pair
    sigma_x, sigma_y = gramless.median_distance(x), gramless.median_distance(1e3 * y)
    by_hand = independence_test(x, 1e3 * y, kernel=RBF(sigma_x), kernel_y=RBF(sigma_y), method=method, rng=0)
    assert by_hand.pvalue == pytest.approx(independence_test(x, y, method=method, rng=0).pvalue, rel=1e-8)


def test_rng_decides_the_permutations(pair):
    def null(seed):
        return independence_test(*pair, method="permutation", n_resamples=30, rng=seed).null

    assert np.array_equal(null(1), null(1))
    assert np.array_equal(null(1), null(np.random.default_rng(1)))
    assert not np.array_equal(null(1), null(2))
    generator = np.random.default_rng(1)
    assert not np.array_equal(null(generator), null(generator))
    assert not np.array_equal(null(None), null(None))


def test_the_batches_of_permutations_do_not_show(pair, monkeypatch):
    options = {"method": "permutation", "n_resamples": 50, "rng": 0}
    expected = independence_test(*pair, **options).null
    monkeypatch.setattr(sys.modules["gramless._dependence"], "ORDERS_AT_ONCE", 7)
    assert np.array_equal(independence_test(*pair, **options).null, expected)


def test_progress_rises_to_the_end_and_changes_nothing(pair):
    options = {"method": "permutation", "n_resamples": 150, "rng": 0}
    told = []
    watched = independence_test(*pair, progress=lambda done, total: told.append((done, total)), **options)
    assert watched == independence_test(*pair, **options)
    assert told == sorted(told)
    assert {total for _, total in told} <= {151}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@every_kernel
def test_permutations_that_change_nothing_are_ties(dtype, kernel):
    """With 2 of 6 examples marked, one order in 15 keeps the marks in place; none gives a larger value."""
    x = np.array([[0.1], [0.2], [0.3], [0.4], [7.1], [8.3]], dtype)
    y = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [1.0]], dtype)
    options = {"kernel": kernel, "kernel_y": "linear", "method": "permutation", "n_resamples": 600, "rng": 0}
    pvalue = independence_test(x, y, **options).pvalue
    least, most = binomial_range(600, 1 / 15)
    assert least < 601 * pvalue - 1 < most
    assert pvalue == reference.independence_test(x, y, **options).pvalue
    assert pvalue == independence_test(3 * x, 7 * y, **options).pvalue


@every_method
@every_kernel
def test_other_dtypes_and_torch_give_the_same_answer(pair, method, kernel):
    x, y = (np.round(4 * a) for a in pair)  # integers, exact in every dtype
    options = {"kernel": kernel, "method": method, "n_resamples": 60, "rng": 0}
    expected = independence_test(x, y, **options)
    for dtype in (np.float32, np.float16, np.int8, np.int64):
        result = independence_test(x.astype(dtype), y.astype(dtype), **options)
        assert result.statistic == pytest.approx(expected.statistic, rel=2e-5)
        assert result.pvalue == pytest.approx(expected.pvalue, rel=2e-4)
    torch = pytest.importorskip("torch")
    result = independence_test(torch.from_numpy(x), torch.from_numpy(y), **options)
    assert result == expected
    assert type(result.pvalue) is type(result.statistic) is float


@every_method
@every_kernel
@pytest.mark.parametrize("which", [0, 1])
def test_a_constant_input_has_pvalue_nan_and_one_warning(pair, method, kernel, which):
    inputs = list(pair)
    inputs[which] = np.full((30, 2), 0.1)
    with pytest.warns(RuntimeWarning, match=r"^independence_test: ") as caught:
        result = independence_test(*inputs, kernel=kernel, method=method, n_resamples=5, rng=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert math.isnan(result.pvalue)


@every_method
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_inf_give_nan_in_silence(pair, method, bad):
    x, y = pair
    y[3, 1] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(independence_test(x, y, method=method, n_resamples=5, rng=0).pvalue)


def test_gamma_without_scipy_says_what_to_install(pair, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(ImportError, match="pip install scipy"):
        independence_test(*pair, method="gamma")
    assert independence_test(*pair).pvalue > 0


def test_the_result_is_a_frozen_value(pair):
    result = independence_test(*pair, rng=0)
    assert result == independence_test(*pair, rng=0)
    with pytest.raises(FrozenInstanceError):
        result.pvalue = 0.0


@every_method
def test_fewer_than_four_rows_are_refused(method):
    x = np.arange(6.0).reshape(3, 2)
    with pytest.raises(ValueError, match=r"^independence_test: .* needs at least 4 rows but x has 3$"):
        independence_test(x, x, method=method)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (
            {"method": "exact"},
            ValueError,
            'method must be "auto", "chi2", "gamma" or "permutation" but is \'exact\'',
        ),
        (
            {"kernel_y": "poly"},
            ValueError,
            f"kernel_y must be {ALLOWED_KERNELS} but is 'poly'",
        ),
        ({"n_resamples": 0}, ValueError, "n_resamples must be at least 1 but is 0"),
        ({"n_resamples": 2.5}, TypeError, "n_resamples must be an int but is 2.5"),
        ({"rng": -1}, ValueError, "rng must be None, an int of at least 0 or a numpy Generator but is -1"),
        ({"rng": 0.5}, TypeError, "rng must be None, an int of at least 0 or a numpy Generator but is 0.5"),
    ],
)
def test_bad_options_are_one_sentence(pair, options, error, sentence):
    with pytest.raises(error) as caught:
        independence_test(*pair, **{"method": "permutation", **options})
    assert str(caught.value) == f"independence_test: {sentence}"
    with pytest.raises(ValueError, match=r"^independence_test: x has 30 rows but y has 29$"):
        independence_test(pair[0], pair[1][1:])
