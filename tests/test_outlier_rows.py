"""One row far from all others, like an attention sink: float32 within 1e-6 of float64."""

from __future__ import annotations

import functools
import math

import gramless
import numpy as np
import pytest
from core_values import hsic_values, of_data
from gramless import RBF, Linear
from tolerance import FLOOR, TRUE, gram_of

LIMIT = 1e-6
SIZES = [1e3, 1e4, 1e5, 1e6, 1e7]


def normal(n=100, d=16, seed=0):
    generator = np.random.default_rng(seed)
    return tuple(generator.standard_normal((n, d)).astype(np.float32) for _ in range(2))


def one_row(size, **shape):
    x, y = normal(**shape)
    x[3, 2] = size
    return x, y


def same_row_of_both(size):
    x, y = normal(seed=1)
    x[3, 0] = size
    y[3, 1] = size
    return x, y


def other_rows_of_both(size):
    x, y = normal(seed=2)
    x[3, 0] = size
    y[70, 1] = -size
    return x, y


def several_rows(size):
    x, y = normal(seed=3)
    x[[1, 40, 70], [0, 1, 1]] = [size, -size, size / 30]
    return x, y


def a_tenth_of_the_rows(size):
    x, y = normal(n=200, d=40, seed=4)
    x[:20] = 0
    x[np.arange(20), np.arange(20)] = size
    return x, y


def whole_row(size):
    x, y = normal(seed=5)
    x[5] *= size
    return x, y


def beside_a_large_column(size):
    x, y = normal(seed=6)
    x[:, 1] *= size
    x[2, 0] = size
    return x, y


def far_from_the_origin(size):
    x, y = normal(seed=7)
    x += 1000
    x[3, 2] = size
    return x, y - 300


def first_row_of_related(size):
    x, y = normal(seed=8)
    y += x
    x[0, 2] = size
    return x, y


def of_unequal_rows(size):
    x, y = normal(seed=9)
    x *= np.exp(1.5 * y[:, :1])
    x[3, 2] = size
    return x, y


DATA = {
    "one_row": one_row,
    "many_rows": functools.partial(one_row, n=1200, d=24),
    "more_features": functools.partial(one_row, n=60, d=200),
    "few_rows": functools.partial(one_row, n=12, d=5),
    "five_rows": functools.partial(one_row, n=5, d=3),
    **{
        data.__name__: data
        for data in (
            same_row_of_both,
            other_rows_of_both,
            several_rows,
            a_tenth_of_the_rows,
            whole_row,
            beside_a_large_column,
            far_from_the_origin,
            first_row_of_related,
            of_unequal_rows,
        )
    },
}


def true_values(x, y, kernel, estimator):
    """HSIC of x with y, x, and y with itself, in extended precision."""
    k, l = (gram_of(z, kernel, np.longdouble) for z in (x, y))
    return [float(TRUE[estimator](a, b)) for a, b in ((k, l), (k, k), (l, l))]


