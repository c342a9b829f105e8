"""mmd: the plain formula, gradients, layouts, and tensors."""

from __future__ import annotations

import tracemalloc

import gramless as gl
import numpy as np
import pytest
from gramless import RBF, Laplace, mmd, reference, two_sample_test
from gramless._problems.mmd import mmd_factor
from tolerance import assert_as_accurate

KERNELS = ["linear", RBF(sigma=2.0), "rbf", Laplace(scale=0.5)]
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
every_estimator = pytest.mark.parametrize("estimator", ["unbiased", "biased"])


@pytest.fixture(autouse=True)
def _one_thread():  # samples are small, and there are many calls
    gl.set_num_threads(1)


def samples(n=30, m=17, d=5, seed=0, dtype=np.float64):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal((n, d)) + 5).astype(dtype), (
        1.3 * generator.standard_normal((m, d)) + 5.2
    ).astype(dtype)


def plain(x, y, sigma, estimator):
    """Naive code in the dtype of the data."""

    def kernel(a, b):
        distance2 = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1) - 2 * a @ b.T
        return np.exp(-np.maximum(distance2, 0) / np.asarray(2 * sigma**2, a.dtype))

    def mean(k):
        return k.mean() if estimator == "biased" else (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return float(mean(kernel(x, x)) + mean(kernel(y, y)) - 2 * kernel(x, y).mean())


@every_kernel
@every_estimator
@pytest.mark.parametrize("sizes", [(30, 17), (2, 2), (2, 400), (300, 200)])
def test_it_is_the_plain_formula(kernel, estimator, sizes):
    x, y = samples(*sizes)
    ours, expected = (f(x, y, kernel=kernel, estimator=estimator) for f in (mmd, reference.mmd))
    assert ours == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert type(ours) is float


@every_estimator
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_float32_is_as_accurate_as_the_plain_formula(estimator, offset):
    ours, naive, truth = [], [], []
    for seed in range(5):
        x, y = ((a + offset).astype(np.float32) for a in samples(200, 150, 16, seed))
        ours.append(mmd(x, y, kernel=RBF(sigma=4.0), estimator=estimator))
        naive.append(plain(x, y, 4.0, estimator))
        truth.append(reference.mmd(x, y, kernel=RBF(sigma=4.0), estimator=estimator))
    assert_as_accurate(ours, naive, truth, np.float32)


def test_it_is_what_torchmetrics_computes_from_gram_matrices():
    """The sum in torchmetrics' Kernel Inception Distance, for any kernel."""
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torchmetrics.image.kid").maximum_mean_discrepancy
    x, y = samples(50, 50, 7)
    k = reference.gram(np.concatenate([x, y]), Laplace(sigma=2.0))
    parts = (torch.from_numpy(part) for part in (k[:50, :50], k[:50, 50:], k[50:, 50:]))
    assert mmd(x, y, kernel=Laplace(sigma=2.0)) == pytest.approx(theirs(*parts).item(), rel=1e-10)


@pytest.mark.parametrize("sizes", [(50, 50), (50, 31)])
def test_it_is_what_alibi_detect_computes_from_a_gram_matrix(sizes):
    """`mmd2_from_kernel_matrix` of its version 0.12, with zeros on the diagonal."""
    x, y = samples(*sizes)
    k = reference.gram(np.concatenate([x, y]), RBF(sigma=2.0))
    np.fill_diagonal(k, 0)
    n, m = sizes
    within = k[:n, :n].sum() / (n * (n - 1)) + k[-m:, -m:].sum() / (m * (m - 1))
    assert mmd(x, y, kernel=RBF(sigma=2.0)) == pytest.approx(within - 2 * k[-m:, :n].mean(), rel=1e-10)


ORACLE = {
    "unbiased": 0.05078704479334023,
    "biased": 0.06551101354250449,
}  # of the pair of tests/test_oracle.py, sigma 3, by the formula


@pytest.mark.parametrize(("dtype", "relative"), [("float64", 1e-10), ("float32", 1e-5)])
@every_estimator
def test_oracle_values(estimator, dtype, relative):
    generator = np.random.RandomState(1337)
    x = generator.randn(100, 10)
    y = (generator.randn(100, 10) + x).astype(dtype)
    value = mmd(x.astype(dtype), y, kernel=RBF(sigma=3.0), estimator=estimator)
    assert value == pytest.approx(ORACLE[estimator], rel=relative)


def test_the_bandwidth_is_the_median_of_all_rows():
    x, y = samples()
    sigma = gl.median_distance(np.concatenate([x, y]))
    assert mmd(x, y) == pytest.approx(mmd(x, y, kernel=RBF(sigma=sigma)), rel=1e-12)


def test_factors_are_exact_for_whole_numbers():
    for n, m in ((2, 2), (3, 50), (1000, 7)):
        total = n + m
        unbiased = total * (total - 1) * (total - 2) * (total - 3) / (n * m * (n - 1) * (m - 1))
        assert mmd_factor(n, m, "unbiased") == pytest.approx(unbiased, rel=1e-14)
        assert mmd_factor(n, m, "biased") == pytest.approx((total - 1) ** 2 / (n * m / total) ** 2, rel=1e-14)


def layouts(x, y):
    """The same rows in memory of other forms."""
    wide = np.empty((len(x), 3 * x.shape[1]), x.dtype)
    wide[:, ::3] = x
    yield "C", x, y
    yield "Fortran", np.asfortranarray(x), np.asfortranarray(y)
    yield "Fortran beside C", np.asfortranarray(x), y
    yield "rows backwards", x[::-1].copy()[::-1], y
    yield "every third column", wide[:, ::3], y
    yield "slices of one array", *np.split(np.concatenate([x, y]), [len(x)])
    yield "interleaved", np.repeat(x, 2, axis=0)[::2], y


@every_estimator
def test_every_layout_is_read(estimator):
    x, y = samples()
    expected = mmd(x, y, estimator=estimator)
    for name, a, b in layouts(x, y):
        assert mmd(a, b, estimator=estimator) == pytest.approx(expected, rel=1e-12), name
    x, y = (np.round(4 * a) for a in (x, y))
    expected = mmd(x, y, estimator=estimator)
    for a, b in (
        (x.astype(np.float32), y),
        (x.astype(np.int8), y.astype(np.int8)),
        (x, y.astype(np.float16)),
        (x.astype(np.int16), y.astype(np.int64)),
    ):
        assert mmd(a, b, estimator=estimator) == pytest.approx(expected, rel=2e-6)


def test_one_column_of_any_stride():
    x, y = np.arange(40.0).reshape(10, 4)[:, 1:2], np.arange(7.0)[:, None]
    assert mmd(x, y) == pytest.approx(reference.mmd(x, y), rel=1e-10)


def test_nothing_is_concatenated():
    x, y = samples(4000, 3000, 64, dtype=np.float32)
    mmd(x[:10], y[:10])
    tracemalloc.start()
    try:
        mmd(x, y, kernel=RBF(sigma=8.0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.1 * (x.nbytes + y.nbytes)


def test_one_sample_is_copied_where_the_two_are_read_differently():
    x, y = samples(400, 3000, 64)
    for a, b in ((np.asfortranarray(x), y), (x.astype(np.float32), y)):
        tracemalloc.start()
        try:
            mmd(a, b, kernel=RBF(sigma=8.0))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < x.nbytes + 0.1 * y.nbytes


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_are_those_of_hsic_with_the_indicator(kernel, dtype):
    x, y = samples(330, 270, 40, dtype=dtype)
    group = np.repeat([1, 0], [330, 270])[:, None].astype(dtype)
    both = np.concatenate([x, y])
    for estimator in ("unbiased", "biased"):
        hsic = gl.hsic(both, group, kernel=kernel, kernel_y="linear", estimator=estimator)
        for name, a, b in layouts(x, y):
            assert mmd(a, b, kernel=kernel, estimator=estimator) == hsic * mmd_factor(330, 270, estimator), (
                name
            )


def test_inputs_are_left_alone_and_may_be_read_only():
    x, y = samples()
    before = x.copy(), y.copy()
    x.flags.writeable = y.flags.writeable = False
    gl.value_and_grad(mmd)(x, y)
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])


@every_kernel
@every_estimator
def test_gradients_of_numpy_and_torch_are_those_of_the_formula(kernel, estimator):
    torch = pytest.importorskip("torch")
    if kernel == "rbf":
        kernel = RBF(sigma=3.0)
    if isinstance(kernel, Laplace):
        kernel = Laplace(sigma=3.0)
    x, y = samples(9, 6, 3)
    value, grads = gl.value_and_grad(mmd)(x, y, kernel=kernel, estimator=estimator)
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, y)]
    found = mmd(*leaves, kernel=kernel, estimator=estimator)
    of_torch = torch.autograd.grad(found, leaves)
    assert found.item() == value
    for ours, theirs, sample in zip(grads, of_torch, (x, y), strict=True):
        assert ours.shape == sample.shape
        np.testing.assert_array_equal(ours, theirs.numpy())
    assert torch.autograd.gradcheck(lambda a, b: mmd(a, b, kernel=kernel, estimator=estimator), leaves)
    only = gl.value_and_grad(mmd, "y")(x, y, kernel=kernel, estimator=estimator)[1]
    np.testing.assert_array_equal(only, grads[1])


