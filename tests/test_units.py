"""The unit of the data does not matter: CKA, bandwidths and gradients over the whole range of a dtype."""

from __future__ import annotations

import warnings

import gramless
import numpy as np
import pytest
from gramless import RBF, Laplace, MinibatchCKA, reference
from gramless.analysis import cka_interval

# Powers of two are exact, so results may only differ where tiles use other units.
EXPONENTS = {np.float32: [-110, -60, -41, 41, 60, 110], np.float64: [-1000, -400, -120, 120, 400, 1000]}
every_unit = pytest.mark.parametrize(
    ("dtype", "exponent"), [(dtype, e) for dtype, exponents in EXPONENTS.items() for e in exponents]
)
every_kernel = pytest.mark.parametrize("kernel", ["linear", "rbf", "laplace"])
REL = {np.float32: 1e-6, np.float64: 1e-12}


def rows(dtype, n=60, d=5):
    generator = np.random.default_rng(3)
    x = generator.standard_normal((n, d))
    return x.astype(dtype), (x[:, :3] + generator.standard_normal((n, 3))).astype(dtype)


def pvalue(x, y, kernel, **options):
    return gramless.independence_test(x, y, kernel=kernel, **options).pvalue


def minibatch(x, y, kernel):
    accumulated = MinibatchCKA(kernel=kernel)
    for start in (0, 30):
        accumulated.update(x[start : start + 30], y[start : start + 30])
    return accumulated.compute()[0, 0]


CALLS = {
    "cka": lambda x, y, kernel: gramless.cka(x, y, kernel=kernel),
    "biased": lambda x, y, kernel: gramless.cka(x, y, kernel=kernel, estimator="biased"),
    "wide": lambda x, y, kernel: gramless.cka(np.tile(x, 20), y, kernel=kernel),
    "cka_matrix": lambda x, y, kernel: gramless.cka_matrix([x, y], kernel=kernel)[0, 1],
    "sweep": lambda x, y, kernel: gramless.cka_matrix([x, x**1], [y], kernel=kernel)[1, 0],
    "cka_interval": lambda x, y, kernel: cka_interval(x, y, kernel=kernel).high,
    "groups": lambda x, y, kernel: cka_interval(x, y, kernel=kernel, groups=6).high,
    "chi2": lambda x, y, kernel: pvalue(x, y, kernel, method="chi2"),
    "permutation": lambda x, y, kernel: pvalue(x, y, kernel, method="permutation", n_resamples=19, rng=0),
}


@every_unit
@every_kernel
@pytest.mark.parametrize("call", CALLS)
def test_the_unit_plays_no_part(dtype, exponent, kernel, call):
    x, y = rows(dtype)
    expected = CALLS[call](x, y, kernel)
    scale = dtype(2.0**exponent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for a, b in ((x * scale, y), (x, y * scale), (x * scale, y * scale)):
            assert CALLS[call](a, b, kernel) == pytest.approx(expected, rel=REL[dtype], abs=REL[dtype])


@pytest.mark.parametrize(
    ("dtype", "exponent"), [(np.float32, -110), (np.float32, 110), (np.float64, -200), (np.float64, 200)]
)
@every_kernel
def test_the_unit_plays_no_part_in_batches(dtype, exponent, kernel):
    x, y = rows(dtype)
    scale = dtype(2.0**exponent)
    assert minibatch(x * scale, y, kernel) == pytest.approx(minibatch(x, y, kernel), rel=REL[dtype])


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e-6, 1e6, 1e12, 1e30])
@every_kernel
def test_float32_in_any_unit_is_like_itself(backend, scale, kernel):
    """For small rows RBF became the linear kernel: the RBF CKA of x and x * 1e-12 was 0.986."""
    x = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    assert gramless.cka(x, x * np.float32(scale), kernel=kernel) == pytest.approx(1, abs=1e-5)


@every_unit
def test_a_bandwidth_in_the_units_of_the_data(backend, dtype, exponent):
    x, y = rows(dtype)
    scale = dtype(2.0**exponent)
    sigma = 1.5
    expected = gramless.cka(x, y, kernel=RBF(sigma), kernel_y="linear")
    found = gramless.cka(x * scale, y * scale, kernel=RBF(sigma * float(scale)), kernel_y="linear")
    assert found == pytest.approx(expected, rel=REL[dtype])
    assert gramless.median_distance(x * scale) == pytest.approx(
        gramless.median_distance(x) * float(scale), rel=REL[dtype]
    )


