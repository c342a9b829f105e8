"""Errors found in other packages, one test each, that must not occur in gramless."""

from __future__ import annotations

import itertools
import math

import gramless
import numpy as np
import pytest
from gramless import RBF, reference


@pytest.fixture
def oracle_pair():
    generator = np.random.RandomState(1337)
    x = generator.randn(100, 10)
    return x, generator.randn(100, 10) + x


@pytest.mark.parametrize("offset", [100, 1000, 100_000])
def test_an_offset_on_every_feature_changes_nothing(oracle_pair, offset):
    """Uncentred float32 gives 0.0 at +100 and 1.0 at +1000; the truth is 0.513."""
    x, y = ((a + offset).astype(np.float32) for a in oracle_pair)
    expected = reference.cka(x, y)  # of the rounded values: at 100,000 they keep two digits behind the point
    assert gramless.cka(x, y) == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(0.513456489506, abs=1e-3)


def test_negative_values_are_not_clamped():
    generator = np.random.default_rng(0)
    values = [gramless.cka(*generator.standard_normal((2, 30, 5))) for _ in range(50)]
    assert min(values) < -0.01 < 0.01 < max(values)
    assert abs(np.mean(values)) < 0.02  # independent data: the mean is 0, which clamping would lift


def test_unbiased_cka_is_unbiased_in_all_three_places(oracle_pair):
    """An unbiased numerator over biased self-terms gives 0.465."""
    mixed = gramless.hsic(*oracle_pair) / math.sqrt(
        math.prod(gramless.hsic(a, a, estimator="biased") for a in oracle_pair)
    )
    assert gramless.cka(*oracle_pair) == pytest.approx(0.513456489506, rel=1e-10)
    assert abs(gramless.cka(*oracle_pair) - mixed) > 0.04


def test_y_has_a_bandwidth_of_its_own(oracle_pair):
    """With the bandwidth of x for both, another unit of y is another answer."""
    x, y = oracle_pair
    assert gramless.cka(x, 1000 * y, kernel="rbf") == pytest.approx(
        gramless.cka(x, y, kernel="rbf"), rel=1e-10
    )
    shared = gramless.cka(x, 1000 * y, kernel=RBF(sigma=gramless.median_distance(x)), estimator="biased")
    assert abs(shared - gramless.cka(x, y, kernel="rbf", estimator="biased")) > 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rbf_by_default_means_something_at_512_features(dtype):
    """sigma = 1 there makes every Gram matrix the identity, and CKA 1.0 or NaN."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((200, 512)).astype(dtype)
    y = (x[:, :256] + 2 * generator.standard_normal((200, 256))).astype(dtype)
    value = gramless.cka(x, y, kernel="rbf")
    assert value == pytest.approx(reference.cka(x, y, kernel="rbf"), abs=1e-6)
    assert 0.01 < value < 0.9


def test_units_do_not_move_a_p_value(oracle_pair):
    """In another package p changes from 1.6e-7 to 0.42 with the units."""
    generator = np.random.default_rng(3)
    x, y = generator.standard_normal((80, 3)), generator.standard_normal((80, 2))
    y[:, 0] += 0.5 * x[:, 0]
    for method in ("chi2", "gamma"):
        pvalues = [
            gramless.independence_test(a * x, b * y, method=method).pvalue for a, b in [(1, 1), (1e-6, 1e5)]
        ]
        assert pvalues[0] == pytest.approx(pvalues[1], rel=1e-8)


def test_independent_data_is_not_called_dependent():
    """Another package compares a biased statistic with the unbiased null and gets p = 1.7e-6."""
    generator = np.random.default_rng(1)
    pvalues = [
        gramless.independence_test(*generator.standard_normal((2, 60, 20)), method=method).pvalue
        for method in ("chi2", "gamma")
        for _ in range(20)
    ]
    assert min(pvalues) > 1e-3


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("kernel", ["linear", "rbf", RBF(scale=4)], ids=str)
@pytest.mark.parametrize("shape", [(20, 5000), (500, 3), (300, 300)], ids=str)
def test_cka_with_itself_is_one_and_never_more(estimator, kernel, shape):
    """Other packages give 1e-5 and 1.033."""
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32) + np.float32(30)
    assert gramless.cka(x, x, kernel=kernel, estimator=estimator) == pytest.approx(1, abs=1e-7)
    copy = 2 * x + 1
    assert gramless.cka(x, copy, kernel=kernel, estimator=estimator) == pytest.approx(1, abs=1e-6)


def test_biased_cka_of_wide_noise_tends_to_one_and_unbiased_does_not():
    x, y = np.random.default_rng(0).standard_normal((2, 20, 5000))
    assert gramless.cka(x, y, estimator="biased") > 0.9
    assert abs(gramless.cka(x, y)) < 0.1


def test_no_autograd_graph_is_kept_unless_asked_and_later_changes_in_place_do_not_matter():
    torch = pytest.importorskip("torch")
    x = torch.randn(60, 8, requires_grad=True)
    hidden = x * 2
    with torch.no_grad():
        value = gramless.cka(hidden, x)
    assert value.grad_fn is None
    assert gramless.cka(hidden, x).grad_fn is not None
    before = value.clone()
    with torch.no_grad():
        hidden.relu_()
    assert torch.equal(value, before)


def test_every_batch_counts_and_not_the_last_alone():
    generator = np.random.default_rng(0)
    minibatch = gramless.MinibatchCKA()
    values = []
    for noise in (0.1, 1.0, 10.0):
        x, change = generator.standard_normal((2, 40, 6))
        minibatch.update([x], [x + noise * change])
        values.append(gramless.cka(x, x + noise * change))
    assert abs(minibatch.compute()[0, 0] - values[-1]) > 0.01


def test_rows_of_a_sweep_keep_the_order_of_the_layers():
    generator = np.random.default_rng(0)
    base = generator.standard_normal((100, 6))
    layers = [base + noise * generator.standard_normal((100, 6)) for noise in (0.1, 0.5, 1.0, 3.0)]
    row = gramless.cka_matrix([base], layers)[0]
    assert list(row) == sorted(row, reverse=True)
    assert list(gramless.cka_matrix(layers[::-1], [base])[:, 0]) == pytest.approx(sorted(row), rel=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "laplace"])
def test_chance_is_known_exactly(kernel):
    """Cells of a heatmap within chance: over all orders of rows mean 0 and variance 2 / (n (n - 3))."""
    n = 6
    x, y = np.random.default_rng(2).standard_normal((2, n, 3))
    values = [gramless.cka(x, y[list(order)], kernel=kernel) for order in itertools.permutations(range(n))]
    assert np.mean(values) == pytest.approx(0, abs=1e-12)
    assert np.mean(np.square(values)) == pytest.approx(2 / (n * (n - 3)), rel=1e-10)


def test_sink_tokens_of_many_sequences_leave_the_digits_of_the_others():
    """One dimension of some tokens is thousands of times the rest: float32 dot products are off by 0.05."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((256, 64)).astype(np.float32)
    y = (x + generator.standard_normal(x.shape)).astype(np.float32)
    x[::32, 5] = 10_000
    for kernel in ("linear", "rbf", "laplace"):
        expected = reference.cka(x.astype(float), y.astype(float), kernel=kernel)
        assert gramless.cka(x, y, kernel=kernel) == pytest.approx(expected, abs=1e-6)
