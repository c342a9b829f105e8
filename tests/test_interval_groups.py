"""gramless.analysis.cka_interval of groups: the CKA without each, from the core's walk over tiles."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import RBF, Linear, analysis, cka, reference
from gramless._arrays.namespaces import NUMPY
from gramless._backends import cpu_backend
from gramless._intervals import student_quantile
from gramless.analysis._groups import without_groups
from gramless.kernels import as_kernel, encode
from layouts import NUMPY_LAYOUTS
from test_analysis import EXACT, refused
from tolerance import NAIVE, TRUE, assert_as_accurate, cka_of, gram_of

KERNELS = ["linear", RBF(sigma=2.0), "rbf"]


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def pair(generator, n, offset=0.0, dtype=np.float64):
    x = generator.standard_normal((n, 4))
    return (x + offset).astype(dtype), (x[:, :3] + generator.standard_normal((n, 3)) - offset).astype(dtype)


def members(n, groups):
    return np.random.default_rng(0).permutation(n) % groups


def deleted(x, y, kernel, estimator, groups):
    """The CKA and those without each group, as `cka_interval` computes them."""
    kernels = as_kernel(kernel, "test"), as_kernel(kernel, "test")
    value, without, *_ = without_groups(cpu_backend(NUMPY), x, y, kernels, groups, estimator)
    return np.array([value, *without])


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("kernel", KERNELS[:2], ids=str)
def test_the_jackknife_of_groups_deletes_every_group(generator, kernel, estimator):
    n, groups = 37, 8  # groups of 5 and of 4
    x, y = pair(generator, n, 5)
    found = analysis.cka_interval(x, y, kernel=kernel, estimator=estimator, groups=groups)
    assert found.value == pytest.approx(cka(x, y, kernel=kernel, estimator=estimator), rel=EXACT)
    own = members(n, groups)
    h = n / np.bincount(own)
    without = np.array(
        [reference.cka(x[own != g], y[own != g], kernel=kernel, estimator=estimator) for g in range(groups)]
    )
    centre = groups * found.value - np.sum((1 - 1 / h) * without)
    pseudo = h * found.value - (h - 1) * without
    assert found.standard_error**2 == pytest.approx(np.mean((pseudo - centre) ** 2 / (h - 1)), rel=1e-7)
    terms = (np.arctanh(without) - np.arctanh(found.value)) * (1 - h)
    terms -= (
        groups * np.arctanh(found.value) - np.sum((1 - 1 / h) * np.arctanh(without)) - np.arctanh(found.value)
    )
    terms /= np.sqrt(h - 1)
    kurtosis = np.mean(terms**4) / np.mean(terms**2) ** 2
    t = student_quantile(0.95, np.array([min(7.0, 16 / (kurtosis - 1))]))[0]
    reach = t * np.sqrt(np.mean(terms**2))
    assert np.arctanh([found.low, found.high]) == pytest.approx(
        np.arctanh(found.value) + np.array([-reach, reach]), rel=1e-6
    )


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("kernel", KERNELS[:2], ids=str)
def test_without_a_group_the_cka_is_as_accurate_as_naive_code(
    generator, backend, kernel, estimator, dtype, offset
):
    n, groups = 1030, 5  # groups of more rows than a tile has
    x, y = pair(generator, n, offset, dtype)
    own = members(n, groups)

    def obvious(precision, hsic):
        k, l = (gram_of(values, kernel, precision) for values in (x, y))
        kept = [np.flatnonzero(own != g) for g in (-1, *range(groups))]
        return [cka_of(k[np.ix_(rows, rows)], l[np.ix_(rows, rows)], estimator, hsic) for rows in kept]

    ours = deleted(x, y, kernel, estimator, groups)
    truth = obvious(np.float64, TRUE)
    if dtype == np.float32:
        assert_as_accurate(ours, obvious(dtype, NAIVE), truth, dtype)
    assert ours == pytest.approx(np.array(truth), abs=1e-6 if dtype == np.float32 else 1e-13)
    assert ours[0] == pytest.approx(cka(x, y, kernel=kernel, estimator=estimator), abs=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_threads_do_not_change_a_bit(generator, backend, kernel, dtype):
    x, y = pair(generator, 900, dtype=dtype)
    answers = set()
    for threads in (1, 2, 3):
        gramless.set_num_threads(threads)
        answers.add(deleted(x, y, kernel, "unbiased", 7).tobytes())
    assert len(answers) == 1


def test_a_bandwidth_left_to_the_median_is_that_of_cka(generator):
    x, y = pair(generator, 300, dtype=np.float32)
    kernel = RBF(scale=0.5, median_rows=100)
    found = analysis.cka_interval(x, y, kernel=kernel, kernel_y="rbf", groups=6)
    assert found.value == pytest.approx(cka(x, y, kernel=kernel, kernel_y="rbf"), abs=1e-6)


@pytest.mark.parametrize("lay_out", NUMPY_LAYOUTS, ids=lambda lay_out: lay_out.__name__)
def test_any_layout_gives_the_same_interval(generator, lay_out):
    x, y = pair(generator, 60)
    whole = analysis.cka_interval(x, y, kernel="rbf", groups=6)
    assert analysis.cka_interval(lay_out(x), lay_out(y), kernel="rbf", groups=6) == whole


@pytest.mark.parametrize("dtype", [">f4", "longdouble", "float16", "int8", "uint64", "bool"])
def test_any_dtype_is_read(generator, dtype):
    x, y = ((2 * np.abs(values)).astype(dtype) for values in pair(generator, 60, 5))
    if dtype == "bool":
        x, y = generator.random((60, 4)) < 0.5, generator.random((60, 3)) < 0.5
    exact = analysis.cka_interval(x.astype(np.float64), y.astype(np.float64), groups=6)
    found = analysis.cka_interval(x, y, groups=6)
    assert found.value == pytest.approx(exact.value, rel=1e-5)
    assert found.standard_error == pytest.approx(exact.standard_error, rel=1e-5)
    assert analysis.cka_interval(x.tolist(), y.tolist(), groups=6).value == pytest.approx(exact.value)


def test_tensors_are_read(generator):
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(values).float() for values in pair(generator, 60))
    found = analysis.cka_interval(x.requires_grad_(), y, groups=6)
    assert found == analysis.cka_interval(x.detach().numpy(), y.numpy(), groups=6)
    halves = analysis.cka_interval(x.bfloat16(), y.bfloat16(), groups=6)
    assert halves == analysis.cka_interval(x.bfloat16().float(), y.bfloat16().float(), groups=6)
    with pytest.warns(RuntimeWarning, match="x or y is constant"):
        assert np.isnan(analysis.cka_interval(torch.ones_like(x).bfloat16(), y, groups=6).value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", KERNELS[:2], ids=str)
def test_what_is_constant_without_a_group_gives_nan_and_says_so(generator, kernel, dtype):
    _, y = pair(generator, 40, dtype=dtype)
    x = np.full((40, 3), 0.1, dtype)
    x[members(40, 8) == 2] = generator.standard_normal((5, 3))
    with pytest.warns(RuntimeWarning, match="cka_interval: not defined, because x or y is constant"):
        found = analysis.cka_interval(x, y, kernel=kernel, groups=8)
    assert np.isfinite(found.value)
    assert np.isnan(found.standard_error)


@pytest.mark.parametrize("kernel", KERNELS[:2], ids=str)
def test_an_outlier_leaves_the_other_groups_their_digits(generator, kernel):
    x, y = pair(generator, 200, dtype=np.float32)
    x[7] *= 1e3
    own = members(200, 8)
    kept = own != own[7]
    truth = reference.cka(x[kept].astype(np.float64), y[kept].astype(np.float64), kernel=kernel)
    assert deleted(x, y, kernel, "unbiased", 8)[1 + own[7]] == pytest.approx(truth, abs=1e-5)


@pytest.mark.filterwarnings("error")
def test_nan_in_the_data_gives_nan_and_says_nothing(generator):
    x, y = pair(generator, 40)
    x[3, 1] = np.nan
    assert np.isnan(analysis.cka_interval(x, y, groups=8).low)


def test_the_interval_of_groups_holds_the_truth_as_often_as_it_says(generator):
    d, held = 4, 0
    for _ in range(300):
        x = generator.standard_normal((80, d))
        interval = analysis.cka_interval(x, x + generator.standard_normal((80, d)), level=0.9, groups=16)
        held += interval.low <= 0.5 <= interval.high
    assert 0.84 < held / 300 < 0.95


def test_groups_are_refused():
    x = np.eye(6)
    refused(ValueError, "groups must be a number from 5 to 6", analysis.cka_interval, x, x, groups=4)
    refused(ValueError, "but is 7", analysis.cka_interval, x, x, groups=7)
    refused(ValueError, "must be a matrix", analysis.cka_interval, x[0], x, groups=5)
    refused(TypeError, "must hold real numbers", analysis.cka_interval, [["a"]], x, groups=5)
    refused(TypeError, "must hold real numbers", analysis.cka_interval, x, x * 1j, groups=5)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 6], [0, 1, 2, 3, 4]], ids=str)
def test_the_core_refuses_groups_that_are_not_all_rows(order):
    x, sizes, linear = np.eye(6), np.array([3, 3]), encode(Linear())
    with pytest.raises(ValueError, match="every row exactly once"):
        gramless._core.jackknife_hsic(x, x, linear, linear, np.array(order), sizes, "unbiased")
