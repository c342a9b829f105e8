"""Data for which float32 tiles have too few digits is computed in float64: within 1e-6 of float64 results."""

from __future__ import annotations

import functools
import warnings

import gramless
import numpy as np
import pytest
from gramless import RBF, Laplace, Linear, MinibatchCKA, reference
from gramless.analysis import cka_interval

LIMIT = 1e-6


def pair(n, dx, dy, seed=0, dtype=np.float32):
    generator = np.random.default_rng(seed)
    x, y = generator.standard_normal((n, dx)), generator.standard_normal((n, dy))
    width = min(dx, dy)
    y[:, :width] += x[:, :width]
    return x.astype(dtype), y.astype(dtype)


def four_rows(dtype=np.float32, size=3e3):
    """A median between distances to the far row: all others are near 0 beside it."""
    x, y = pair(4, 700, 3, dtype=dtype)
    y[1, 2] = size
    return x, y


def few_rows(n, d=40, size=1e5):
    x, y = pair(n, d, d)
    x[:2, 0] = size, -size
    return x, y


def sinks(n, d=64, size=1e4):
    """Attention sinks: tokens far from all others and near each other."""
    x, y = pair(n, d, d)
    x[: n // 25, 1] = size
    return x, y


def far_row(n, size=1e5):
    x, y = pair(n, 16, 16)
    x[3, 2] = size
    return x, y


def few_that_differ():
    x, y = pair(33, 1, 102)
    x[5:] = 0
    return x, y


def one_wide_column():
    """Half of the rows share a large value: distances small relative to it, but larger than rounding."""
    x, y = pair(33, 6, 9, dtype=np.float16)
    x[:18, 0], x[18:, 0] = 6e4, -6e4
    x[24:, 0] = 6e4
    return x, y


CASES = {
    "four rows, Laplace": (four_rows, Laplace()),
    "four rows, narrow Laplace": (four_rows, Laplace(scale=0.1)),
    "four rows, RBF": (functools.partial(four_rows, size=300), RBF()),
    "four rows of float16": (functools.partial(four_rows, np.float16, 300), RBF(scale=10)),
    "six rows": (functools.partial(few_rows, 6), RBF(scale=3)),
    "six rows, Laplace": (functools.partial(few_rows, 6), Laplace(scale=0.3)),
    "32 rows": (functools.partial(few_rows, 32), RBF(scale=30)),
    "100 rows with sinks": (functools.partial(sinks, 100), RBF()),
    "400 rows with sinks": (functools.partial(sinks, 400), RBF()),
    "600 rows with sinks": (functools.partial(sinks, 600), RBF(scale=0.5)),
    "sinks, Laplace": (functools.partial(sinks, 400), Laplace()),
    "sinks, wide Laplace": (functools.partial(sinks, 100, size=2e3), Laplace(scale=50)),
    "sinks farther away": (functools.partial(sinks, 200, size=1e6), RBF()),
    "a far row and a wide kernel": (functools.partial(far_row, 100), RBF(scale=30)),
    "a far row and a wide Laplace": (functools.partial(far_row, 100), Laplace(scale=30)),
    "a far row of 400": (functools.partial(far_row, 400), RBF(scale=30)),
    "few that differ": (few_that_differ, RBF(sigma=30.0)),
    "a wide column": (one_wide_column, RBF()),
}
every_case = pytest.mark.parametrize("case", CASES)


def exact(function, arrays, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*(a.astype(np.float64) for a in arrays), **options)


@every_case
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_float32_is_the_float64_of_its_values(backend, case, estimator):
    data, kernel = CASES[case]
    arrays = data()
    expected = exact(reference.cka, arrays, kernel=kernel, estimator=estimator)
    found = gramless.cka(*arrays, kernel=kernel, estimator=estimator)
    assert found == pytest.approx(expected, rel=0, abs=LIMIT)
    own = exact(reference.hsic, (arrays[0], arrays[0]), kernel=kernel, estimator=estimator)
    found = gramless.hsic(arrays[0], arrays[0], kernel=kernel, estimator=estimator)
    assert found == pytest.approx(own, rel=3 * LIMIT)


@pytest.mark.parametrize(("n", "d"), [(8, 200_001), pytest.param(33, 400_000, marks=pytest.mark.slow)])
def test_few_rows_that_are_very_wide(n, d):
    x, y = pair(n, d, d)
    expected = gramless.cka(x.astype(np.float64), y.astype(np.float64))
    assert gramless.cka(x, y) == pytest.approx(expected, rel=0, abs=LIMIT)


@pytest.mark.parametrize("n", [12, 100, 400])
def test_the_median_distance_of_rows_far_away_and_near_each_other(backend, n):
    x = sinks(n)[0]
    x[:3, 1] = 1e4
    expected = exact(reference.median_distance, [x])
    assert gramless.median_distance(x) == pytest.approx(expected, rel=LIMIT)
    assert gramless.median_distance(x, include_diagonal=True) == pytest.approx(
        exact(functools.partial(reference.median_distance, include_diagonal=True), [x]), rel=LIMIT
    )


def permuted(x, y, kernel):
    found = gramless.independence_test(x, y, kernel=kernel, method="permutation", n_resamples=19, rng=0)
    return np.append(found.null, found.statistic)


def minibatch(x, y, kernel):
    accumulated = MinibatchCKA(kernel)
    accumulated.update(x, y)
    return accumulated.compute()[0, 0]


CALLS = {
    "cka_matrix": lambda x, y, kernel: gramless.cka_matrix([x, y], kernel=kernel)[0, 1],
    "hsic_matrix": lambda x, y, kernel: gramless.hsic_matrix([x, y], [y], kernel=kernel),
    "MinibatchCKA": minibatch,
    "cka_interval": lambda x, y, kernel: cka_interval(x, y, kernel=kernel).value,
    "groups": lambda x, y, kernel: cka_interval(x, y, kernel=kernel, groups=5).high,
    "chi2": lambda x, y, kernel: gramless.independence_test(x, y, kernel=kernel, method="chi2").statistic,
    "permutation": permuted,
}


@pytest.mark.filterwarnings("ignore:cka_interval. one .* carries much of the HSIC:RuntimeWarning")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("case", ["six rows", "100 rows with sinks", "a far row and a wide kernel"])
def test_every_way_to_an_hsic_keeps_the_digits(call, case):
    data, kernel = CASES[case]
    x, y = data()
    expected = CALLS[call](x.astype(np.float64), y.astype(np.float64), kernel)
    np.testing.assert_allclose(
        CALLS[call](x, y, kernel), expected, rtol=LIMIT, atol=LIMIT * np.abs(expected).max()
    )


@pytest.mark.parametrize("kernel", [Linear(), RBF(), Laplace()], ids=str)
def test_a_sweep_in_parts_has_the_same_bits(tmp_path, kernel):
    layers = [*sinks(100), *few_rows(100)]
    whole = gramless.cka_matrix(layers, kernel=kernel)
    assert np.array_equal(gramless.cka_matrix(layers, kernel=kernel, checkpoint=tmp_path / "kept"), whole)
    expected = gramless.cka_matrix([layer.astype(np.float64) for layer in layers], kernel=kernel)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=LIMIT)


@pytest.mark.parametrize("case", ["four rows, Laplace", "six rows", "100 rows with sinks"])
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_gradients_of_float32_are_those_of_float64(case, estimator):
    torch = pytest.importorskip("torch")
    data, kernel = CASES[case]

    def gradients(dtype):
        inputs = [torch.tensor(z, dtype=dtype, requires_grad=True) for z in data()]
        value = gramless.cka(*inputs, kernel=kernel, estimator=estimator)
        return value, torch.autograd.grad(value, inputs)

    value, found = gradients(torch.float32)
    expected, exact_gradients = gradients(torch.float64)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=0, abs=LIMIT)
    for gradient, wanted in zip(found, exact_gradients, strict=True):
        assert gradient.dtype == torch.float32
        assert torch.linalg.norm(gradient - wanted) <= LIMIT * torch.linalg.norm(wanted)
