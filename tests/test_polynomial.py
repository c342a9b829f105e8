"""Values of the polynomial kernel, compared with rational arithmetic, scikit-learn and the formula of KID."""

from __future__ import annotations

import math
from fractions import Fraction

import gramless
import numpy as np
import pytest
from gramless import Polynomial, analysis, reference
from gramless.kernels import encode
from gramless.reference.gram import polynomial_for_sums
from test_laplace import ESTIMATORS, duplicated, in_near_pairs, rows
from tolerance import NAIVE, TRUE, assert_as_accurate, cka_of

KERNELS = [Polynomial(), Polynomial(2, 0.5, 0.0), Polynomial(1), Polynomial(5, 0.1, -0.7)]
CASES = {
    "normal": lambda: (rows(90, 20), rows(90, 7, 1)),
    "duplicates": lambda: (duplicated(90, 20), duplicated(90, 7, 3)),
    "near pairs": lambda: (in_near_pairs(90, 20), in_near_pairs(90, 7, 3)),
    "offset 1e3": lambda: (rows(90, 20) + 1e3, in_near_pairs(90, 7, 3, offset=-1e3)),
    "offset 1e6": lambda: (rows(90, 20) + 1e6, rows(90, 7, 3) - 1e6),
    "one feature": lambda: (rows(90, 1), in_near_pairs(90, 1, 4)),
    "more features than rows": lambda: (in_near_pairs(40, 1000), rows(40, 800, 5)),
    "large and small": lambda: (1e4 * rows(90, 5), 1e-4 * rows(90, 2, 1)),
    "out of float32's cubes": lambda: (1e30 * rows(90, 5), 1e-30 * rows(90, 2, 1)),
    "a far row": lambda: (np.concatenate([rows(89, 4), np.full((1, 4), 1e3)]), rows(90, 2, 1)),
    "two far rows": lambda: (np.concatenate([rows(88, 4), np.full((2, 4), 1e5)]), rows(90, 2, 1)),
}
SIZES = [(4, 2), (5, 1), (15, 3), (17, 2), (33, 65), (191, 5), (193, 5), (385, 17), (33, 20_000)]


def gram_of(x, kernel, dtype):
    """The formula in `dtype` throughout; with 80 bits of what depends on both rows, which changes no HSIC."""
    x = np.asarray(x, dtype)
    if dtype == np.longdouble:
        return polynomial_for_sums(x, kernel)
    gamma = dtype(1 / x.shape[1] if kernel.gamma is None else kernel.gamma)
    return (gamma * (x @ x.T) + dtype(kernel.coef0)) ** kernel.degree


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_what_is_left_of_the_formula_is_centred_to_the_same(kernel):
    x = rows(6, 2) + 1e6
    exact = np.array([[Fraction(v) for v in row] for row in x.tolist()], dtype=object)
    gamma = Fraction(0.5 if kernel.gamma is None else kernel.gamma)
    k = (gamma * (exact @ exact.T) + Fraction(kernel.coef0)) ** kernel.degree
    k = np.float64(k - k.sum(0) / 6 - k.sum(1)[:, None] / 6 + k.sum() / 36)
    held = polynomial_for_sums(x.astype(np.longdouble), kernel)
    held = held - held.mean(0) - held.mean(1)[:, None] + held.mean()
    np.testing.assert_allclose(np.float64(held), k, rtol=0, atol=1e-12 * np.abs(k).max())


