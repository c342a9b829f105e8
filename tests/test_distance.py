"""Distance kernels: distance covariance and correlation against their definitions from n x n distances."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import Distance, analysis, reference
from gramless.kernels import encode
from scipy.spatial.distance import cdist
from test_laplace import ESTIMATORS, duplicated, in_near_pairs, rows
from tolerance import NAIVE, TRUE, assert_as_accurate, cka_of

EXPONENTS = [0.3, 0.7, 1.0, 1.5, 2.0]
CASES = {
    "normal": lambda: (rows(150, 20), rows(150, 7, 1)),
    "duplicates": lambda: (duplicated(150, 20), duplicated(150, 7, 3)),
    "near pairs": lambda: (in_near_pairs(150, 20), in_near_pairs(150, 7, 3)),
    "offset 1e3": lambda: (rows(150, 20) + 1e3, in_near_pairs(150, 7, 3, offset=-1e3)),
    "offset 1e6": lambda: (rows(150, 20) + 1e6, rows(150, 7, 3) - 1e6),
    "one feature": lambda: (rows(150, 1), in_near_pairs(150, 1, 4)),
    "more features than rows": lambda: (in_near_pairs(40, 1000), rows(40, 800, 5)),
    "a far row": lambda: (
        np.concatenate([rows(99, 9), np.full((1, 9), 100.0)]),
        rows(100, 5, 1),
    ),
}
SIZES = [(4, 2), (5, 1), (15, 3), (17, 2), (33, 65), (191, 5), (193, 5), (385, 17)]


def gram_of(x, exponent, dtype):
    """-|a - b|^exponent in `dtype` throughout, from differences."""
    x = np.asarray(x, dtype)
    distance2 = np.stack([np.sum((x - row) ** 2, axis=1) for row in x])
    return -(distance2 ** dtype(exponent / 2))


def u_centred_product(a, b):
    """dcor's `u_distance_covariance_sqr`: U-centred distances, multiplied (Szekely and Rizzo 2014)."""
    n = len(a)

    def centred(d):
        total, by_row = d.sum() / ((n - 1) * (n - 2)), d.sum(0) / (n - 2)
        return np.where(np.eye(n, dtype=bool), 0, d - by_row - by_row[:, None] + total)

    return np.sum(centred(a) * centred(b)) / (n * (n - 3))


def v_product(a, b):
    """dcor's `distance_covariance_sqr`: doubly centred distances, multiplied (Szekely et al. 2007)."""

    def centred(d):
        return d - d.mean(0) - d.mean(1)[:, None] + d.mean()

    return np.mean(centred(a) * centred(b))


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-6), (np.float64, 1e-10)])
@pytest.mark.parametrize("exponent", EXPONENTS)
def test_hsic_and_cka_are_distance_covariance_and_correlation(exponent, dtype, digits):
    for case in CASES.values():
        x, y = (side.astype(dtype) for side in case())
        a, b = (-gram_of(side, exponent, np.longdouble) for side in (x, y))
        n = len(x)
        for estimator, covariance, share in (
            ("unbiased", u_centred_product, 1.0),
            ("biased", v_product, n**2 / (n - 1) ** 2),
        ):
            options = {"kernel": Distance(exponent), "estimator": estimator}
            xy, root = float(covariance(a, b)), float(np.sqrt(covariance(a, a) * covariance(b, b)))
            assert gramless.cka(x, y, **options) == pytest.approx(xy / root, abs=digits)
            found = gramless.hsic(x, y, **options)
            assert found == pytest.approx(share * xy, abs=share * digits * root)


