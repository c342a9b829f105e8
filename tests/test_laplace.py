"""The Laplace kernel: values and gradients against n x n code from the differences of rows."""

from __future__ import annotations

import math
import re

import gramless
import numpy as np
import pytest
from gramless import Laplace, reference
from gramless.reference.gram import gram
from kernel_names import ALLOWED_KERNELS
from scipy.spatial.distance import cdist
from tolerance import NAIVE, TRUE, assert_as_accurate, cka_of

ESTIMATORS = ["unbiased", "biased"]
DTYPES = [np.float32, np.float64, np.float16]


def rows(n, d, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


def duplicated(n, d, seed=0):
    """Half of the rows are equal to another one."""
    x = rows(n, d, seed)
    x[n // 2 :] = x[: n - n // 2]
    return x


def in_near_pairs(n, d, seed=0, apart=1e-4, offset=0.0):
    """Pairs of rows that are `apart` in units of their length."""
    x = rows(n, d, seed) + offset
    moved = rows(n, d, seed + 1)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    x[n // 2 :] = (x + apart * np.sqrt(d) * moved)[: n - n // 2]
    return x


CASES = {
    "normal": lambda: (rows(150, 20), rows(150, 7, 1)),
    "duplicates": lambda: (duplicated(150, 20), duplicated(150, 7, 3)),
    "near pairs": lambda: (in_near_pairs(150, 20), in_near_pairs(150, 7, 3)),
    "far from the origin": lambda: (
        in_near_pairs(150, 20, offset=100.0),
        in_near_pairs(150, 7, 3, offset=-30.0),
    ),
    "one feature": lambda: (rows(150, 1), in_near_pairs(150, 1, 4)),
    "more features than rows": lambda: (in_near_pairs(40, 1000), rows(40, 800, 5)),
}


def gram_of(x, sigma, dtype):
    """exp(-|a - b| / sigma) in `dtype` throughout, naively from differences."""
    x = np.asarray(x, dtype)
    distance = np.sqrt(np.stack([np.sum((x - row) ** 2, axis=1) for row in x]))
    return np.exp(-distance / dtype(sigma))


def median_of(x):
    x = x.astype(np.float64)
    return np.median(cdist(x, x)[~np.eye(len(x), dtype=bool)])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cka_is_as_accurate_as_code_from_differences(dtype, estimator):
    compute = np.float32 if dtype == np.float16 else dtype
    ours, naive, truth = [], [], []
    for case in CASES.values():
        layers = [side.astype(dtype) for side in case()]
        sigmas = [median_of(layer) for layer in layers]
        kernel, kernel_y = (Laplace(sigma=sigma) for sigma in sigmas)
        ours.append(gramless.cka(*layers, kernel=kernel, kernel_y=kernel_y, estimator=estimator))
        for found, formula, digits in ((naive, NAIVE, compute), (truth, TRUE, np.longdouble)):
            grams = (gram_of(layer, sigma, digits) for layer, sigma in zip(layers, sigmas, strict=True))
            found.append(cka_of(*grams, estimator, formula))
    assert_as_accurate(ours, naive, truth, compute)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "kernel", [Laplace(), Laplace(sigma=2.5), Laplace(scale=0.3, include_diagonal=True)], ids=str
)
def test_the_reference_agrees(kernel, estimator):
    for case in CASES.values():
        x, y = case()
        arguments = {"kernel": kernel, "kernel_y": "linear", "estimator": estimator}
        found, expected = (module.cka(x, y, **arguments) for module in (gramless, reference))
        assert found == pytest.approx(expected, abs=1e-11)
    xs = [rows(50, 3), rows(50, 60, 1), duplicated(50, 4)]
    found, expected = (
        module.cka_matrix(xs, kernel=kernel, estimator=estimator) for module in (gramless, reference)
    )
    assert np.allclose(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [4, 6, 8, 16, 24, 32])
def test_narrow_kernels_on_few_columns_are_as_accurate(columns, dtype):
    """From dot products, values far from 1 of a narrow kernel had four times the error."""
    ours, naive = [], []
    for share in (0.1, 0.04, 0.02):  # of the typical distance
        for seed in range(12):
            x, kernel = rows(60, columns, seed, dtype), Laplace(sigma=share * math.sqrt(2 * columns))
            found = gramless.hsic(x, x, kernel=kernel)
            wide, narrow = (gram_of(x, kernel.sigma, digits) for digits in (np.longdouble, dtype))
            exact = TRUE["unbiased"](wide, wide)
            ours.append(found / exact)
            naive.append(NAIVE["unbiased"](narrow, narrow) / exact)
    assert_as_accurate(ours, naive, np.ones(len(ours)), dtype)


def test_pairs_are_values_of_the_formula():
    x = np.array([[0.0], [1e-4], [3.0], [5.0], [9.0]])
    expected = np.exp(-cdist(x, x) / 2.0)
    assert np.allclose(gram(x, Laplace(sigma=2.0)), expected, rtol=1e-14)
    y = rows(5, 2)
    truth = TRUE["unbiased"](expected, (y - y.mean(0)) @ (y - y.mean(0)).T)
    assert gramless.hsic(x, y, kernel=Laplace(sigma=2.0), kernel_y="linear") == pytest.approx(
        truth, rel=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constants_and_nan(dtype):
    x, constant = rows(30, 4, dtype=dtype), np.full((30, 4), 0.1, dtype)
    assert gramless.hsic(constant, constant, kernel=Laplace(sigma=1.0)) == 0
    with pytest.warns(RuntimeWarning, match="constant"):
        assert np.isnan(gramless.cka(x, constant, kernel=Laplace(sigma=1.0)))
    x[3, 1] = np.nan
    assert np.isnan(gramless.hsic(x, rows(30, 2), kernel=Laplace(sigma=1.0)))


# Beside a kernel so narrow that only near pairs have values. Powers of two round nothing
# anew, but rows of these lengths are held in units of their own.
UNITS = [(np.float32, -100), (np.float32, 60), (np.float64, -400), (np.float64, 400)]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("dtype", "exponent"), UNITS)
def test_the_unit_plays_no_part_in_near_pairs(dtype, exponent, estimator):
    x, y = in_near_pairs(150, 20).astype(dtype), in_near_pairs(150, 7, 3).astype(dtype)
    unit, sigma = 2.0**exponent, 5e-4

    def found(unit):
        return gramless.cka(
            x * dtype(unit), y, kernel=Laplace(sigma=sigma * unit), kernel_y="linear", estimator=estimator
        )

    assert found(unit) == pytest.approx(found(1.0), rel=1e-6 if dtype == np.float32 else 1e-12)


def test_errors_name_it():
    with pytest.raises(ValueError, match=r"^Laplace: sigma must be positive and finite but is -1\.0$"):
        Laplace(sigma=-1)
    with pytest.raises(
        ValueError, match=re.escape(f"cka: kernel must be {ALLOWED_KERNELS} but is 'laplacian'")
    ):
        gramless.cka(rows(5, 2), rows(5, 2), kernel="laplacian")


torch = pytest.importorskip("torch")


def slopes_of_hsic(l):
    """Derivatives of unbiased HSIC with respect to the entries of the other, symmetric matrix."""
    n, sums = len(l), l.sum(0)
    slopes = l + l.sum() / ((n - 1) * (n - 2)) - (sums[:, None] + sums) / (n - 2)
    return np.where(np.eye(n, dtype=bool), 0, slopes) / (n * (n - 3))


def gradients_of_cka(layers, sigmas, dtype):
    """With respect to both layers, n x n matrices in `dtype` throughout; equal rows have no derivative."""
    grams = [gram_of(layer, sigma, dtype) for layer, sigma in zip(layers, sigmas, strict=True)]
    hollow = [np.where(np.eye(len(k), dtype=bool), 0, k).astype(dtype) for k in grams]
    slopes = [slopes_of_hsic(k) for k in hollow]
    own = [np.sum(k * slope) for k, slope in zip(hollow, slopes, strict=True)]
    root = np.sqrt(own[0] * own[1])
    value = np.sum(hollow[0] * slopes[1]) / root
    found = []
    for a, layer in enumerate(layers):
        x = np.asarray(layer, dtype)
        by_k = slopes[1 - a] / root - value * slopes[a] / own[a]
        for i in range(len(x)):
            differences = x[i] - x
            distance = np.sqrt(np.sum(differences**2, axis=1))
            weights = -2 * by_k[i] * hollow[a][i] / dtype(sigmas[a])
            found.append((weights / np.where(distance == 0, 1, distance)) @ differences)
    return np.concatenate(found)


def assert_gradients_are_as_accurate(pairs, sigmas, dtype):
    """Each relative to the largest of its pair."""
    ours, naive, truth = [], [], []
    for pair in pairs:
        layers = [side.astype(dtype) for side in pair]
        x, y = (torch.from_numpy(layer).requires_grad_() for layer in layers)
        kernel, kernel_y = (Laplace(sigma=sigma) for sigma in sigmas)
        gramless.cka(x, y, kernel=kernel, kernel_y=kernel_y).backward()
        true = gradients_of_cka(layers, sigmas, np.longdouble)
        scale = np.abs(true).max()
        found = np.concatenate([x.grad.numpy().ravel(), y.grad.numpy().ravel()])
        for values, one in ((ours, found), (naive, gradients_of_cka(layers, sigmas, dtype)), (truth, true)):
            values.append(np.asarray(one / scale, np.float64))
    assert_as_accurate(*map(np.concatenate, (ours, naive, truth)), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_as_accurate_as_code_from_differences(dtype):
    assert_gradients_are_as_accurate([case() for case in CASES.values()], (2.0, 3.0), dtype)


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_gradients_of_few_columns_are_as_accurate(columns, sigma):
    """Many of their pairs are near: with one to three columns gradients had errors of up to 7e-6."""
    pairs = [(rows(n, columns, n), rows(n, columns, n + 1)) for n in (20, 150, 260)]
    assert_gradients_are_as_accurate(pairs, (sigma * math.sqrt(columns),) * 2, np.float32)


@pytest.mark.parametrize(("dtype", "exponent"), UNITS)
def test_the_unit_plays_no_part_in_gradients_of_near_pairs(dtype, exponent):
    y = torch.from_numpy(in_near_pairs(150, 7, 3).astype(dtype))

    def found(unit):
        x = torch.from_numpy(in_near_pairs(150, 20).astype(dtype) * dtype(unit)).requires_grad_()
        gramless.cka(x, y, kernel=Laplace(sigma=5e-4 * unit), kernel_y="linear").backward()
        return x.grad.numpy() * dtype(unit)

    expected = found(1.0)
    np.testing.assert_allclose(
        found(2.0**exponent),
        expected,
        rtol=0,
        atol=(1e-6 if dtype == np.float32 else 1e-13) * np.abs(expected).max(),
    )