@pytest.mark.parametrize("exponent", [-130, -100, -40, 40, 60, 100])
def test_hsic_is_0_or_infinite_only_beyond_float64(exponent):
    """Also for float32 rows, because the sums are float64."""
    for dtype in (np.float32, np.float64):
        x, y = rows(dtype)
        scale = dtype(2.0 ** max(exponent, -120 if dtype is np.float32 else -2000))
        expected = gramless.hsic(x, y) * float(scale) ** 4
        assert gramless.hsic(x * scale, y * scale) == pytest.approx(expected, rel=REL[dtype])
        matrix = gramless.hsic_matrix([x * scale, y * scale])
        assert matrix[0, 1] == pytest.approx(expected, rel=REL[dtype])


def test_hsic_beyond_float64_is_0_or_infinite():
    x, y = rows(np.float64)
    assert gramless.hsic(x * 1e100, y * 1e100) == np.inf
    assert gramless.hsic(x * 1e-100, y * 1e-100) == 0
    assert gramless.hsic(x * 1e-200, y * 1e200) == pytest.approx(gramless.hsic(x, y), rel=1e-9)


def test_float64_whose_differences_are_beyond_it():
    """The largest finite numbers, whose sums, differences and squares overflow."""
    x, y = rows(np.float64)
    x /= np.abs(x).max()
    for kernel in ("linear", "rbf"):
        expected = gramless.cka(x, y, kernel=kernel)
        assert gramless.cka(x * 1.7e308, y, kernel=kernel) == pytest.approx(expected, rel=1e-12)


@every_unit
@every_kernel
def test_gradients_scale_with_the_unit(dtype, exponent, kernel):
    torch = pytest.importorskip("torch")
    scale = dtype(2.0**exponent)

    def gradients(*factors):
        tensors = [
            torch.from_numpy(z * f).requires_grad_() for z, f in zip(rows(dtype), factors, strict=True)
        ]
        value = gramless.cka(*tensors, kernel=kernel)
        value.backward()
        assert value.item() == pytest.approx(
            gramless.cka(*rows(dtype), kernel=kernel), rel=REL[dtype], abs=REL[dtype]
        )
        return [t.grad.numpy() * f for t, f in zip(tensors, factors, strict=True)]

    one = dtype(1)
    expected = gradients(one, one)
    for factors in ((scale, one), (scale, scale)):
        for found, wanted in zip(gradients(*factors), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=20 * REL[dtype] * np.abs(wanted).max())