def test_it_works_under_compile_and_func():
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(a) for a in samples(9, 6, 3))
    function = lambda a, b: mmd(a, b, kernel=RBF(sigma=3.0))  # noqa: E731
    expected = gl.value_and_grad(mmd)(x, y, kernel=RBF(sigma=3.0))[1]
    of_func = torch.func.grad(function, argnums=(0, 1))(x, y)
    for ours, theirs in zip(of_func, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    compiled = torch.compile(function, fullgraph=True, backend="eager")
    assert compiled(x, y).item() == function(x, y).item()
    torch.library.opcheck(torch.ops.gramless.forward.default, operands_of(x, y))


def operands_of(x, y):
    from gramless.torch._autograd import operands

    call = mmd.describe(x, y, kernel=RBF(sigma=3.0))
    return operands(call.problem, call.inputs)


def test_tensors_of_other_dtypes_and_layouts():
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(np.round(4 * a)) for a in samples())
    expected = mmd(x, y).item()
    assert mmd(x.T.contiguous().T, y).item() == pytest.approx(expected, rel=1e-12)
    assert mmd(x.bfloat16(), y.float()).item() == pytest.approx(expected, rel=2e-6)
    half = x.bfloat16().requires_grad_()
    mmd(half, y.bfloat16()).backward()
    assert half.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("unit", [1e200, 1e-200, 1e30])
def test_units_play_no_part_with_a_median(unit):
    x, y = samples()
    assert mmd(x * unit, y * unit) == pytest.approx(mmd(x, y), rel=1e-9)
    assert two_sample_test(x * unit, y * unit, rng=0).pvalue == two_sample_test(x, y, rng=0).pvalue
