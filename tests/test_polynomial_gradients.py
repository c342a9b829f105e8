"""Gradients of the polynomial kernel: by differences, far from the origin, and the same from every path."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import Polynomial
from gramless.reference.gram import polynomial_for_sums
from test_laplace import ESTIMATORS, duplicated, in_near_pairs, rows
from test_polynomial import KERNELS

torch = pytest.importorskip("torch")


def wide_gradient(x, y, kernel, estimator):
    """Of CKA of x with a linear kernel of y, with 80 bits: that of the values HSIC sees."""
    wide, other = np.asarray(x, np.longdouble), np.asarray(y, np.longdouble)
    n, centre = len(x), wide.mean(0)
    other = other - other.mean(0)

    def centred(m):
        if estimator == "biased":
            return m - m.mean(0) - m.mean(1)[:, None] + m.mean()
        m = np.where(np.eye(n, dtype=bool), 0, m)
        m = m - m.sum(0) / (n - 2) - m.sum(1)[:, None] / (n - 2) + m.sum() / ((n - 1) * (n - 2))
        return np.where(np.eye(n, dtype=bool), 0, m)

    k, l = centred(polynomial_for_sums(wide, kernel)), centred(other @ other.T)
    kk, ll, kl = np.sum(k * k), np.sum(l * l), np.sum(k * l)
    by_k = (l - k * kl / kk) / np.sqrt(kk * ll)
    gamma = np.longdouble(1 / x.shape[1] if kernel.gamma is None else kernel.gamma)
    base = gamma * (wide @ wide.T) + np.longdouble(kernel.coef0)
    own = gamma * (wide @ centre) + np.longdouble(kernel.coef0)
    power = kernel.degree - 1
    slope = 2 * kernel.degree * gamma * by_k
    beyond = slope * (base**power - own[:, None] ** power)
    return np.asarray((slope * base**power) @ (wide - centre) + beyond.sum(1)[:, None] * centre, np.float64)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_are_those_of_differences(estimator, kernel):
    for shapes in ((8, 3), (5, 9)):
        x, y = (torch.from_numpy(rows(*shapes, seed) + 0.5).requires_grad_() for seed in (0, 1))
        for function in (gramless.hsic, gramless.cka):
            assert torch.autograd.gradcheck(
                lambda a, b, f=function: f(a, b, kernel=kernel, estimator=estimator), (x, y)
            )
        assert torch.autograd.gradcheck(lambda a, b: gramless.mmd(a, b, kernel=kernel), (x, y))


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-5), (np.float64, 1e-9)])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_far_from_the_origin(estimator, offset, dtype, digits):
    y = rows(60, 5, 1).astype(dtype)
    for x in (rows(60, 7), duplicated(60, 3)):
        x = (x + offset).astype(dtype)
        for kernel in (Polynomial(), Polynomial(2, 0.3, -2.0)):
            ours = torch.from_numpy(x).requires_grad_()
            options = {"kernel": kernel, "kernel_y": "linear", "estimator": estimator}
            gramless.cka(ours, torch.from_numpy(y), **options).backward()
            expected = wide_gradient(x, y, kernel, estimator)
            error = np.abs(ours.grad.double().numpy() - expected).max() / np.abs(expected).max()
            assert error < digits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_path_gives_the_same_bits(estimator, dtype):
    a, b = rows(40, 4, dtype=dtype) + 1, in_near_pairs(40, 3, 1).astype(dtype)
    options = {"kernel": Polynomial(2, 0.3), "kernel_y": Polynomial(), "estimator": estimator}
    value, (by_a, by_b) = gramless.value_and_grad(gramless.cka)(a, b, **options)
    x, y = torch.from_numpy(a), torch.from_numpy(b)

    def f(x, y):
        return gramless.cka(x, y, **options)

    assert gramless.cka(a, b, **options) == pytest.approx(value, abs=1e-14)
    assert f(x, y).item() == dtype(value)
    found = torch.func.grad(f, argnums=(0, 1))(x, y)
    for ours, plain in zip(found, (by_a, by_b), strict=True):
        np.testing.assert_array_equal(ours.numpy(), plain)
    batched = torch.func.vmap(f)(torch.stack([x, x.flip(0)]), torch.stack([y, y]))
    assert batched.tolist() == [f(x, y).item(), f(x.flip(0), y).item()]


@pytest.mark.filterwarnings("ignore")  # torch deprecates what its compiler does
def test_compiled_in_one_graph():
    x, y = torch.from_numpy(rows(30, 4)).requires_grad_(), torch.from_numpy(rows(30, 3, 1))

    def f(x, y, gamma):
        return gramless.cka(x, y, kernel=Polynomial(2, gamma))

    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    for gamma in (None, 0.3, 0.7):
        value = compiled(x, y, gamma)
        assert value.item() == f(x, y, gamma).item()
        (ours,), (eager,) = (torch.autograd.grad(v, x) for v in (value, f(x, y, gamma)))
        assert torch.equal(ours, eager)


def test_losses_and_matrices_take_it():
    x, y = (torch.from_numpy(rows(20, 3, seed)).requires_grad_() for seed in (0, 1))
    kernel = Polynomial(2, coef0=0.5)
    loss = gramless.torch.CKALoss(kernel)(x, y)
    one = gramless.cka(x, y, kernel=kernel)
    assert 1 - loss.item() == pytest.approx(one.item(), abs=1e-14)
    matrix = gramless.cka_matrix([x, y], kernel=kernel)
    assert matrix[0, 1].item() == pytest.approx(one.item(), abs=1e-13)
    (of_matrix,), (of_pair,) = (torch.autograd.grad(value, x) for value in (matrix[0, 1], one))
    torch.testing.assert_close(of_matrix, of_pair, rtol=1e-10, atol=1e-13)
