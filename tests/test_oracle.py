"""The published values of DEFINITIONS: to 1e-10 in float64 and 1e-6 in float32, in every space and ISA."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from core_values import hsic_values
from gramless import RBF, Linear, reference

LINEAR = {  # (HSIC, CKA)
    "biased": (11.878357269185978, 0.557613256612),
    "unbiased": (9.895955787045914, 0.513456489506),
}
RBF_BIASED = 0.65483118  # scale 0.5, median over all entries
RELATIVE = {"float64": 1e-10, "float32": 1e-6}

every_estimator = pytest.mark.parametrize("estimator", ["biased", "unbiased"])
every_dtype = pytest.mark.parametrize("dtype", RELATIVE)


@pytest.fixture
def oracle_pair():
    generator = np.random.RandomState(1337)
    x = generator.randn(100, 10)
    return x, generator.randn(100, 10) + x


@every_dtype
@every_estimator
def test_linear_values(backend, oracle_pair, dtype, estimator):
    x, y = (a.astype(dtype) for a in oracle_pair)
    hsic, cka = LINEAR[estimator]
    assert gramless.hsic(x, y, estimator=estimator) == pytest.approx(hsic, rel=RELATIVE[dtype])
    assert gramless.cka(x, y, estimator=estimator) == pytest.approx(cka, rel=RELATIVE[dtype])
    assert gramless.cka_matrix([x], [y], estimator=estimator)[0, 0] == pytest.approx(cka, rel=RELATIVE[dtype])


@every_dtype
@every_estimator
@pytest.mark.parametrize("space", ["gram", "features"])
def test_linear_values_in_either_space(backend, oracle_pair, dtype, estimator, space):
    x, y = (a.astype(dtype) for a in oracle_pair)
    values = hsic_values([x], [y], [Linear()], [Linear()], estimator, space=space)
    hsic, cka = LINEAR[estimator]
    assert values.xy[0, 0] == pytest.approx(hsic, rel=RELATIVE[dtype])
    assert values.xy[0, 0] / math.sqrt(values.xx[0] * values.yy[0]) == pytest.approx(cka, rel=RELATIVE[dtype])


@every_dtype
def test_rbf_value(backend, oracle_pair, dtype):
    x, y = (a.astype(dtype) for a in oracle_pair)
    kernel = RBF(scale=0.5, include_diagonal=True)
    value = gramless.cka(x, y, kernel=kernel, estimator="biased")
    assert abs(value - RBF_BIASED) <= 0.5e-8 + RELATIVE[dtype] * RBF_BIASED  # published to eight digits
    expected = reference.cka(*oracle_pair, kernel=kernel, estimator="biased")
    assert value == pytest.approx(expected, rel=RELATIVE[dtype])


@every_dtype
@every_estimator
@pytest.mark.parametrize("function", ["hsic", "cka"])
@pytest.mark.parametrize(
    ("kernel", "kernel_y"),
    [("rbf", None), (RBF(scale=4), None), (RBF(sigma=3.0), "linear"), ("linear", RBF(scale=0.5))],
    ids=str,
)
def test_rbf_and_mixed_kernels_are_those_of_the_reference(
    backend, oracle_pair, dtype, estimator, function, kernel, kernel_y
):
    options = {"kernel": kernel, "kernel_y": kernel_y, "estimator": estimator}
    ours = getattr(gramless, function)(*(a.astype(dtype) for a in oracle_pair), **options)
    expected = getattr(reference, function)(*oracle_pair, **options)
    assert ours == pytest.approx(expected, rel=RELATIVE[dtype])


@pytest.mark.parametrize("space", ["gram", "features"])
def test_means_and_diagonals_of_the_kernel(oracle_pair, space):
    """The moments that the gamma approximation needs besides HSIC."""
    values = hsic_values(oracle_pair, None, [Linear()] * 2, [], "biased", space=space)
    grams = [reference.gram(x) for x in oracle_pair]
    off_diagonal = ~np.eye(100, dtype=bool)
    assert values.mean_x == pytest.approx([k[off_diagonal].mean() for k in grams], rel=1e-10)
    assert values.diagonal_x == pytest.approx([np.diag(k).mean() for k in grams], rel=1e-10)
