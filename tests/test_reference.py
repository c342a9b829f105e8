"""The reference against published numbers, other forms of the same mathematics, and enumeration."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from gramless import reference
from gramless.kernels import RBF, Laplace, Linear
from gramless.reference.gram import centre_columns, squared_distances
from gramless.reference.hsic import biased, unbiased
from kernel_names import ALLOWED_KERNELS

KERNELS = [Linear(), RBF(), RBF(scale=4.0), RBF(sigma=2.0), RBF(scale=0.5, include_diagonal=True)]
ESTIMATORS = ["biased", "unbiased"]
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


@pytest.fixture
def oracle_pair():
    generator = np.random.RandomState(1337)
    x = generator.randn(100, 10)
    return x, generator.randn(100, 10) + x


def two_layers():
    """Two related inputs of different widths, far from the origin."""
    generator = np.random.default_rng(5)
    x = generator.standard_normal((30, 7))
    return x + 50.0, np.tanh(x[:, :4]) + 0.5 * generator.standard_normal((30, 4)) - 20.0


@pytest.fixture
def pair():
    return two_layers()


@pytest.mark.parametrize(
    ("function", "kernel", "estimator", "value"),
    [
        (reference.cka, "linear", "biased", 0.557613256612),
        (reference.cka, "linear", "unbiased", 0.513456489506),
        (reference.hsic, "linear", "biased", 11.878357269185978),
        (reference.hsic, "linear", "unbiased", 9.895955787045914),
    ],
)
def test_linear_oracle_values(oracle_pair, function, kernel, estimator, value):
    assert function(*oracle_pair, kernel=kernel, estimator=estimator) == pytest.approx(value, rel=1e-10)


def test_rbf_oracle_value(oracle_pair):
    kernel = RBF(scale=0.5, include_diagonal=True)
    # the published value has eight digits
    assert abs(reference.cka(*oracle_pair, kernel=kernel, estimator="biased") - 0.65483118) <= 0.5e-8


@every_kernel
def test_biased_is_the_trace_of_the_four_matrices(pair, kernel):
    k, l = (reference.gram(a, kernel) for a in pair)
    n = len(k)
    h = np.eye(n) - 1 / n
    expected = np.trace(k @ h @ l @ h) / (n - 1) ** 2
    assert reference.hsic(*pair, kernel=kernel, estimator="biased") == pytest.approx(expected, rel=1e-10)


@every_kernel
def test_biased_is_its_expansion_in_row_sums(pair, kernel):
    k, l = (reference.gram(a, kernel) for a in pair)
    n = len(k)
    total = np.sum(k * l) - 2 / n * k.sum(0) @ l.sum(0) + k.sum() * l.sum() / n**2
    assert biased(k, l) == pytest.approx(total / (n - 1) ** 2, rel=1e-10)


@every_kernel
def test_unbiased_is_the_product_of_u_centred_matrices(pair, kernel):
    """Szekely and Rizzo 2014."""

    def u_centre(k):
        n = len(k)
        k = np.where(np.eye(n, dtype=bool), 0.0, k)
        k = k - k.sum(0) / (n - 2) - k.sum(1)[:, None] / (n - 2) + k.sum() / ((n - 1) * (n - 2))
        return np.where(np.eye(n, dtype=bool), 0.0, k)

    k, l = (reference.gram(a, kernel) for a in pair)
    expected = np.sum(u_centre(k) * u_centre(l)) / (len(k) * (len(k) - 3))
    assert reference.hsic(*pair, kernel=kernel) == pytest.approx(expected, rel=1e-10)


def test_unbiased_is_the_mean_over_distinct_quadruples():
    """Song et al. 2012: the U-statistic whose expectation is HSIC itself."""
    generator = np.random.default_rng(3)
    k, l = (reference.gram(generator.standard_normal((7, 2)), "rbf") for _ in range(2))
    terms = [
        k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in itertools.permutations(range(7), 4)
    ]
    assert unbiased(k, l) == pytest.approx(np.mean(terms), rel=1e-10)


def test_linear_hsic_is_the_same_in_feature_space(pair):
    x, y = (centre_columns(a) for a in pair)
    n = len(x)
    a, b = np.sum(x**2, axis=1), np.sum(y**2, axis=1)
    squared_norm = np.sum((y.T @ x) ** 2)
    corrected = squared_norm - n / (n - 2) * a @ b + a.sum() * b.sum() / ((n - 1) * (n - 2))
    assert reference.hsic(*pair, estimator="biased") == pytest.approx(squared_norm / (n - 1) ** 2, rel=1e-10)
    assert reference.hsic(*pair) == pytest.approx(corrected / (n * (n - 3)), rel=1e-10)


@every_kernel
@every_estimator
def test_cka_ignores_rotation_scale_offset_and_the_order_of_examples(pair, kernel, estimator):
    generator = np.random.default_rng(11)
    x, y = pair
    rotation = np.linalg.qr(generator.standard_normal((x.shape[1], x.shape[1])))[0]
    order = generator.permutation(len(x))
    scale = 1.0 if kernel == RBF(sigma=2.0) else 1000.0  # a given sigma depends on the units
    moved = (scale * x @ rotation + 7.0)[order]
    options = {"kernel": kernel, "estimator": estimator}
    expected = reference.cka(x, y, **options)
    assert reference.cka(moved, y[order], **options) == pytest.approx(expected, rel=1e-9)


@every_kernel
@every_estimator
def test_cka_is_symmetric_and_one_with_itself(pair, kernel, estimator):
    x, y = pair
    options = {"kernel": kernel, "estimator": estimator}
    assert reference.cka(x, y, **options) == pytest.approx(reference.cka(y, x, **options), rel=1e-12)
    assert reference.cka(x, x, **options) == pytest.approx(1.0, rel=1e-12)


def test_each_input_has_its_own_kernel_and_bandwidth(pair):
    x, y = pair
    expected = unbiased(reference.gram(x, RBF()), reference.gram(y, Linear()))
    assert reference.hsic(x, y, kernel="rbf", kernel_y="linear") == pytest.approx(expected, rel=1e-12)
    sigma_x, sigma_y = reference.median_distance(x), reference.median_distance(y)
    assert reference.hsic(x, y, kernel=RBF(sigma=sigma_x), kernel_y=RBF(sigma=sigma_y)) == pytest.approx(
        reference.hsic(x, y, kernel="rbf"), rel=1e-12
    )


@pytest.mark.parametrize("n", [2, 3, 4, 7, 8])
def test_median_distance_is_the_middle_of_the_sorted_distances(n):
    x = np.random.default_rng(n).standard_normal((n, 3))
    squared = sorted(float(np.sum((x[i] - x[j]) ** 2)) for i in range(n) for j in range(i))
    middle = (squared[(len(squared) - 1) // 2] + squared[len(squared) // 2]) / 2
    assert reference.median_distance(x) == pytest.approx(math.sqrt(middle), rel=1e-12)
    squared = sorted(squared + squared + [0.0] * n)
    middle = (squared[(len(squared) - 1) // 2] + squared[len(squared) // 2]) / 2
    assert reference.median_distance(x, include_diagonal=True) == pytest.approx(math.sqrt(middle), rel=1e-12)


def test_distances_of_near_duplicates_are_exact():
    x = np.array([[1e4, 1.0], [1e4, 1.0 + 2.0**-30], [1e4, 3.0]])
    assert squared_distances(x)[0, 1] == 2.0**-60


def test_a_median_of_zero_is_that_of_the_other_distances():
    x = np.array([[0.0], [0.0], [0.0], [0.0], [1.0]])
    with pytest.warns(RuntimeWarning, match=r"^RBF: more than half .* \(60 %\)"):
        found = reference.gram(x, "rbf")
    assert np.array_equal(found, np.where(x == x.T, 1.0, np.exp(-0.5)))
    assert np.array_equal(reference.gram(0 * x, "rbf"), np.ones((5, 5)))


@every_kernel
@every_estimator
def test_matrices_hold_the_values_of_the_pairs(pair, kernel, estimator):
    x, y = pair
    layers = [x, y, np.hstack([x, y])]
    options = {"kernel": kernel, "estimator": estimator}
    for single, matrix in [(reference.hsic, reference.hsic_matrix), (reference.cka, reference.cka_matrix)]:
        square = [[single(a, b, **options) for b in layers] for a in layers]
        assert np.array_equal(matrix(layers, **options), square)
        assert np.array_equal(matrix([y], layers, **options), square[1:2])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@every_estimator
def test_nan_and_inf_propagate_in_silence(pair, bad, kernel, estimator):
    x, y = pair
    x[3, 2] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(reference.hsic(x, y, kernel=kernel, estimator=estimator))
        assert math.isnan(reference.cka(x, y, kernel=kernel, estimator=estimator))
        assert math.isnan(reference.median_distance(x))
        for method in ("chi2", "gamma", "permutation"):
            assert math.isnan(reference.independence_test(x, y, method=method, n_resamples=3, rng=0).pvalue)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@every_estimator
@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 + 0.1])
def test_a_constant_input_gives_nan_and_one_warning(pair, kernel, estimator, value):
    _, y = pair
    constant = np.full((len(y), 3), value)
    options = {"kernel": kernel, "estimator": estimator}
    assert reference.hsic(constant, y, **options) == 0.0
    with pytest.warns(RuntimeWarning, match=r"^cka: ") as caught:
        assert math.isnan(reference.cka(constant, y, **options))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"^cka_matrix: ") as caught:
        matrix = reference.cka_matrix([constant, y], **options)
    assert len(caught) == 1
    assert np.array_equal(np.isnan(matrix), [[True, True], [True, False]])


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda x: reference.hsic(x[:3], x[:4]), ValueError, "hsic: x has 3 rows but y has 4"),
        (
            lambda x: reference.hsic(x[:3], x[:3]),
            ValueError,
            "hsic: the unbiased estimator needs at least 4 rows but x has 3",
        ),
        (
            lambda x: reference.cka(x[:1], x[:1], estimator="biased"),
            ValueError,
            "cka: the biased estimator needs at least 2 rows but x has 1",
        ),
        (
            lambda x: reference.cka_matrix([x, x[:5]]),
            ValueError,
            "cka_matrix: xs[0] has 6 rows but xs[1] has 5",
        ),
        (
            lambda x: reference.cka_matrix([]),
            ValueError,
            "cka_matrix: xs must hold at least 1 layer but holds 0",
        ),
        (lambda x: reference.hsic(x[0], x), ValueError, "hsic: x must have 2 dimensions but has 1"),
        (
            lambda x: reference.hsic(x, x * 1j),
            TypeError,
            "hsic: y must hold real numbers but has dtype complex128",
        ),
        (
            lambda x: reference.hsic(x, x, estimator="best"),
            ValueError,
            'hsic: estimator must be "unbiased" or "biased" but is \'best\'',
        ),
        (
            lambda x: reference.hsic(x, x, kernel_y="poly"),
            ValueError,
            f"hsic: kernel_y must be {ALLOWED_KERNELS} but is 'poly'",
        ),
        (
            lambda x: reference.hsic(x, x, kernel=RBF),
            TypeError,
            f"hsic: kernel must be {ALLOWED_KERNELS} but is {RBF!r}",
        ),
        (lambda x: RBF(scale=0), ValueError, "RBF: scale must be positive and finite but is 0.0"),
        (lambda x: RBF(sigma=math.nan), ValueError, "RBF: sigma must be positive and finite but is nan"),
        (lambda x: RBF(sigma="1"), TypeError, "RBF: sigma must be a number or None but is '1'"),
        (lambda x: RBF(sigma=b"1"), TypeError, "RBF: sigma must be a number or None but is b'1'"),
        (
            lambda x: Laplace(scale=bytearray(b"1")),
            TypeError,
            "Laplace: scale must be a number but is bytearray(b'1')",
        ),
        (lambda x: RBF(median_rows=1), ValueError, "RBF: median_rows must be at least 2 but is 1"),
    ],
)
def test_bad_input_is_one_sentence(call, error, sentence):
    with pytest.raises(error) as caught:
        call(np.arange(12.0).reshape(6, 2))
    assert str(caught.value) == sentence


def test_inputs_are_left_as_they_were(pair):
    before = [a.copy() for a in pair]
    reference.cka(*pair, kernel="rbf")
    reference.independence_test(*pair, method="permutation", n_resamples=3, rng=0)
    assert all(np.array_equal(a, b) for a, b in zip(pair, before, strict=True))