def assert_within_limit(ours, truth, estimator):
    for value, expected, scale in zip(
        ours, truth, (math.sqrt(truth[1] * truth[2]), truth[1], truth[2]), strict=True
    ):
        assert abs(value - expected) <= LIMIT * scale, (value, expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_linear_hsic_of_float32_is_that_of_float64(data, size, estimator):
    x, y = DATA[data](size)
    truth = true_values(x, y, Linear(), estimator)
    for space in ("auto", "gram", "features"):
        xy, xx, yy = of_data(hsic_values([x], [y], [Linear()], [Linear()], estimator, space=space))
        assert_within_limit((xy[0, 0], xx[0], yy[0]), truth, estimator)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("data", [name for name in DATA if name != "many_rows"])
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_rbf_hsic_of_float32_is_that_of_float64(data, size, estimator):
    x, y = DATA[data](size)
    values = hsic_values([x], [y], [RBF()], [RBF()], estimator)
    truth = true_values(x, y, RBF(), estimator)
    assert_within_limit((values.xy[0, 0], values.xx[0], values.yy[0]), truth, estimator)


@pytest.mark.parametrize(("kernel", "size", "value"), [("linear", 1e5, -0.0396), ("rbf", 1e6, 0.3004)])
def test_one_value_of_one_row_does_not_cost_the_answer(kernel, size, value):
    """float32 gave -0.0102 and 0.108."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((100, 16))
    y = x[:, :8] + generator.standard_normal((100, 8))
    x[3, 2] = size
    x, y = x.astype(np.float32), y.astype(np.float32)
    expected = gramless.reference.cka(x.astype(np.float64), y.astype(np.float64), kernel=kernel)
    assert expected == pytest.approx(value, abs=5e-5)
    assert gramless.cka(x, y, kernel=kernel) == pytest.approx(expected, abs=LIMIT)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_every_instruction_set_sees_the_rows_far_away(backend, kernel):
    x, y = several_rows(1e5)
    xy, xx, yy = true_values(x, y, gramless.RBF() if kernel == "rbf" else Linear(), "unbiased")
    assert gramless.cka(x, y, kernel=kernel) == pytest.approx(xy / math.sqrt(xx * yy), abs=LIMIT)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_keep_their_digits_beside_an_outlier(dtype):
    x, y = (z.astype(dtype) for z in several_rows(6e4))
    xy, xx, yy = true_values(x, y, Linear(), "unbiased")
    assert gramless.cka(x, y) == pytest.approx(xy / math.sqrt(xx * yy), abs=LIMIT)


@pytest.mark.parametrize("kernel", [Linear(), RBF()], ids=str)
def test_matrices_and_minibatches_keep_their_digits_beside_an_outlier(kernel):
    layers = [*several_rows(1e5), *same_row_of_both(1e6)]
    truth = np.array([[true_values(a, b, kernel, "unbiased")[0] for b in layers] for a in layers])
    lengths = np.sqrt(np.diag(truth))
    np.testing.assert_allclose(
        gramless.cka_matrix(layers, kernel=kernel), truth / np.outer(lengths, lengths), rtol=0, atol=LIMIT
    )
    minibatches = gramless.MinibatchCKA(kernel=kernel)
    minibatches.update(layers)
    np.testing.assert_allclose(minibatches.compute(), truth / np.outer(lengths, lengths), rtol=0, atol=LIMIT)


def test_rows_of_one_value_beside_an_outlier_are_constant():
    """All entries off the diagonal of its Gram matrix are equal, so the normaliser is 0."""
    x, y = normal()
    x[:] = np.float32(0.1)
    x[3, 2] = 1e5
    with pytest.warns(RuntimeWarning):
        assert math.isnan(gramless.cka(x, y))


@pytest.mark.parametrize("size", [1e3, 1e5])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_gradients_of_float32_are_those_of_float64(kernel, estimator, size):
    torch = pytest.importorskip("torch")
    import torch_formulas as plain

    x, y = several_rows(size)
    sigma = gramless.median_distance(x.astype(np.float64)) if kernel == "rbf" else None
    ours = gramless.RBF(sigma=sigma) if sigma else "linear"

    def gradients(function, dtype):
        inputs = [torch.tensor(z, dtype=dtype, requires_grad=True) for z in (x, y)]
        return torch.autograd.grad(function(*inputs), inputs)

    def formula(a, b):
        middles = [z.detach().median(dim=0).values for z in (a, b)]  # a centre that no row moves
        return plain.cka(plain.gram(a - middles[0], sigma), plain.gram(b - middles[1], sigma), estimator)

    def errors(found):
        return [
            (torch.linalg.norm(gradient - expected) / torch.linalg.norm(expected)).item()
            for gradient, expected in zip(found, gradients(formula, torch.float64), strict=True)
        ]

    found = gradients(lambda a, b: gramless.cka(a, b, kernel=ours, estimator=estimator), torch.float32)
    naive = max(errors(gradients(formula, torch.float32)))
    assert max(errors(found)) <= min(2 * naive + FLOOR[np.dtype(np.float32)], 2 * LIMIT)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize(("n", "d", "row"), [(9, 187, 4), (5, 135, 0), (6, 31, 1), (60, 20, 0)])
def test_the_reference_keeps_its_digits_beside_a_far_row(n, d, row, estimator):
    """Few rows of many features, one of them at 1e6: the error was 8e-6."""
    generator = np.random.default_rng(n)
    x, y = generator.standard_normal((n, d)), generator.standard_normal((n, 3))
    x[row] *= 1e6
    xy, xx, yy = true_values(x - np.median(x, axis=0), y, Linear(), estimator)
    expected = xy / math.sqrt(xx * yy)
    for module in (gramless, gramless.reference):
        assert module.cka(x, y, estimator=estimator) == pytest.approx(expected, abs=1e-10)
        assert module.cka_matrix([x], [y], estimator=estimator)[0, 0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("sizes", [(3e6, 3e3), (1e6, 1e4), (1e7, 3e5, 1e4, 3e2)], ids=str)
def test_far_rows_of_several_sizes_leave_the_median_its_digits(sizes):
    """A row is recognised as far away only after rows further away are no longer in the mean."""
    x = np.random.default_rng(0).standard_normal((100, 29)).astype(np.float32)
    for i, size in enumerate(sizes):
        x[3 * i + 1, i] = size
    assert gramless.median_distance(x) == pytest.approx(
        gramless.median_distance(x.astype(np.float64)), rel=3e-7
    )
