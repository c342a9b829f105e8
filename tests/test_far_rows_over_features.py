"""Linear HSIC of many rows, some of them far away: over features where float64 has the digits for it."""

from __future__ import annotations

from functools import cache

import gramless
import numpy as np
import pytest
from gramless import Linear, _core, value_and_grad
from gramless.kernels import encode
from test_feature_gradients import cka_of_tensors, gradients_of_tensors
from test_outlier_rows import assert_within_limit, true_values

torch = pytest.importorskip("torch")

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_estimator = pytest.mark.parametrize("estimator", ["biased", "unbiased"])


def rows(n=900, columns=7):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, columns))
    return generator, x, x[:, :3] + generator.standard_normal((n, 3))


def one_row_of_both(size):
    _, x, y = rows()
    x[3, 2], y[3, 1] = size, -size
    return x, y


def unequal_rows(spread):
    generator, x, y = rows()
    return x * np.exp(spread * generator.standard_normal((len(x), 1))), y


def cauchy():
    generator, _, y = rows()
    return generator.standard_cauchy((len(y), 5)), y


def one_column():
    """Of the rows of a normal column, a fifth is more than three times as long as the median."""
    _, x, y = rows()
    return x, y[:, :1] + 1000


DATA = {
    "one row at 300": lambda: one_row_of_both(300),
    "one row at 3,000": lambda: one_row_of_both(3000),
    "a row of x at 1,000": lambda: (one_row_of_both(1000)[0], rows()[2]),
    "unequal rows": lambda: unequal_rows(2),
    "very unequal rows": lambda: unequal_rows(4),
    "Cauchy": cauchy,
    "one column": one_column,
}
OVER_PAIRS = {  # where float64 has too few digits for what a dtype has
    np.float32: {"very unequal rows"},
    np.float64: {"very unequal rows", "unequal rows", "one row at 3,000", "a row of x at 1,000"},
}


@cache
def data_and_truth(name, dtype, estimator):
    """The same for every instruction set."""
    x, y = (z.astype(dtype) for z in DATA[name]())
    return x, y, true_values(x, y, Linear(), estimator)


def over_features(x, y, estimator):
    """Whether HSIC was computed over features, without row sums of a Gram matrix."""
    kernels = [encode(Linear())]
    return _core.hsic_forward([x], [y], kernels, kernels, estimator)[1].size == 0


@pytest.mark.parametrize("name", DATA)
@every_dtype
@every_estimator
def test_values_are_those_of_all_digits(backend, name, dtype, estimator):
    x, y, truth = data_and_truth(name, dtype, estimator)
    found = [gramless.hsic(a, b, estimator=estimator) for a, b in ((x, y), (x, x), (y, y))]
    assert_within_limit(found, truth, estimator)
    assert over_features(x, y, estimator) == (name not in OVER_PAIRS[dtype])


@pytest.mark.parametrize("size", [1e7, 1e10])
def test_where_float64_loses_digits_too_the_sums_are_over_pairs_of_rows(size):
    x, y = (z.astype(np.float32) for z in one_row_of_both(size))
    assert not over_features(x, y, "unbiased")


@pytest.mark.parametrize("name", DATA)
@every_dtype
@every_estimator
def test_gradients_are_those_of_gram_matrices(name, dtype, estimator):
    arrays = [z[:400].astype(dtype) for z in DATA[name]()]
    truth = gradients_of_tensors(lambda x, y: cka_of_tensors(x, y, estimator), arrays, torch.float64)
    found = value_and_grad(gramless.cka)(*arrays, estimator=estimator)[1]
    for ours, true in zip(found, truth, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(
            ours, true, rtol=0, atol=(1e-6 if dtype == np.float32 else 1e-10) * np.abs(true).max()
        )


def test_threads_and_a_sweep_in_parts_change_no_bit(tmp_path):
    layers = [z.astype(np.float32) for name in ("unequal rows", "one row at 300") for z in DATA[name]()]
    found = []
    for threads in (1, 2, 5):
        gramless.set_num_threads(threads)
        found += [
            gramless.cka_matrix(layers),
            gramless.cka_matrix(layers, checkpoint=tmp_path / f"{threads}.npz"),
        ]
    assert len({matrix.tobytes() for matrix in found}) == 1