def test_values_by_hand():
    """(x y + 1)^2 is <(x^2, 2^0.5 x), (y^2, 2^0.5 y)> + 1."""
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    square, linear = Polynomial(2, 1.0, 1.0), {"kernel_y": "linear"}
    for library in (gramless, reference):
        assert library.hsic(x, x, kernel=square, estimator="biased") == pytest.approx(3401 / 9, rel=1e-13)
        found = library.hsic(x, x, kernel=Polynomial(2, 1.0, 0.0), estimator="biased")
        assert found == pytest.approx(2401 / 9, rel=1e-13)
        assert library.hsic(x, x, kernel=square, **linear, estimator="biased") == pytest.approx(
            275 / 9, rel=1e-13
        )


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-6), (np.float64, 1e-10)])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_values_have_their_digits(estimator, dtype, digits):
    for case in CASES.values():
        layers = [side.astype(dtype) for side in case()]
        for kernel in KERNELS:
            grams = [gram_of(layer, kernel, np.longdouble) for layer in layers]
            options = {"kernel": kernel, "estimator": estimator}
            assert gramless.cka(*layers, **options) == pytest.approx(
                cka_of(*grams, estimator, TRUE), abs=digits
            )
            root = np.sqrt(TRUE[estimator](grams[0], grams[0])) * np.sqrt(TRUE[estimator](grams[1], grams[1]))
            hsic = float(TRUE[estimator](*grams))
            assert gramless.hsic(*layers, **options) == pytest.approx(hsic, abs=float(digits * root))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_is_as_accurate_as_obvious_code(size, dtype):
    layers = [rows(*size, 1).astype(dtype), duplicated(size[0], 3, 2).astype(dtype)]
    ours, naive, truth = [], [], []
    for kernel in KERNELS[::3]:
        for estimator in ESTIMATORS:
            ours.append(gramless.cka(*layers, kernel=kernel, estimator=estimator))
            for found, formula, digits in ((naive, NAIVE, dtype), (truth, TRUE, np.longdouble)):
                found.append(cka_of(*(gram_of(x, kernel, digits) for x in layers), estimator, formula))
    assert_as_accurate(ours, naive, truth, dtype)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_scikit_learn_agrees(kernel, estimator):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    x, y = rows(90, 6), rows(90, 4, 1) + rows(90, 6)[:, :4]
    options = {"degree": kernel.degree, "gamma": kernel.gamma, "coef0": kernel.coef0}
    grams = [pairwise.polynomial_kernel(side, **options) for side in (x, y)]
    np.testing.assert_allclose(reference.gram(x, kernel), grams[0], rtol=1e-13, atol=1e-13)
    expected = float(TRUE[estimator](*grams))
    assert gramless.hsic(x, y, kernel=kernel, estimator=estimator) == pytest.approx(expected, rel=1e-10)
    assert reference.hsic(x, y, kernel=kernel, estimator=estimator) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-6), (np.float64, 1e-11)])
@pytest.mark.parametrize("sizes", [(60, 60), (40, 75)])
def test_mmd_is_the_kernel_inception_distance(sizes, dtype, digits):
    """Binkowski et al. 2018, and `poly_mmd` of torchmetrics where both have as many rows."""
    n, m = sizes
    x, y = rows(n, 16).astype(dtype), (1.1 * rows(m, 16, 1) + 0.2).astype(dtype)
    wide = np.concatenate([x, y]).astype(np.float64)
    k = (wide @ wide.T / 16 + 1) ** 3
    within = [
        (part.sum() - np.trace(part)) / (len(part) * (len(part) - 1)) for part in (k[:n, :n], k[n:, n:])
    ]
    expected = sum(within) - 2 * k[:n, n:].mean()
    assert gramless.mmd(x, y, kernel=Polynomial()) == pytest.approx(expected, abs=digits * sum(within))
    found = gramless.two_sample_test(x, y + 1, kernel=Polynomial(), rng=0)
    assert found.statistic == pytest.approx(gramless.mmd(x, y + 1, kernel=Polynomial()), rel=digits)
    assert found.pvalue < 0.01


