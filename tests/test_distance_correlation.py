"""Distance correlation compared with dcor, with code of its definition, and with its square by `cka`."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from gramless import Distance, distance_correlation, reference
from layouts import NUMPY_LAYOUTS
from test_laplace import CASES, duplicated, in_near_pairs, rows
from tolerance import assert_as_accurate

EXPONENTS = [0.3, 0.5, 1.0, 1.5, 2.0]
SIZES = [(4, 2), (5, 1), (15, 3), (17, 2), (33, 65), (193, 5), (385, 17)]


def by_definition(x, y, exponent, bias_corrected, dtype):
    """Centred matrices of distances in `dtype` throughout: Szekely et al. 2007; U-centred: 2013."""
    centred, n = [], len(x)
    for side in (x, y):
        side = np.asarray(side, dtype)
        d = np.stack([np.sum((side - row) ** 2, axis=1) for row in side]) ** dtype(exponent / 2)
        if bias_corrected:
            d = d - d.sum(0) / (n - 2) - d.sum(1)[:, None] / (n - 2) + d.sum() / ((n - 1) * (n - 2))
            centred.append(np.where(np.eye(n, dtype=bool), 0, d))
        else:
            centred.append(d - d.mean(0) - d.mean(1)[:, None] + d.mean())
    a, b = centred
    square = np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))
    return square if bias_corrected else np.sqrt(np.maximum(square, 0))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5])
def test_the_package_dcor_agrees(exponent):
    dcor = pytest.importorskip("dcor")
    independent = rows(60, 3), rows(60, 2, 5)
    for x, y in ((rows(60, 3), in_near_pairs(60, 2, 1)), independent, (rows(60, 1), rows(60, 1) ** 2)):
        for module in (gramless, reference):
            found = module.distance_correlation(x, y, exponent=exponent)
            assert found == pytest.approx(dcor.distance_correlation(x, y, exponent=exponent), rel=1e-10)
            square = module.distance_correlation(x, y, exponent=exponent, bias_corrected=True)
            expected = dcor.u_distance_correlation_sqr(x, y, exponent=exponent)
            assert square == pytest.approx(expected, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias_corrected", [False, True])
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_as_accurate_as_its_definition(exponent, bias_corrected, dtype):
    cases = [case() for case in CASES.values()]
    cases += [(rows(*size), duplicated(size[0], 3, 2)) for size in SIZES]
    ours, naive, truth = [], [], []
    for x, y in cases:
        x, y = x.astype(dtype), y.astype(dtype)
        ours.append(distance_correlation(x, y, exponent=exponent, bias_corrected=bias_corrected))
        for found, digits in ((naive, dtype), (truth, np.longdouble)):
            found.append(by_definition(x, y, exponent, bias_corrected, digits))
    assert_as_accurate(ours, naive, truth, dtype)


def test_it_is_one_of_what_is_linear_and_near_0_of_nothing_but_independence():
    x = rows(500, 1)
    for y in (x**2, np.abs(x), np.sin(4 * x)):
        assert distance_correlation(x, y) > 0.15
    assert distance_correlation(x, rows(500, 1, 7)) < 0.1
    assert distance_correlation(x, -3 * x + 100) == pytest.approx(1, abs=1e-12)
    wide = rows(40, 3000), rows(40, 2000, 1)
    assert distance_correlation(*wide) > 0.9
    assert abs(distance_correlation(*wide, bias_corrected=True)) < 0.2


def test_it_is_the_root_of_a_biased_cka_and_the_unbiased_one():
    x, y = rows(80, 4) + 1e3, rows(80, 4)[:, :3] + rows(80, 3, 1)
    for exponent in EXPONENTS:
        options = {"kernel": Distance(exponent)}
        square = gramless.cka(x, y, estimator="biased", **options)
        assert distance_correlation(x, y, exponent=exponent) == math.sqrt(square)
        unbiased = distance_correlation(x, y, exponent=exponent, bias_corrected=True)
        assert unbiased == gramless.cka(x, y, **options)


def test_layouts_and_threads_change_no_bit():
    x, y = in_near_pairs(700, 9).astype(np.float32), duplicated(700, 5, 1).astype(np.float32)
    one = distance_correlation(x, y)
    assert all(distance_correlation(layout(x), y) == one for layout in NUMPY_LAYOUTS)
    before = gramless.get_num_threads()
    try:
        for threads in (1, 3):
            gramless.set_num_threads(threads)
            assert distance_correlation(x, y) == one
    finally:
        gramless.set_num_threads(before)


@pytest.mark.parametrize("bias_corrected", [False, True])
def test_constants_and_nan(bias_corrected):
    x, constant = rows(30, 4), np.full((30, 2), 0.1)
    for module in (gramless, reference):
        with pytest.warns(RuntimeWarning, match=r"^distance_correlation: .*constant"):
            found = module.distance_correlation(x, constant, bias_corrected=bias_corrected)
        assert math.isnan(found)
    for bad in (np.nan, np.inf):
        x[3, 1] = bad
        assert math.isnan(distance_correlation(x, rows(30, 2), bias_corrected=bias_corrected))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda x: distance_correlation(x, x, exponent=0),
            ValueError,
            "exponent must be positive and finite",
        ),
        (
            lambda x: distance_correlation(x, x, exponent=2.5),
            ValueError,
            "exponent must be at most 2 but is 2.5",
        ),
        (
            lambda x: distance_correlation(x, x, exponent="1"),
            TypeError,
            "exponent must be a number but is '1'",
        ),
        (lambda x: distance_correlation(x, x[:5]), ValueError, "x has 6 rows but y has 5"),
        (
            lambda x: distance_correlation(x[:1], x[:1]),
            ValueError,
            "the biased estimator needs at least 2 rows",
        ),
        (
            lambda x: distance_correlation(x[:3], x[:3], bias_corrected=True),
            ValueError,
            "the unbiased estimator needs at least 4 rows",
        ),
        (lambda x: distance_correlation(x[:, 0], x), ValueError, "x must have 2 dimensions"),
        (lambda x: distance_correlation(x, "y"), TypeError, "y must be a two-dimensional array"),
    ],
)
def test_errors_are_one_sentence(call, error, sentence):
    with pytest.raises(error) as caught:
        call(rows(6, 2))
    assert str(caught.value).startswith(f"distance_correlation: {sentence}")
    assert "\n" not in str(caught.value)


torch = pytest.importorskip("torch")


@pytest.mark.parametrize("bias_corrected", [False, True])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7])
def test_gradients_are_those_of_differences(exponent, bias_corrected):
    x, y = (torch.from_numpy(rows(8, 3, seed)).requires_grad_() for seed in (0, 1))
    options = {"exponent": exponent, "bias_corrected": bias_corrected}
    assert torch.autograd.gradcheck(lambda a, b: distance_correlation(a, b, **options), (x, y))


@pytest.mark.filterwarnings("ignore")  # torch deprecates what its compiler does
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_path_gives_the_same_bits(dtype):
    a, b = rows(40, 4, dtype=dtype), in_near_pairs(40, 3, 1).astype(dtype)
    value, (by_a, by_b) = gramless.value_and_grad(distance_correlation)(a, b)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    assert distance_correlation(a, b) == pytest.approx(value, abs=1e-14)
    assert distance_correlation(x, y).item() == dtype(value)
    found = torch.func.grad(distance_correlation, argnums=(0, 1))(x, y)
    for ours, plain in zip(found, (by_a, by_b), strict=True):
        np.testing.assert_array_equal(ours.numpy(), plain)
    batched = torch.func.vmap(distance_correlation)(torch.stack([x, x.flip(0)]), torch.stack([y, y]))
    assert batched.tolist() == [distance_correlation(x, y).item(), distance_correlation(x.flip(0), y).item()]
    torch._dynamo.reset()
    compiled = torch.compile(distance_correlation, fullgraph=True, backend="aot_eager")(x, y)
    assert compiled.item() == dtype(value)
