"""The p-values of the reference against scipy, counting and enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from gramless import reference
from gramless.reference.gram import off_diagonal
from gramless.reference.hsic import biased


@pytest.fixture
def pair():
    generator = np.random.default_rng(5)
    x = generator.standard_normal((30, 7))
    return x, np.tanh(x[:, :4]) + 0.5 * generator.standard_normal((30, 4))


@pytest.mark.parametrize("method", ["chi2", "gamma", "permutation"])
def test_a_constant_input_has_no_pvalue(pair, method):
    with pytest.warns(RuntimeWarning, match=r"^independence_test: ") as caught:
        result = reference.independence_test(pair[0], np.ones((30, 2)), method=method, n_resamples=3, rng=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert math.isnan(result.pvalue)


def test_chi2_pvalue_is_that_of_scipy(pair):
    chi2 = pytest.importorskip("scipy.stats").chi2
    result = reference.independence_test(*pair, method="chi2")
    assert result.statistic == reference.cka(*pair, kernel="rbf")
    assert result.pvalue == pytest.approx(chi2.sf(30 * result.statistic + 1, 1), rel=1e-10)


def test_permutation_pvalue_counts_the_null_at_or_above_the_statistic(pair):
    generator = np.random.default_rng(8)
    x, y = generator.standard_normal((2, 12, 1))
    result = reference.independence_test(x, y, method="permutation", n_resamples=50, rng=1)
    assert result.null.shape == (50,)
    assert result.statistic == reference.hsic(x, y, kernel="rbf")
    assert result.pvalue == (1 + sum(value >= result.statistic for value in result.null)) / 51
    assert 2 / 51 < result.pvalue < 50 / 51


def test_permutations_that_change_nothing_are_ties():
    """With 2 of 6 examples marked, one order in 15 keeps the marks in place, regardless of rounding."""
    x = np.array([[0.1], [0.2], [0.3], [0.4], [7.1], [8.3]])
    y = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [1.0]])
    result = reference.independence_test(x, y, kernel="linear", method="permutation", n_resamples=600, rng=0)
    same = np.isclose(result.null, result.statistic, rtol=1e-9)
    assert 10 < same.sum() < 70  # 40 expected, standard deviation 6.1
    assert not np.any(result.null[~same] > result.statistic)
    assert result.pvalue == (1 + same.sum()) / 601


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_gamma_mean_is_the_mean_over_all_permutations(kernel):
    generator = np.random.default_rng(2)
    k, l = (reference.gram(generator.standard_normal((5, 3)), kernel) for _ in range(2))
    values = [biased(k, l[np.ix_(order, order)]) for order in itertools.permutations(range(5))]
    spreads = [np.mean(np.diag(m)) - np.mean(off_diagonal(m)) for m in (k, l)]
    assert spreads[0] * spreads[1] / 4 == pytest.approx(np.mean(values), rel=1e-10)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("width", [1, 5, 200])
def test_gamma_pvalue_is_near_the_share_of_permutations_above(width, kernel):
    """Within five standard errors of that share over 500 permutations, and 0.03 for the gamma shape."""
    pytest.importorskip("scipy.special")
    for seed in range(5):
        generator = np.random.default_rng(seed)
        x, y = generator.standard_normal((2, 40, width))
        k, l = reference.gram(x, kernel), reference.gram(y, kernel)
        orders = [generator.permutation(40) for _ in range(500)]
        above = np.mean([biased(k, l[np.ix_(order, order)]) >= biased(k, l) for order in orders])
        pvalue = reference.independence_test(x, y, kernel=kernel, method="gamma").pvalue
        assert abs(pvalue - above) <= 5 * math.sqrt(above * (1 - above) / 500) + 0.03
