"""Gradients of distance kernels against n x n code of differences, with torch's checks and transforms."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import Distance
from test_distance import CASES, gram_of
from test_laplace import ESTIMATORS, duplicated, in_near_pairs, rows, slopes_of_hsic
from tolerance import assert_as_accurate

torch = pytest.importorskip("torch")


def gradients_of_cka(layers, exponent, dtype):
    """With respect to both layers, n x n matrices in `dtype` throughout; equal rows have no derivative."""
    hollow = [gram_of(layer, exponent, dtype) for layer in layers]
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
            distance2 = np.sum(differences**2, axis=1)
            powers = np.where(distance2 == 0, 1, distance2) ** dtype(exponent / 2 - 1)
            found.append((-2 * dtype(exponent) * by_k[i] * powers) @ differences)
    return np.concatenate(found)


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_as_accurate_as_code_from_differences(dtype, exponent):
    """Each relative to the largest of its pair."""
    ours, naive, truth = [], [], []
    for name, case in CASES.items():
        if "1e6" in name and dtype == np.float32:
            continue  # many rows are equal there, and others a rounding apart
        layers = [side.astype(dtype) for side in case()]
        x, y = (torch.from_numpy(layer).requires_grad_() for layer in layers)
        gramless.cka(x, y, kernel=Distance(exponent)).backward()
        true = gradients_of_cka(layers, exponent, np.longdouble)
        scale = np.abs(true).max()
        found = np.concatenate([x.grad.numpy().ravel(), y.grad.numpy().ravel()])
        for values, one in ((ours, found), (naive, gradients_of_cka(layers, exponent, dtype)), (truth, true)):
            values.append(np.asarray(one / scale, np.float64))
    assert_as_accurate(*map(np.concatenate, (ours, naive, truth)), dtype)


@pytest.mark.parametrize("exponent", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradcheck(estimator, exponent):
    x, y = (torch.from_numpy(rows(8, 3, seed)).requires_grad_() for seed in (0, 1))
    for function in (gramless.hsic, gramless.cka):
        assert torch.autograd.gradcheck(
            lambda a, b, f=function: f(a, b, kernel=Distance(exponent), estimator=estimator), (x, y)
        )
    assert torch.autograd.gradcheck(lambda a, b: gramless.mmd(a, b, kernel=Distance(exponent)), (x, y))


@pytest.mark.parametrize("unit", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_do_not_depend_on_the_unit(dtype, unit):
    y = torch.from_numpy(rows(60, 3, 1)).to(dtype)

    def found(unit):
        x = (torch.from_numpy(rows(60, 4)) * unit).to(dtype).requires_grad_()
        gramless.cka(x, y, kernel=Distance(1.3)).backward()
        return x.grad.double() * unit

    expected = found(1.0)
    error = (found(unit) - expected).abs().max() / expected.abs().max()
    assert error < (2e-6 if dtype == torch.float32 else 1e-12)


def test_equal_rows_have_finite_gradients():
    x = torch.from_numpy(duplicated(60, 4)).requires_grad_()
    gramless.cka(x, torch.from_numpy(rows(60, 3, 1)), kernel=Distance(0.5)).backward()
    assert torch.isfinite(x.grad).all()


def test_value_and_grad_and_transforms_agree():
    a, b = rows(30, 4), in_near_pairs(30, 3, 1)
    kernel = Distance(1.4)
    value, (by_a, by_b) = gramless.value_and_grad(gramless.cka)(a, b, kernel=kernel)
    x, y = torch.from_numpy(a), torch.from_numpy(b)

    def f(x, y):
        return gramless.cka(x, y, kernel=kernel)

    assert f(x, y).item() == value
    grads = torch.func.grad(f, argnums=(0, 1))(x, y)
    for found, expected in zip(grads, (by_a, by_b), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    batched = torch.func.vmap(f)(torch.stack([x, 2 * x, x.flip(0)]), torch.stack([y, y, y]))
    one_by_one = [f(x, y), f(2 * x, y), f(x.flip(0), y)]
    assert torch.allclose(batched, torch.stack(one_by_one), rtol=1e-12)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    assert compiled(x, y).item() == value
