"""HSIC and CKA in training: values and gradients of plain torch, finite where CKA is undefined."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import RBF

torch = pytest.importorskip("torch")

import torch_formulas as plain  # noqa: E402
from gramless.torch import CKALoss, HSICLoss  # noqa: E402

KERNELS = {"linear": ("linear", None), "rbf": (RBF(sigma=2.0), 2.0)}
every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_estimator = pytest.mark.parametrize("estimator", ["biased", "unbiased"])


def leaves(n=12, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, dtype=torch.float64, generator=generator)
    y = torch.randn(n, 3, dtype=torch.float64, generator=generator) + x[:, :3]
    return [z.to(dtype).requires_grad_() for z in (x, y)]


def value_and_grads(loss, *inputs):
    value = loss(*inputs)
    return value, *torch.autograd.grad(value, inputs)


@every_kernel
@every_estimator
def test_value_and_gradient_are_those_of_plain_torch(kernel, estimator):
    ours, sigma = KERNELS[kernel]

    def theirs(function):
        return lambda x, y: function(plain.gram(x, sigma), plain.gram(y, sigma), estimator)

    pairs = {
        "hsic": (HSICLoss(ours, estimator=estimator), theirs(plain.hsic)),
        "cka": (CKALoss(ours, estimator=estimator), lambda x, y: 1 - theirs(plain.cka)(x, y)),
    }
    for loss, expected in pairs.values():
        for x, y in zip(value_and_grads(loss, *leaves()), value_and_grads(expected, *leaves()), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


@every_kernel
@every_estimator
def test_gradients_are_those_of_finite_differences(kernel, estimator):
    options = {"kernel": KERNELS[kernel][0], "estimator": estimator}
    for call in (
        CKALoss(**options),
        HSICLoss(**options),
        lambda x, y: gramless.cka_matrix([x, y], **options),
        lambda x, y: gramless.hsic_matrix([x, y], [y, x, y], **options),
    ):
        assert torch.autograd.gradcheck(call, leaves())


def test_float32_is_nearly_float64_and_half_keeps_its_dtype():
    for kernel, _ in KERNELS.values():
        expected = value_and_grads(CKALoss(kernel), *leaves(200))
        found = value_and_grads(CKALoss(kernel), *leaves(200, torch.float32))
        for x, y in zip(found, expected, strict=True):
            assert (x.double() - y).norm() <= 1e-5 * y.norm()
    value, *grads = value_and_grads(HSICLoss("rbf"), *leaves(dtype=torch.bfloat16))
    assert value.dtype == torch.float32
    assert {g.dtype for g in grads} == {torch.bfloat16}


def test_the_median_bandwidth_is_a_constant_for_the_gradient():
    x, y = leaves()
    sigmas = [gramless.median_distance(z.detach()).item() for z in (x, y)]
    fixed = {"kernel": RBF(sigma=sigmas[0]), "kernel_y": RBF(sigma=sigmas[1])}
    found = value_and_grads(lambda x, y: gramless.cka(x, y, kernel="rbf"), x, y)
    for a, b in zip(found, value_and_grads(lambda x, y: gramless.cka(x, y, **fixed), x, y), strict=True):
        torch.testing.assert_close(a, b)


def test_tensors_without_gradient_give_what_numpy_gives():
    x, y = leaves()
    expected = gramless.cka(x.detach().numpy(), y.detach().numpy(), kernel="rbf")
    assert gramless.cka(x.detach(), y.detach(), kernel="rbf").item() == expected
    assert gramless.cka(x, y, kernel="rbf").item() == pytest.approx(expected, rel=1e-12)
    matrix = gramless.cka_matrix([x, y])
    assert matrix.requires_grad
    np.testing.assert_allclose(
        matrix.detach(), gramless.cka_matrix([x.detach().numpy(), y.detach().numpy()]), rtol=1e-12
    )


@every_estimator
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_degenerate_representations_have_finite_gradients(kernel, estimator):
    x, y = leaves()
    constant = torch.ones(12, 4, dtype=torch.float64, requires_grad=True)
    value, *grads = value_and_grads(CKALoss(kernel, estimator=estimator), constant, y)
    assert value == 1
    assert all(g.count_nonzero() == 0 for g in grads)
    with pytest.warns(RuntimeWarning, match=r"cka: not defined, because .* \(x: its rows"):
        assert gramless.cka(constant, y, kernel=kernel, estimator=estimator).isnan()
    with pytest.warns(RuntimeWarning, match=r"cka_matrix: not defined, because .* \(xs\[1\]: its rows"):
        matrix = gramless.cka_matrix([x, constant], kernel=kernel, estimator=estimator)
    (grad,) = torch.autograd.grad(matrix.nansum(), x)
    assert grad.isfinite().all()


def test_nan_propagates():
    x, y = leaves()
    with torch.no_grad():
        x[3, 1] = torch.nan
    assert CKALoss()(x, y).isnan()


def test_cka_of_equal_inputs_is_one_and_stays_there():
    x, _ = leaves()
    value, grad = value_and_grads(lambda x: CKALoss("rbf")(x, x), x)
    assert value == 0
    assert grad.abs().max() < 1e-12


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x, y: CKALoss()(x, y[:5]), "CKALoss: x has 12 rows but y has 5"),
        (
            lambda x, y: gramless.hsic_matrix([x, y[:5]]),
            r"hsic_matrix: xs\[0\] has 12 rows but xs\[1\] has 5",
        ),
        (lambda x, y: HSICLoss()(x[:3], y[:3]), "unbiased estimator needs at least 4 rows but x has 3"),
        (lambda x, y: CKALoss("sigmoid"), "CKALoss: kernel must be"),
        (lambda x, y: CKALoss(estimator="best"), 'estimator must be "unbiased" or "biased" but is'),
        (lambda x, y: CKALoss()(x, y.to("meta")), "CKALoss: y is on meta"),
        (lambda x, y: gramless.cka_matrix(x), "xs must be a sequence of two-dimensional arrays but is one"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(call, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        call(*leaves())
