"""Intervals of CKA values and of differences, against deleting examples one by one."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from gramless import RBF, Distance, Linear, analysis, cka, hsic, median_distance, reference
from gramless._deletion import KernelBlocks, deleted_cka, few, pair_variance_of_difference
from gramless._intervals import OF_CKA, jackknife_bounds, most_expected, student_quantile, student_tail
from gramless._kernel_rows import kernel_rows
from gramless.analysis import cka_difference, cka_interval
from gramless.kernels import encode
from test_analysis import EXACT, refused

KERNELS = pytest.mark.parametrize(
    "kernel", ["linear", RBF(sigma=2.0), "rbf", "distance", Distance(1.6)], ids=str
)
ESTIMATORS = pytest.mark.parametrize("estimator", ["unbiased", "biased"])


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def ragged(monkeypatch):
    """Several blocks of rows, the last of them shorter."""
    monkeypatch.setattr("gramless._deletion.BLOCK_BYTES", 5 * 8 * 16)


def related(generator, n=17, noise=1.0):
    x = generator.standard_normal((n, 4)) + 5
    return x, x[:, :3] + noise * generator.standard_normal((n, 3))


def without_each(x, y, kernel, estimator="unbiased"):
    """CKA without example i, for all i; bandwidths are those of all examples."""
    fixed = [RBF(sigma=median_distance(a)) if kernel == "rbf" else kernel for a in (x, y)]
    options = {"kernel": fixed[0], "kernel_y": fixed[1], "estimator": estimator}
    pairs = ((np.delete(x, i, 0), np.delete(y, i, 0)) for i in range(len(x)))
    return np.array([reference.cka(*pair, **options) for pair in pairs])


def u_centred(x):
    k, n = x @ x.T, len(x)
    np.fill_diagonal(k, 0)
    rows = k.sum(axis=1)
    k += k.sum() / ((n - 1) * (n - 2)) - (rows[:, None] + rows) / (n - 2)
    np.fill_diagonal(k, 0)
    return k


@pytest.mark.usefixtures("ragged")
@ESTIMATORS
@KERNELS
def test_the_jackknife_deletes_every_example(generator, kernel, estimator):
    x, y = related(generator)
    found = cka_interval(x, y, kernel=kernel, estimator=estimator)
    assert found.value == pytest.approx(cka(x, y, kernel=kernel, estimator=estimator), rel=EXACT)
    without = without_each(x, y, kernel, estimator)
    assert found.standard_error == pytest.approx(4 * np.std(without), rel=1e-7)  # sqrt(n - 1) = 4


def ends(x, y, level):
    """low and high of linear, unbiased CKA, from n x n matrices."""
    n, k, l = len(x), u_centred(x), u_centred(y)
    k, l = k / np.linalg.norm(k), l / np.linalg.norm(l)
    value, without = np.sum(k * l), without_each(x, y, "linear")
    of_pairs = 2 * np.sum((k * l - value / 2 * (k**2 + l**2)) ** 2)
    plain = (n - 1) * np.var(without)
    terms = np.arctanh(without) - np.arctanh(without).mean()
    freedom = min(2 * n / (np.mean(terms**4) / np.mean(terms**2) ** 2 - 1), n - 1)
    spread = math.sqrt((n - 1) * np.mean(terms**2) * max(1 - of_pairs / plain, 0.5))
    reach = float(student_quantile(level, np.array([freedom]))[0]) * spread
    one_more = -(n - 1) / n * terms
    unlike = (most_expected(level) - 1) * (one_more.max() + one_more.min())
    low, high = (math.atanh(value) - reach + min(unlike, 0), math.atanh(value) + reach + max(unlike, 0))
    return math.tanh(low), math.tanh(high)


@pytest.mark.usefixtures("ragged")
@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_the_ends_are_those_of_the_formula(generator, noise):
    x, y = related(generator, 40, noise)
    found = cka_interval(x, y, level=0.9)
    assert (found.low, found.high) == pytest.approx(ends(x, y, 0.9), rel=1e-9)


def test_ends_lie_between_minus_one_and_one(generator):
    for noise in (0.0, 1e-9, 1e-3, 0.1, 100):
        for n in (5, 6, 30):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a few rows are most of five
                found = cka_interval(*related(generator, n, noise), level=0.999)
            assert -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("groups", [None, 10])
def test_a_representation_is_itself_for_sure(generator, groups):
    x = generator.standard_normal((60, 5))
    found = cka_interval(x, x, groups=groups)
    assert (found.low, found.value, found.high) == pytest.approx((1, 1, 1), abs=1e-12)


def test_student_has_the_quantiles_that_scipy_has():
    stats = pytest.importorskip("scipy.stats")
    freedom = np.array([2, 2.1, 3, 4.7, 10, 31, 400, 1e5])
    for level in (0.5, 0.9, 0.95, 0.999, 1 - 1e-6):
        expected = stats.t.ppf((1 + level) / 2, freedom)
        np.testing.assert_allclose(student_quantile(level, freedom), expected, rtol=1e-9)
    for t in (0.0, 0.3, 1.9, 2.1, 5.0, 30.0):
        np.testing.assert_allclose(student_tail(t, freedom), stats.t.sf(t, freedom), rtol=1e-9, atol=1e-300)


def test_what_is_seen_once_is_expected_as_often_as_scipy_says():
    stats = pytest.importorskip("scipy.stats")
    for level in (0.01, 0.5, 0.9, 0.95, 0.999, 1 - 1e-9):
        assert most_expected(level) == pytest.approx(stats.chi2.isf((1 - level) / 2, 4) / 2, rel=1e-9)


def test_bounds_reach_further_where_the_most_unusual_examples_lie():
    rest = np.random.default_rng(0).standard_normal(98) / 1e4
    terms = np.concatenate([rest, [0.02, -0.02]])
    alike, lower = (
        jackknife_bounds(OF_CKA, np.array([0.5]), np.array([0.5 + t]), np.array([0.0]), 0.95, rare=rare)
        for t, rare in ((terms, False), (np.concatenate([rest, [0.0, -0.02]]), True))
    )
    same = jackknife_bounds(
        OF_CKA, np.array([0.5]), np.array([0.5 + terms]), np.array([0.0]), 0.95, rare=True
    )
    ends = [np.arctanh(float(found)) - np.arctanh(0.5) for found in (lower.low[0], lower.high[0])]
    assert abs(same.high - alike.high) < 0.01 * (alike.high - alike.low)
    # without the last example the value is lower by 0.02: it raises it, and there may be more like it
    assert ends[1] > -ends[0] + 4 * 0.02


@ESTIMATORS
def test_few_examples_have_the_share_that_falls_away_with_each(generator, estimator):
    x = generator.standard_normal((250, 4))
    x[[3, 77]] *= 6
    kernels = KernelBlocks([kernel_rows(x, encode(Linear()))], 250, estimator)
    whole = hsic(x, x, estimator=estimator)
    without = np.array([hsic(*[np.delete(x, i, 0)] * 2, estimator=estimator) for i in range(250)])
    left = 249 * 246 / (250 * 247) if estimator == "unbiased" else (248 / 249) ** 2
    shares = np.sort(1 - left * without / whole) / 2
    assert few(250) == 2
    assert deleted_cka(kernels, [(0, 0)]).share[0] == pytest.approx(shares[-2:].sum(), rel=1e-6)
    assert shares[-2:].sum() > 0.15


@pytest.mark.parametrize("groups", [None, 20])
def test_examples_that_carry_most_are_named(generator, groups):
    x, y = generator.standard_normal((2, 300, 6))
    y[:3] *= 25
    with pytest.warns(RuntimeWarning, match=r"cka_interval: .* carr.* of y \d+%;") as caught:
        cka_interval(x, y, groups=groups)
    assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"cka_difference: .* of second\[0\] \d+%;"):
        cka_difference((x, x), (y, x), groups=groups)


THREE_PAIRS = [("linear", 60, 1.0), (RBF(sigma=3.0), 40, 0.5), ("rbf", 80, 2.0), (Distance(0.8), 50, 1.0)]


@pytest.mark.usefixtures("ragged")
@ESTIMATORS
@pytest.mark.parametrize(("kernel", "n", "noise"), THREE_PAIRS, ids=str)
def test_a_difference_is_that_of_deleting_each_example(generator, kernel, n, noise, estimator):
    x, y = related(generator, n)
    z = x[:, 1:] + noise * generator.standard_normal((n, 3))
    found = cka_difference((x, y), (x, z), kernel=kernel, estimator=estimator)
    of_pairs = [cka(x, other, kernel=kernel, estimator=estimator) for other in (y, z)]
    assert (found.first, found.second) == pytest.approx(of_pairs, rel=1e-7)
    without = np.subtract(*(without_each(x, other, kernel, estimator) for other in (y, z)))
    error = math.sqrt((n - 1) * np.var(without))
    assert found.value == pytest.approx(of_pairs[0] - of_pairs[1], rel=1e-7)
    assert found.standard_error == pytest.approx(error, rel=1e-6)
    assert found.z == pytest.approx((of_pairs[0] - of_pairs[1]) / error, rel=1e-6)
    assert found.low < found.value < found.high
    assert (found.pvalue < 0.05) == (not found.low < 0 < found.high)


@pytest.mark.usefixtures("ragged")
def test_what_pairs_of_examples_add_to_a_difference(generator):
    x, y = related(generator, 30)
    z = generator.standard_normal((30, 2))
    kernels = KernelBlocks([kernel_rows(a, encode(Linear())) for a in (x, y, z)], 30, "unbiased")
    pairs = [(0, 1), (0, 2)]
    k = [u_centred(a) for a in (x, y, z)]
    k = [one / np.linalg.norm(one) for one in k]
    one, other = (k[a] * k[b] - np.sum(k[a] * k[b]) / 2 * (k[a] ** 2 + k[b] ** 2) for a, b in pairs)
    found = pair_variance_of_difference(kernels, pairs, deleted_cka(kernels, pairs))
    assert found == pytest.approx(2 * np.sum((one - other) ** 2), rel=1e-9)


def test_what_is_given_twice_differs_from_itself_by_nothing(generator):
    x, y = related(generator, 50)
    for groups in (None, 10):
        found = cka_difference((x, y), (x, y), groups=groups)
        assert (found.value, found.z, found.pvalue, found.low, found.high) == (0, 0, 1, 0, 0)


def test_a_difference_by_groups_is_near_that_by_examples(generator):
    x, y = related(generator, 600)
    z = x + 1.2 * generator.standard_normal((600, 4))
    whole, groups = (cka_difference((x, y), (x, z), groups=count) for count in (None, 40))
    assert groups.value == pytest.approx(whole.value, abs=1e-6)
    assert groups.standard_error == pytest.approx(whole.standard_error, rel=0.4)


def test_a_difference_of_tensors_is_that_of_arrays(generator):
    torch = pytest.importorskip("torch")
    x, y = related(generator, 50)
    z = x + generator.standard_normal((50, 4))
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, y, z)]
    for groups in (None, 10):
        found = cka_difference((tensors[0], tensors[1]), (tensors[0], tensors[2]), groups=groups)
        assert found == cka_difference((x, y), (x, z), groups=groups)


def test_intervals_refuse():
    x = np.ones((6, 2))
    refused(ValueError, "x has 6 rows but y has 5", cka_interval, x, x[:5])
    refused(ValueError, "at least 5 rows are needed but x has 4", cka_interval, x[:4], x[:4])
    refused(ValueError, "level must lie between 0 and 1 but is 95", cka_interval, x, x, level=95)
    refused(TypeError, "level must be a number but is '95'", cka_interval, x, x, level="95")
    refused(ValueError, "kernel_y must be", cka_interval, x, x, kernel_y="sigmoid")


@pytest.mark.parametrize("groups", [None, 5])
def test_differences_refuse(groups):
    x = np.ones((6, 2))
    options = {"groups": groups}
    refused(TypeError, r"first must be a pair of .* but is ndarray", cka_difference, x, (x, x), **options)
    refused(TypeError, "second must be .* but is tuple of 3", cka_difference, (x, x), (x, x, x), **options)
    sentence = r"first\[0\] has 6 rows but second\[1\] has 5"
    refused(ValueError, sentence, cka_difference, (x, x), (x, x[:5]), **options)
    refused(ValueError, "level must lie between", cka_difference, (x, x), (x, x), level=0, **options)


def test_an_interval_of_a_constant_is_nan_and_says_so(generator):
    x, constant = generator.standard_normal((40, 3)), np.ones((40, 3))
    with pytest.warns(RuntimeWarning, match="cka_interval: not defined, because x or y is constant"):
        found = cka_interval(constant, x)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    with pytest.warns(RuntimeWarning, match="cka_difference: not defined"):
        difference = cka_difference((x, x), (x, constant))
    assert difference.first == pytest.approx(1)
    assert all(map(math.isnan, (difference.value, difference.z, difference.pvalue, difference.high)))


def test_the_interval_holds_the_truth_as_often_as_it_says(generator):
    """y = x + noise of the same size: linear CKA of the population is known from covariances."""
    d, held, errors, values = 4, 0, [], []
    truth = d / (math.sqrt(d) * math.sqrt(4 * d))  # |C_xy|^2 / (|C_xx| |C_yy|), C_yy = 2 I
    for _ in range(300):
        x = generator.standard_normal((80, d))
        interval = cka_interval(x, x + generator.standard_normal((80, d)), level=0.9)
        held += interval.low <= truth <= interval.high
        errors.append(interval.standard_error)
        values.append(interval.value)
    assert 0.84 < held / 300 < 0.95
    # The deviation of 300 values has itself an error of 4.1 %, 1 / sqrt(2 * 299).
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_an_accuracy_over_pairs_of_networks_has_an_interval():
    right = np.ones((10, 4), bool)
    right[[1, 4, 7], 0] = False
    pairs = [(a, b) for a in range(5) for b in range(a)]
    found = analysis.LayerCorrespondence(right, right, tuple(pairs))
    low, high = found.interval()
    assert 0 < low < found.accuracy < high < 1
    without = [right[[k not in pair for pair in pairs]].mean() for k in range(5)]
    trials = found.accuracy * (1 - found.accuracy) / (4 * np.var(without))
    t, p = 2.776445**2 / trials, found.accuracy  # Student's, 4 degrees
    for end in (low, high):
        assert abs(end - p) == pytest.approx(math.sqrt(t * end * (1 - end)), rel=1e-5)  # Wilson 1927
    everything = analysis.layer_correspondence(*[np.eye(4)] * 10, networks=pairs).interval()
    assert 0 < everything[0] < everything[1] == pytest.approx(1)
    narrow = analysis.layer_correspondence(*[np.eye(4)] * 10).interval()
    assert everything[0] < narrow[0]


def test_correspondence_of_too_few_networks_has_no_interval():
    few_networks = analysis.layer_correspondence(np.eye(3), np.eye(3), networks=[(0, 1), (1, 0)])
    refused(ValueError, "at least 3 networks are needed but there are 2", few_networks.interval)
    refused(ValueError, "3 matrices are needed", analysis.layer_correspondence(np.eye(3)).interval)
    correspondence = analysis.layer_correspondence
    refused(ValueError, "networks has 1 pairs for 2", correspondence, np.eye(3), np.eye(3), networks=[(0, 1)])
    refused(TypeError, "networks must hold pairs", correspondence, np.eye(3), networks=[0])
