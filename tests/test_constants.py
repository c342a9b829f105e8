"""Constants, infinities, numbers too large to square: NaN where it is right, never a plausible number."""

from __future__ import annotations

import math
import warnings

import gramless
import numpy as np
import pytest

CONSTANTS = [
    np.zeros((30, 4)),
    np.full((30, 4), 1234.56789),
    np.full((30, 300), 1e-30, np.float32),
    np.full((30, 1), 7),
]


@pytest.mark.parametrize("constant", CONSTANTS, ids=["zero", "large", "tiny_float32", "integer"])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_a_constant_gives_nan_and_one_warning(backend, constant, kernel, estimator):
    other = np.random.default_rng(0).standard_normal((30, 6))
    options = {"kernel": kernel, "estimator": estimator}
    for inputs in ((constant, other), (other, constant), (constant, constant)):
        with pytest.warns(RuntimeWarning) as caught:
            assert math.isnan(gramless.cka(*inputs, **options))
        assert len(caught) == 1
        assert str(caught[0].message).startswith("cka: not defined, because ")
        assert caught[0].filename == __file__
        assert gramless.hsic(*inputs, **options) == 0
    with pytest.warns(RuntimeWarning) as caught:
        matrix = gramless.cka_matrix([other, constant, other], [constant, other], **options)
    assert len(caught) == 1
    assert "xs[1], ys[0]" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert np.array_equal(np.isnan(matrix), [[True, False], [True, True], [True, False]])


SHAPES = [(250, 12), (40, 260)]  # features, Gram


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_what_is_not_finite_reaches_its_entries_and_no_others(backend, value, kernel, shape, dtype):
    generator = np.random.default_rng(0)
    layers = [generator.standard_normal(shape).astype(dtype) for _ in range(4)]
    whole = gramless.cka_matrix(layers, kernel=kernel)
    for row, column in [(0, 0), (shape[0] - 1, shape[1] - 1), (17, 5)]:
        spoilt = list(layers)
        spoilt[2] = layers[2].copy()
        spoilt[2][row, column] = value
        for estimator in ("biased", "unbiased"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert math.isnan(gramless.cka(spoilt[2], layers[0], kernel=kernel, estimator=estimator))
                assert math.isnan(gramless.hsic(layers[0], spoilt[2], kernel=kernel, estimator=estimator))
        matrix = gramless.cka_matrix(spoilt, kernel=kernel)
        touched = np.zeros((4, 4), bool)
        touched[2] = touched[:, 2] = True
        assert np.array_equal(np.isnan(matrix), touched)
        assert np.array_equal(matrix[~touched], whole[~touched])


@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1e30), (np.float64, 1e200)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_numbers_too_large_to_square_are_nan_and_never_a_plausible_number(dtype, factor, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    large = x * dtype(factor)
    truth = 1.0  # the CKA of x with a multiple of itself
    for kernel in ("linear", "rbf"):
        value = gramless.cka(large, x, kernel=kernel)
        assert math.isnan(value) or value == pytest.approx(truth, abs=1e-6)
        value = gramless.hsic(large, large, kernel=kernel)
        assert kernel == "rbf" or not math.isfinite(value) or value > factor