@pytest.mark.parametrize("scale", [2.0**-30, 2.0**-20, 2.0**15, 2.0**25])
def test_gradients_of_hsic_hold_where_its_value_has_none(scale):
    torch = pytest.importorskip("torch")
    x, y = map(torch.from_numpy, rows(np.float32))
    x.requires_grad_()
    gramless.hsic(x, y).backward()
    expected, x.grad = x.grad.numpy(), None
    scaled = (x.detach() * scale).requires_grad_()
    gramless.hsic(scaled, y * scale).backward()
    np.testing.assert_allclose(
        scaled.grad.double().numpy() / scale**3, expected, rtol=0, atol=2e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_narrow_kernel_has_a_cka(backend, dtype):
    """All values are small and right to seven digits: an HSIC of 1.17e-17 is not rounding error."""
    y = np.random.default_rng(0).standard_normal((193, 300)).astype(dtype)
    kernel = RBF(sigma=3.7)
    own = gramless.hsic(y, y, kernel=kernel)
    assert own == pytest.approx(reference.hsic(y, y, kernel=kernel), rel=1e-4)
    x = y[:, :100]
    expected = reference.cka(x, y, kernel="rbf", kernel_y=kernel)
    for call in (
        lambda: gramless.cka(x, y, kernel="rbf", kernel_y=kernel),
        lambda: cka_interval(x, y, kernel="rbf", kernel_y=kernel, groups=5).value,
    ):
        assert call() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kernel", [RBF(sigma=4.67), Laplace(sigma=0.688)], ids=str)
def test_values_below_the_least_float32_are_computed_in_float64(kernel):
    """All values are near 1e-40, where float32 has five digits fewer, and their products underflow to 0."""
    x = np.random.default_rng(0).standard_normal((50, 2000)).astype(np.float32)
    wide = x.astype(np.float64)
    assert 0 < reference.gram(wide, kernel)[~np.eye(50, dtype=bool)].max() < 1e-33
    for first, second in ((x, x), (x, x[:, :3])):
        options = {"kernel": kernel, "kernel_y": kernel if second is x else "rbf"}
        expected = reference.hsic(first.astype(np.float64), second.astype(np.float64), **options)
        assert gramless.hsic(first, second, **options) == pytest.approx(expected, rel=1e-9)
    assert gramless.cka(x, x[:, :1000], kernel=kernel, kernel_y="linear") == pytest.approx(
        reference.cka(wide, wide[:, :1000], kernel=kernel, kernel_y="linear"), rel=1e-6
    )


@pytest.mark.parametrize(
    ("y", "kernel", "reason"),
    [
        (np.ones((30, 2)), "linear", "its rows are constant, or equal but for one"),
        (
            np.eye(30)[:, :1],
            "rbf",
            "its rows are constant, equal but for one, or all equally far apart",
        ),
        (np.eye(30), "rbf", "its rows are constant, equal but for one, or all equally far apart"),
        (
            np.eye(30),
            RBF(sigma=0.01),
            "its kernel is too narrow to tell its rows apart",
        ),
    ],
)
def test_the_warning_names_the_cause(y, kernel, reason):
    x = np.random.default_rng(1).standard_normal((30, 6))
    for call, name in (
        (lambda: gramless.cka(x, y, kernel="rbf", kernel_y=kernel), "y"),
        (lambda: gramless.cka_matrix([y], kernel=kernel)[0, 0], "xs[0]"),
    ):
        with pytest.warns(RuntimeWarning) as caught:
            assert np.isnan(call())
        assert f"({name}: {reason})" in str(caught[-1].message)


def test_float16_gradients_of_a_linear_hsic_are_infinite_at_the_documented_length():
    torch = pytest.importorskip("torch")
    x, y = 250 * torch.randn(2, 256, 16, generator=torch.Generator().manual_seed(0))
    assert x.norm(dim=1).mean() == pytest.approx(1e3, rel=0.05)
    largest = {}
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        leaf = x.to(dtype).requires_grad_()
        gramless.hsic(leaf, y.to(dtype)).backward()
        largest[dtype] = leaf.grad.abs().max().item()
    assert largest[torch.float16] == np.inf
    assert largest[torch.bfloat16] == pytest.approx(largest[torch.float32], rel=0.02)
    assert 1e5 < largest[torch.float32] < 5e5


def test_values_beyond_the_dtype_of_tensors_are_infinite():
    """Values of arrays beyond float64 are infinite, too."""
    torch = pytest.importorskip("torch")
    calls = {
        "hsic": lambda x: gramless.hsic(x, x),
        "hsic of powers": lambda x: gramless.hsic(x, x, kernel="polynomial"),
        "hsic_matrix": lambda x: gramless.hsic_matrix([x, x])[0, 1],
        "mmd": lambda x: -gramless.mmd(x, x.flip(0), kernel=gramless.Polynomial(7)),
        "alignment": lambda x: gramless.alignment(x, x.flip(0), 4.0, normalize=False),
        "siglip": lambda x: gramless.siglip(x, x, logit_scale=10.0, logit_bias=0.0, normalize=False),
    }
    for dtype, unit in ((torch.float32, 1e30), (torch.bfloat16, 1e30), (torch.float64, 1e200)):
        x = torch.from_numpy(unit * np.random.default_rng(0).standard_normal((20, 3))).to(dtype)
        for name, call in calls.items():
            leaf = x.clone().requires_grad_()
            value = call(leaf)
            value.backward()
            assert (value.item(), call(x).item()) == (np.inf, np.inf), name
            assert leaf.grad.dtype == dtype
