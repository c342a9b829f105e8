"""From a certain number of rows on tiles are larger: the results must not change."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import RBF, Linear, reference

# Just above the number from which whole tiles are used, and no multiple of their rows.
MANY = {np.float32: 7700, np.float64: 3860}
every_dtype = pytest.mark.parametrize("dtype", MANY, ids=lambda dtype: dtype.__name__)
COPIES = 10


def few_rows(dtype, seed):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((MANY[dtype] // COPIES, 7)).astype(dtype)


@every_dtype
@pytest.mark.parametrize("kernel", [Linear(), RBF(sigma=2.0)], ids=repr)
def test_copies_of_all_rows_do_not_move_biased_cka(backend, dtype, kernel):
    x, y = few_rows(dtype, 0), few_rows(dtype, 1)
    y[:, 0] += x[:, 0]
    many_x, many_y = np.tile(x, (COPIES, 1)), np.tile(y, (COPIES, 1))
    limit = 1e-6 if dtype == np.float32 else 1e-12
    few = gramless.cka(x, y, kernel=kernel, estimator="biased")
    assert gramless.cka(many_x, many_y, kernel=kernel, estimator="biased") == pytest.approx(few, abs=limit)
    sweep = gramless.cka_matrix([many_x, many_y, many_x[::-1]], kernel=kernel)
    assert sweep[0, 1] == pytest.approx(gramless.cka(many_x, many_y, kernel=kernel), abs=limit)


@every_dtype
def test_copies_of_all_rows_do_not_move_the_median(backend, dtype):
    x = few_rows(dtype, 2)
    many = gramless.median_distance(np.tile(x, (COPIES, 1)), include_diagonal=True)
    few = gramless.median_distance(x, include_diagonal=True)
    assert many == pytest.approx(few, rel=1e-6 if dtype == np.float32 else 1e-14)


def views(dtype):
    generator = np.random.default_rng(3)
    a, noise = generator.standard_normal((2, MANY[dtype] // 2, 5))
    return a.astype(dtype), (a + 0.3 * noise).astype(dtype)


@pytest.fixture(scope="module")
def loss_of_many_rows():
    return reference.nt_xent_value_and_grad(*views(np.float64), temperature=0.2)


def test_contrastive_loss_and_gradients_of_many_rows_are_those_of_the_reference(backend, loss_of_many_rows):
    a, b = views(np.float64)
    ours = gramless.value_and_grad(gramless.nt_xent)(a, b, temperature=0.2)
    expected = loss_of_many_rows
    assert ours[0] == pytest.approx(expected[0], rel=1e-12)
    for one, other in zip(ours[1], expected[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * np.abs(other).max())


def test_float32_of_many_rows_is_as_good_as_of_few(backend):
    a, b = views(np.float32)
    ours = gramless.value_and_grad(gramless.nt_xent)(a, b, temperature=0.2)
    expected = gramless.value_and_grad(gramless.nt_xent)(a.astype(float), b.astype(float), temperature=0.2)
    assert ours[0] == pytest.approx(expected[0], rel=1e-6)
    for one, other in zip(ours[1], expected[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-6 * np.abs(other).max())


@pytest.mark.parametrize("kernel", [Linear(), RBF(sigma=2.0)], ids=repr)
def test_threads_do_not_change_a_bit_of_many_rows(kernel):
    x, y = (np.tile(few_rows(np.float32, seed), (COPIES, 1)) for seed in (4, 5))
    a, b = views(np.float32)
    answers = set()
    for threads in (1, 2, 3):
        gramless.set_num_threads(threads)
        loss, grads = gramless.value_and_grad(gramless.nt_xent)(a, b)
        answers.add((gramless.cka(x, y, kernel=kernel), loss, *(np.asarray(g).tobytes() for g in grads)))
    assert len(answers) == 1
