"""Gradients of linear HSIC summed over features equal those of the formula with Gram matrices."""

from __future__ import annotations

from functools import cache

import gramless
import numpy as np
import pytest
from gramless import value_and_grad
from tolerance import FLOOR

torch = pytest.importorskip("torch")

every_estimator = pytest.mark.parametrize("estimator", ["biased", "unbiased"])


def hsic_of_tensors(x, y, estimator):
    """n x n code, in the tensors' own dtype."""
    k, l = (z @ z.T for z in (x - x.mean(0), y - y.mean(0)))
    n = len(x)
    if estimator == "biased":
        return torch.sum((k - k.mean(0)) * (l - l.mean(0))) / (n - 1) ** 2
    k, l = (m - torch.diag(torch.diag(m)) for m in (k, l))
    means = k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * torch.sum(k.sum(0) * l.sum(0))
    return (torch.sum(k * l) + means) / (n * (n - 3))


def cka_of_tensors(x, y, estimator):
    def of(a, b):
        return hsic_of_tensors(a, b, estimator)

    return of(x, y) / torch.sqrt(of(x, x) * of(y, y))


def gradients_of_tensors(function, arrays, dtype):
    leaves = [torch.from_numpy(x).to(dtype).requires_grad_() for x in arrays]
    return [g.double().numpy() for g in torch.autograd.grad(function(*leaves), leaves)]


def layers(n, *widths, dtype=np.float32):
    generator = np.random.default_rng(0)
    shared = generator.standard_normal((n, 2))
    made = [
        generator.standard_normal((n, d)) + 3 + shared @ generator.standard_normal((2, d)) for d in widths
    ]
    return [x.astype(dtype) for x in made]


SHAPES = {
    "few rows": (40, 5, 3),  # this and the next one over pairs of rows, which costs less
    "half as many features as rows": (90, 40, 45),
    "one feature": (400, 1, 1),
    "less than a vector": (370, 5, 3),
    "part of a panel": (203, 49, 17),
    "groups of samples": (800, 64, 96),
    "several chunks": (850, 390, 17),
}


@cache
def true_and_naive(shape, name, estimator, dtype):
    """The same for every instruction set."""
    arrays = layers(*SHAPES[shape], dtype=dtype)
    naive = {"hsic": hsic_of_tensors, "cka": cka_of_tensors}[name]
    own = getattr(torch, np.dtype(dtype).name)
    return [
        gradients_of_tensors(lambda x, y: naive(x, y, estimator), arrays, digits)
        for digits in (torch.float64, own)
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["hsic", "cka"])
@every_estimator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_those_of_gram_matrices(backend, shape, name, estimator, dtype):
    arrays = layers(*SHAPES[shape], dtype=dtype)
    truth, rough = true_and_naive(shape, name, estimator, dtype)
    found = value_and_grad(getattr(gramless, name))(*arrays, estimator=estimator)[1]
    for ours, theirs, true in zip(found, rough, truth, strict=True):
        scale = np.abs(true).max()
        allowed = 2 * np.abs(theirs - true).max() + (FLOOR[np.dtype(dtype)] + 1e-13) * scale
        assert ours.dtype == dtype
        assert np.abs(ours - true).max() <= allowed


@every_estimator
def test_every_layer_of_a_matrix_gets_its_own(estimator):
    xs, ys = layers(400, 20, 7, 33, dtype=np.float64), layers(400, 6, 50, dtype=np.float64)
    weights = np.random.default_rng(1).standard_normal((3, 2))
    square = np.random.default_rng(2).standard_normal((3, 3))

    def between(*leaves):
        pairs = [[hsic_of_tensors(x, y, estimator) for y in leaves[3:]] for x in leaves[:3]]
        return sum(w * h for ws, hs in zip(weights, pairs, strict=True) for w, h in zip(ws, hs, strict=True))

    def among(*leaves):
        pairs = [[hsic_of_tensors(x, y, estimator) for y in leaves] for x in leaves]
        return sum(w * h for ws, hs in zip(square, pairs, strict=True) for w, h in zip(ws, hs, strict=True))

    call = value_and_grad(gramless.hsic_matrix)
    of_xs, of_ys = call(xs, ys, estimator=estimator, cotangent=weights)[1]
    for ours, true in zip(
        [*of_xs, *of_ys], gradients_of_tensors(between, [*xs, *ys], torch.float64), strict=True
    ):
        np.testing.assert_allclose(ours, true, rtol=0, atol=1e-12 * np.abs(true).max())
    found = call(xs, estimator=estimator, cotangent=square)[1]
    found = found[0] if isinstance(found[0], (list, tuple)) else found
    for ours, true in zip(found, gradients_of_tensors(among, xs, torch.float64), strict=True):
        np.testing.assert_allclose(ours, true, rtol=0, atol=1e-12 * np.abs(true).max())


def test_threads_change_no_bit():
    arrays = layers(5000, 30, 70)
    found = []
    for threads in (1, 2, 5):
        gramless.set_num_threads(threads)
        value, grads = value_and_grad(gramless.cka)(*arrays)
        found.append((value, *(g.tobytes() for g in grads)))
    assert len(set(found)) == 1


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e12, 1e30])
def test_units_scale_gradients(unit):
    """Scaling the values rounds them again."""
    x, y = layers(300, 12, 9)
    once = value_and_grad(gramless.cka)(x, y)[1]
    scaled = value_and_grad(gramless.cka)(x * np.float32(unit), y)[1]
    np.testing.assert_allclose(
        scaled[0] * np.float64(unit), once[0], rtol=0, atol=1e-6 * np.abs(once[0]).max()
    )
    np.testing.assert_allclose(scaled[1], once[1], rtol=0, atol=1e-6 * np.abs(once[1]).max())


@pytest.mark.parametrize("exponent", [-100, -40, 40])
def test_units_that_are_powers_of_two_change_no_bit(exponent):
    x, y = layers(300, 12, 9)
    unit = np.float32(2.0) ** exponent
    once = value_and_grad(gramless.cka)(x, y)
    scaled = value_and_grad(gramless.cka)(x * unit, y)
    assert scaled[0] == once[0]
    assert np.array_equal(scaled[1][0] * unit, once[1][0])
    assert np.array_equal(scaled[1][1], once[1][1])


def test_nan_reaches_its_own_gradients():
    x, y = layers(300, 12, 9)
    x[5, 3] = np.nan
    assert all(np.isnan(g).all() for g in value_and_grad(gramless.hsic)(x, y)[1])