def test_the_package_dcor_agrees():
    dcor = pytest.importorskip("dcor")
    x, y = rows(60, 3), in_near_pairs(60, 2, 1)
    for exponent in (0.5, 1.0, 1.5):
        kernel = Distance(exponent)
        of = {"exponent": exponent}
        unbiased, biased = (
            [f(x, y, kernel=kernel, estimator=e) for f in (gramless.cka, gramless.hsic)] for e in ESTIMATORS
        )
        assert unbiased[0] == pytest.approx(dcor.u_distance_correlation_sqr(x, y, **of), rel=1e-10)
        assert unbiased[1] == pytest.approx(dcor.u_distance_covariance_sqr(x, y, **of), rel=1e-10)
        assert biased[0] == pytest.approx(dcor.distance_correlation_sqr(x, y, **of), rel=1e-10)
        assert biased[1] == pytest.approx(60**2 / 59**2 * dcor.distance_covariance_sqr(x, y, **of), rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_is_as_accurate_as_code_from_differences(size, dtype):
    n, d = size
    ours, naive, truth = [], [], []
    for exponent in EXPONENTS:
        layers = [rows(n, d, 1).astype(dtype), duplicated(n, 3, 2).astype(dtype)]
        for estimator in ESTIMATORS:
            ours.append(gramless.cka(*layers, kernel=Distance(exponent), estimator=estimator))
            for found, formula, digits in ((naive, NAIVE, dtype), (truth, TRUE, np.longdouble)):
                found.append(cka_of(*(gram_of(x, exponent, digits) for x in layers), estimator, formula))
    assert_as_accurate(ours, naive, truth, dtype)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-6), (np.float64, 1e-10)])
