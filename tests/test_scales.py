"""The unit of the data does not change CKA within the range of float64."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless._alignment import aligned
from gramless.analysis import cka_interval
from gramless.compat import kornblith

SCALES = [1e39, 1e60, 1e-42, 1e-60]


def minibatch_cka(x, y):
    accumulator = gramless.MinibatchCKA()
    for start in (0, 20):
        accumulator.update([x[start : start + 20]], [y[start : start + 20]])
    return accumulator.compute()[0, 0]


def interval(x, y, **options):
    found = cka_interval(x, y, **options)
    return [found.value, found.low, found.high]


def pvalue(x, y, **options):
    found = gramless.independence_test(x, y, kernel="linear", **options)
    return found.pvalue


def published(x, y):
    return kornblith.cka(np.asarray(kornblith.gram_linear(x)), np.asarray(kornblith.gram_linear(y)))


CALLS = {
    "cka": gramless.cka,
    "cka biased": lambda x, y: gramless.cka(x, y, estimator="biased"),
    "cka_matrix": lambda x, y: gramless.cka_matrix([x, y]),
    "MinibatchCKA": minibatch_cka,
    "cka_interval": interval,
    "cka_interval of groups": lambda x, y: interval(x, y, groups=10),
    "chi2": lambda x, y: pvalue(x, y, method="chi2"),
    "gamma": lambda x, y: pvalue(x, y, method="gamma"),
    "permutation": lambda x, y: pvalue(x, y, method="permutation"),
}


def rows():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((40, 3))
    return x, x + generator.standard_normal((40, 3))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", CALLS)
def test_the_unit_of_the_data_changes_nothing(name, scale):
    if name == "gamma":
        pytest.importorskip("scipy")
    x, y = rows()
    expected = CALLS[name](x, y)
    for a, b in ((scale * x, scale * y), (scale * x, y), (x, scale * y)):
        np.testing.assert_allclose(CALLS[name](a, b), expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e39, 1e-42])
def test_the_unit_changes_nothing_for_published_gram_matrices(scale):
    x, y = rows()
    np.testing.assert_allclose(published(scale * x, scale * y), published(x, y), rtol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["cka", "cka biased", "cka_matrix"])
def test_the_unit_changes_nothing_for_tensors(name, scale):
    torch = pytest.importorskip("torch")
    expected = CALLS[name](*rows())
    x, y = (torch.from_numpy(scale * z) for z in rows())
    np.testing.assert_allclose(CALLS[name](x, y), expected, rtol=1e-9)
    x.requires_grad_()
    found = CALLS[name](x, y)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-9)
    a, b = (torch.from_numpy(z) for z in rows())
    a.requires_grad_()
    (grad,), (of_one,) = (torch.autograd.grad(f.sum(), z) for f, z in ((found, x), (CALLS[name](a, b), a)))
    np.testing.assert_allclose(grad * scale, of_one, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("own", [1e-200, 1e200])
def test_a_ratio_needs_no_product_within_float64(own):
    assert aligned(own, own, own) == pytest.approx(1, rel=1e-15)
    matrix, each = np.full((2, 3), own), (np.full(2, own), np.full(3, own))
    np.testing.assert_allclose(aligned(matrix, *each), 1, rtol=1e-15)
    np.testing.assert_allclose(aligned(each[0] / 4, each[0], each[0]), 0.25, rtol=1e-15)