@pytest.mark.filterwarnings("ignore:cka_interval. one example carries much:RuntimeWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_high_degrees_of_few_wide_rows_keep_their_digits(estimator):
    """Products of rows with their mean are larger than those of two rows, and their powers far larger."""
    options = {"kernel": Polynomial(12, coef0=0.0), "estimator": estimator}
    for n, d in ((4, 200), (5, 30), (40, 600)):
        layers = [rows(n, d), rows(n, 3, 1) + 0.5]
        gammas = [np.longdouble(1) / side.shape[1] for side in layers]
        grams = [(g * (x @ x.T)) ** 12 for g, x in zip(gammas, map(np.longdouble, layers), strict=True)]
        truth = cka_of(*grams, estimator, TRUE)
        found = [library.cka(*layers, **options) for library in (gramless, reference)]
        if n > 4:
            found.append(analysis.cka_interval(*layers, **options).value)
        assert found == pytest.approx([truth] * len(found), abs=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_degree_1_is_linear(dtype):
    x, y = rows(70, 5, dtype=dtype), rows(70, 90, 1, dtype=dtype)
    digits = 1e-6 if dtype == np.float32 else 1e-13
    for kernel in (Polynomial(1, 2.0, 0.0), Polynomial(1, 2.0, -5.0)):
        for estimator in ESTIMATORS:
            options, linear = {"kernel": kernel, "estimator": estimator}, {"estimator": estimator}
            assert gramless.cka(x, y, **options) == pytest.approx(gramless.cka(x, y, **linear), abs=digits)
            expected = 4 * gramless.hsic(x, y, **linear)
            root = math.sqrt(gramless.hsic(x, x, **linear) * gramless.hsic(y, y, **linear))
            assert gramless.hsic(x, y, **options) == pytest.approx(expected, abs=4 * digits * root)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_units_are_part_of_the_kernel_and_leave_no_ratio_out_of_range(dtype):
    x, y = rows(60, 4, dtype=dtype), rows(60, 3, 1, dtype)
    units = (1e-30, 1e30) if dtype == np.float32 else (1e-300, 1e-160, 1e-30, 1e30, 1e100, 1e300)
    homogeneous, linear = gramless.cka(x, x * x, kernel=Polynomial(coef0=0)), gramless.cka(x, x * x)
    of_large = gramless.cka(1e6 * x, 1e6 * x * x, kernel=Polynomial(coef0=0))
    assert of_large == pytest.approx(homogeneous, abs=1e-6)
    assert homogeneous != pytest.approx(linear, abs=1e-2)
    for unit in units:
        scaled = [dtype(unit) * side for side in (x, x * x)]
        # rounding of the unit is that of the rows
        assert gramless.cka(*scaled, kernel=Polynomial(coef0=0)) == pytest.approx(homogeneous, abs=1e-6)
        expected = linear if unit < 1 else homogeneous
        assert gramless.cka(*scaled, kernel=Polynomial()) == pytest.approx(expected, abs=1e-6)
        value, grads = gramless.value_and_grad(gramless.cka)(*scaled, kernel=Polynomial())
        assert value == pytest.approx(expected, abs=1e-6)
        assert all(np.isfinite(grad).all() or unit < 1e-30 for grad in grads)
    assert gramless.cka(3 * x, y, kernel=Polynomial()) != gramless.cka(x, y, kernel=Polynomial())
    assert gramless.hsic(1e30 * x, 1e30 * x, kernel=Polynomial()) == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_without_variation_and_nan(dtype):
    x, constant = rows(40, 4, dtype=dtype), np.full((40, 4), 1e3 + 0.1, dtype)
    signs = np.where(rows(40, 1) > 0, 1, -1).astype(dtype)  # all products are 1 or -1
    for one, kernel in ((constant, Polynomial()), (signs, Polynomial(2, 1.0, 0.0))):
        for estimator in ESTIMATORS:
            with pytest.warns(RuntimeWarning, match="constant"):
                assert np.isnan(gramless.cka(x, one, kernel=kernel, estimator=estimator))
            assert gramless.hsic(one, one, kernel=kernel, estimator=estimator) == pytest.approx(0, abs=1e-12)
    for bad in (np.nan, np.inf):
        y = x.copy()
        y[3, 1] = bad
        assert np.isnan(gramless.hsic(y, x, kernel="polynomial"))


def test_everything_that_takes_a_kernel_takes_it(tmp_path):
    kernel = Polynomial(2, coef0=0.5)
    x, y = rows(60, 5) + 1e3, in_near_pairs(60, 4)
    one = gramless.cka(x, y, kernel=kernel)
    assert one == pytest.approx(reference.cka(x, y, kernel=kernel), abs=1e-11)
    batch = gramless.MinibatchCKA(kernel=kernel)
    batch.update([x], [y])
    assert batch.compute()[0, 0] == pytest.approx(one, abs=1e-13)
    for groups in (None, 10):
        interval = analysis.cka_interval(x, y, kernel=kernel, groups=groups)
        assert interval.value == pytest.approx(one, abs=1e-11)
        assert interval.low < one < interval.high
    result = gramless.layer_matrix({"a": x}, {"b": y}, kernel=kernel, level=0.95)
    assert result.matrix[0, 0] == pytest.approx(one, abs=1e-12)
    assert result.low[0, 0] < one < result.high[0, 0]
    result.save(tmp_path / "r.json")
    found = gramless.LayerMatrix.load(tmp_path / "r.json").settings["kernel"]
    assert found == "Polynomial(degree=2, gamma=None, coef0=0.5)"
    swept = gramless.cka_matrix([x, y], kernel=kernel, checkpoint=tmp_path / "sweep.npz")
    assert swept[0, 1] == pytest.approx(one, abs=1e-13)
    for method in ("chi2", "gamma", "permutation"):
        test = gramless.independence_test(x, x + 0.1 * rows(60, 5, 2), kernel=kernel, method=method, rng=0)
        assert test.pvalue < 0.01
    assert gramless.estimate(1000, 64, kernel=kernel, gflops=100, threads=1).flops > 0
    assert encode(kernel) == ("polynomial", None, 1.0, False, None, (2, None, 0.5))


@pytest.mark.filterwarnings("ignore:cka_interval. one example carries much:RuntimeWarning")
@pytest.mark.parametrize("unit", [1e-200, 1e-30, 1.0, 1e30])
def test_intervals_keep_their_digits_in_any_unit(unit):
    x, y = unit * (rows(40, 5) + 2), rows(40, 4, 1) + rows(40, 5)[:, :4]
    for kernel in (Polynomial(), Polynomial(12, 1.0, -0.5)):
        interval = analysis.cka_interval(x, y, kernel=kernel)
        assert interval.value == pytest.approx(gramless.cka(x, y, kernel=kernel), abs=1e-10)


def test_the_command_line_takes_it(tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import read_csv, run

    np.savez(tmp_path / "a.npz", one=rows(30, 3), two=rows(30, 4, 1))
    call = ["compare", tmp_path / "a.npz", "--csv", "-", "--kernel", "polynomial", "--degree", "2"]
    expected = gramless.cka(rows(30, 3), rows(30, 4, 1), kernel=Polynomial(2, 0.3, 2.0))
    found = read_csv(run(*call, "--gamma", "0.3", "--coef0", "2").stdout)[2][0, 1]
    assert found == pytest.approx(expected, rel=1e-12)
    assert "Polynomial: gamma must be positive and finite but is 0.0" in run(*call, "--gamma", "0").stderr
    assert "--degree needs --kernel polynomial." in run(*call, "--kernel", "rbf").stderr


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"degree": 0}, ValueError, "degree must be at least 1 but is 0"),
        ({"degree": 33}, ValueError, "degree must be at most 32 but is 33"),
        ({"degree": 2.5}, TypeError, "degree must be an integer but is 2.5"),
        ({"degree": True}, TypeError, "degree must be an integer but is True"),
        ({"gamma": -1}, ValueError, "gamma must be positive and finite but is -1.0"),
        ({"gamma": 0}, ValueError, "gamma must be positive and finite but is 0.0"),
        ({"gamma": "1"}, TypeError, "gamma must be a number or None but is '1'"),
        ({"gamma": np.ones(2)}, ValueError, "gamma must be one number or None but has shape (2,)"),
        ({"coef0": float("inf")}, ValueError, "coef0 must be finite but is inf"),
        ({"coef0": None}, TypeError, "coef0 must be a number but is None"),
    ],
)
def test_errors_name_it(options, error, sentence):
    with pytest.raises(error) as caught:
        Polynomial(**options)
    assert str(caught.value) == f"Polynomial: {sentence}"