def test_wide_rows(dtype, digits):
    x, y = (rows(33, 65_536, seed).astype(dtype) for seed in (0, 1))
    x[:, 7] += np.linspace(0, 500, 33).astype(dtype)
    y[:, 0] += np.linspace(0, 400, 33).astype(dtype)
    expected = cka_of(*(gram_of(side, 1.0, np.longdouble) for side in (x, y)), "unbiased", TRUE)
    assert gramless.cka(x, y, kernel="distance") == pytest.approx(expected, abs=digits)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_exponent_2_is_a_linear_kernel(estimator):
    x, y = rows(90, 6), rows(90, 4, 1) + rows(90, 6)[:, :4]
    of_distance, linear = (
        gramless.hsic(x, y, kernel=kernel, estimator=estimator) for kernel in (Distance(2), "linear")
    )
    assert of_distance == pytest.approx(4 * linear, rel=1e-12)


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cka_does_not_depend_on_the_unit(dtype, exponent):
    x, y = in_near_pairs(120, 6), rows(120, 4, 1)
    expected = gramless.cka(x.astype(dtype), y.astype(dtype), kernel=Distance(exponent))
    units = [1e-30, 1e-12, 3e7, 1e30] + ([1e-200, 1e200] if dtype == np.float64 else [])
    for unit in units:
        found = gramless.cka((x * unit).astype(dtype), y.astype(dtype), kernel=Distance(exponent))
        assert found == pytest.approx(expected, abs=1e-6 if dtype == np.float32 else 1e-12)
    hsic = gramless.hsic(x.astype(dtype), y.astype(dtype), kernel=Distance(exponent))
    for unit in (
        (1e-20, 1e-19, 1e15) if dtype == np.float32 else (1e-150, 1e-149, 1e140)
    ):  # rows are held in others
        found = gramless.hsic((x * unit).astype(dtype), y.astype(dtype), kernel=Distance(exponent))
        assert found == pytest.approx(hsic * unit**exponent, rel=1e-5 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kernel", [Distance(), Distance(0.4), Distance(1.6)], ids=str)
def test_the_reference_agrees(kernel, estimator):
    for case in CASES.values():
        x, y = case()
        arguments = {"kernel": kernel, "kernel_y": "linear", "estimator": estimator}
        found, expected = (module.cka(x, y, **arguments) for module in (gramless, reference))
        assert found == pytest.approx(expected, abs=1e-10)
    xs = [rows(50, 3), rows(50, 60, 1), duplicated(50, 4)]
    found, expected = (
        module.cka_matrix(xs, kernel=kernel, estimator=estimator) for module in (gramless, reference)
    )
    assert np.allclose(found, expected, rtol=0, atol=1e-11)


def test_mmd_is_the_energy_distance():
    x, y = rows(40, 3), rows(50, 3, 1) + 0.3
    own_x, own_y = (cdist(side, side).sum() / (len(side) * (len(side) - 1)) for side in (x, y))
    expected = 2 * cdist(x, y).mean() - own_x - own_y
    assert gramless.mmd(x, y, kernel=Distance()) == pytest.approx(expected, rel=1e-12)
    assert reference.mmd(x, y, kernel=Distance()) == pytest.approx(expected, rel=1e-12)
    found = gramless.two_sample_test(x, y + 1, kernel=Distance(), n_resamples=99, rng=0)
    assert found.pvalue == pytest.approx(0.01)


@pytest.mark.parametrize("exponent", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constants_and_nan(dtype, exponent):
    kernel = Distance(exponent)
    x, constant = rows(40, 4, dtype=dtype), np.full((40, 4), 1e6 + 0.1, dtype)
    assert gramless.hsic(constant, x, kernel=kernel) == 0
    with pytest.warns(RuntimeWarning, match="constant"):
        assert np.isnan(gramless.cka(x, constant, kernel=kernel))
    for bad in (np.nan, np.inf):
        y = x.copy()
        y[3, 1] = bad
        for estimator in ESTIMATORS:
            assert np.isnan(gramless.hsic(y, x, kernel=kernel, estimator=estimator))


def test_everything_that_takes_a_kernel_takes_it(tmp_path):
    kernel = Distance(1.3)
    x, y = rows(60, 5), in_near_pairs(60, 4)
    one = gramless.cka(x, y, kernel=kernel)
    batch = gramless.MinibatchCKA(kernel=kernel)
    batch.update([x], [y])
    assert batch.compute()[0, 0] == pytest.approx(one, abs=1e-14)
    again = gramless.MinibatchCKA(kernel=kernel)
    again.load_state_dict(batch.state_dict())
    assert again.compute()[0, 0] == batch.compute()[0, 0]
    with pytest.raises(ValueError, match=r"Distance\(exponent=1\.3\)"):
        gramless.MinibatchCKA(kernel=Distance()).load_state_dict(batch.state_dict())
    for groups in (None, 10):
        interval = analysis.cka_interval(x, y, kernel=kernel, groups=groups)
        assert interval.value == pytest.approx(one, abs=1e-12)
        assert interval.low < one < interval.high
    result = gramless.layer_matrix({"a": x}, {"b": y}, kernel=kernel, level=0.95)
    assert result.matrix[0, 0] == pytest.approx(one, abs=1e-12)
    assert result.low[0, 0] < one < result.high[0, 0]
    result.save(tmp_path / "r.json")
    assert gramless.LayerMatrix.load(tmp_path / "r.json").settings["kernel"] == "Distance(exponent=1.3)"
    swept = gramless.cka_matrix([x], [y], kernel=kernel, checkpoint=tmp_path / "sweep.npz")
    assert swept[0, 0] == pytest.approx(one, abs=1e-14)
    for method in ("chi2", "gamma", "permutation"):
        found = gramless.independence_test(x, x + 0.1 * rows(60, 5, 2), kernel=kernel, method=method, rng=0)
        assert found.pvalue < 0.01
    assert gramless.estimate(1000, 64, kernel=kernel, gflops=100, threads=1).flops > 0
    assert encode(kernel) == ("distance", None, 1.0, False, None, (1.3,))


def test_the_gamma_and_chi2_tests_agree_with_the_reference():
    x, y = rows(60, 3), rows(60, 2, 1)
    for method in ("chi2", "gamma"):
        found, expected = (
            module.independence_test(x, y, kernel="distance", method=method)
            for module in (gramless, reference)
        )
        assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_command_line_takes_it(tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import read_csv, refused, run

    np.savez(tmp_path / "a.npz", one=rows(30, 3), two=rows(30, 4, 1))
    call = ["compare", tmp_path / "a.npz", "--csv", "-", "--kernel"]
    matrix = read_csv(run(*call, "distance", "--exponent", "0.5").stdout)[2]
    expected = gramless.cka(rows(30, 3), rows(30, 4, 1), kernel=Distance(0.5))
    assert matrix[0, 1] == pytest.approx(expected, rel=1e-12)
    assert "--exponent needs --kernel distance." in run(*call, "rbf", "--exponent", "0.5").stderr
    assert "Distance: exponent must be at most 2 but is 3.0" in refused(*call, "distance", "--exponent", "3")


@pytest.mark.parametrize(
    ("exponent", "error", "sentence"),
    [
        (0, ValueError, "exponent must be positive and finite but is 0.0"),
        (2.5, ValueError, "exponent must be at most 2 but is 2.5"),
        (float("nan"), ValueError, "exponent must be positive and finite but is nan"),
        ("1", TypeError, "exponent must be a number but is '1'"),
        (True, TypeError, "exponent must be a number but is True"),
    ],
)
def test_errors_name_it(exponent, error, sentence):
    with pytest.raises(error) as caught:
        Distance(exponent)
    assert str(caught.value) == f"Distance: {sentence}"
