"""The contrastive losses: extremes, late training, determinism, losses against each other."""

from __future__ import annotations

import math

import gramless
import naive_losses
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference
from loss_views import assert_near, every_dtype, flat, labels_of, views

ALL_PAIRS = ["nt_xent", "dcl", "info_nce"]
TEMPERATURES = [0.005, 0.05, 0.5, 10.0, -0.3]


def everything(n, d, dtype, seed=0):
    """Every loss with its gradients, over views whose rows are not whole tiles."""
    a, b = views(n, d, dtype, seed=seed)
    queue, teacher = (views(n // 2 + 1, d, dtype, seed=1)[0], views(n, d, dtype, seed=2)[0])
    return [
        gramless.value_and_grad(gramless.nt_xent)(a, b),
        gramless.value_and_grad(gramless.nt_xent)(a, b, temperature=0.005),
        gramless.value_and_grad(gramless.nt_xent)(a, b, normalize=False, exclude_above=0.9),
        gramless.value_and_grad(gramless.dcl)(a, b, exclude_hardest=0.1),
        gramless.value_and_grad(gramless.sup_con)(a, labels_of(n)),
        with_grads(gramless, "info_nce")(a, b, queue, symmetric=True),
        gramless.value_and_grad(gramless.similarity_distillation)(a, teacher, queue),
        with_grads(gramless, "row_log_sum_exp")(a, exclude_self=True),
        with_grads(gramless, "row_log_sum_exp")(a, queue),
    ]


@every_dtype
@pytest.mark.parametrize("shape", [(47, 5), (193, 40), (500, 64)], ids=str)
def test_threads_do_not_change_a_bit(backend, dtype, shape):
    answers = set()
    for threads in (1, 2, 3, 7):
        gramless.set_num_threads(threads)
        answers.add(b"".join(flat(result).tobytes() for result in everything(*shape, dtype)))
    assert len(answers) == 1


@every_dtype
def test_every_instruction_set_finds_the_same_digits(backend, dtype):
    a, b = views(97, 33, dtype)
    for temperature in TEMPERATURES:
        assert_near(
            gramless.value_and_grad(gramless.nt_xent)(a, b, temperature=temperature),
            reference.nt_xent_value_and_grad(a, b, temperature=temperature),
            dtype,
        )


@every_dtype
def test_losses_alone_are_the_losses_beside_gradients(dtype):
    a, b = views(50, 9, dtype)
    for name, arrays in [
        ("nt_xent", (a, b)),
        ("dcl", (a, b)),
        ("sup_con", (a, labels_of(50))),
        ("info_nce", (a, b, a[:7])),
        ("similarity_distillation", (a, b, b[:9])),
    ]:
        for reduction in ("mean", "sum"):
            value = getattr(gramless, name)(*arrays, reduction=reduction)
            assert value == pytest.approx(
                with_grads(gramless, name)(*arrays, reduction=reduction)[0], rel=1e-14
            )
            losses = getattr(gramless, name)(*arrays, reduction="none")
            counted = np.sum(losses != 0) if reduction == "mean" else 1
            assert value == pytest.approx(losses.sum() / counted, rel=1e-14)


@every_dtype
@pytest.mark.parametrize("queued", [0, 7])
def test_a_symmetric_loss_is_the_mean_of_both_directions(dtype, queued):
    a, b = views(50, 9, dtype)
    queue = a[:queued] if queued else None
    there, back = gramless.info_nce(a, b, queue), gramless.info_nce(b, a)
    assert gramless.info_nce(a, b, queue, symmetric=True) == pytest.approx((there + back) / 2, rel=1e-6)
    beside, _ = with_grads(gramless, "info_nce")(a, b, queue, symmetric=True)
    assert beside == pytest.approx((there + back) / 2, rel=1e-6)


def late_in_training(generator, n, d, noise):
    """Two similar views of well-separated examples, as from a trained encoder."""
    base = generator.standard_normal((n, d))
    return [(base + noise * generator.standard_normal((n, d))).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [128, 512])
def test_float32_gradients_late_in_training_are_right_to_5e_6(n, seed):
    """At a loss of about 1e-3 and temperature 0.05, where computing 1 - P(positive) would cancel."""
    a, b = late_in_training(np.random.default_rng(seed), n, 128, 0.6 if n == 128 else 0.52)
    loss, (grad_a, grad_b, by_temperature) = gramless.value_and_grad(gramless.nt_xent)(a, b, temperature=0.05)
    expected, (true_a, true_b, true_by_temperature) = reference.nt_xent_value_and_grad(a, b, temperature=0.05)
    assert 5e-4 < expected < 2e-3
    assert loss == pytest.approx(expected, rel=5e-6)
    assert by_temperature == pytest.approx(true_by_temperature, rel=1e-5)

    def error(grads):
        ours, truth = np.concatenate(grads), np.concatenate([true_a, true_b])
        return np.linalg.norm(ours - truth) / np.linalg.norm(truth)

    assert error([grad_a, grad_b]) <= 5e-6
    _, naive, _ = naive_losses.nt_xent(a, b, np.float32(0.05), True)
    assert error(naive) > 2e-5  # so that this test could fail


@every_dtype
@pytest.mark.parametrize("temperature", [*TEMPERATURES, -0.005])
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
@pytest.mark.parametrize("name", ALL_PAIRS)
def test_rows_that_are_all_equal(name, normalize, temperature, dtype):
    """log(2n - 1) for NT-Xent, whatever the temperature, and no gradient."""
    a = np.full((50, 8), 0.5, dtype)
    options = {"temperature": temperature, "normalize": normalize}
    ours = with_grads(gramless, name)(a, a, **options)
    expected = {"nt_xent": math.log(99), "dcl": math.log(98), "info_nce": math.log(50)}[name]
    assert ours[0] == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-13)
    slope = 1 / abs(temperature)
    assert np.abs(flat(ours[1][:2])).max() <= (1e-6 if dtype == np.float32 else 1e-14) * slope


@every_dtype
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", ALL_PAIRS)
def test_identical_views(name, temperature, dtype):
    a, _ = views(60, 7, dtype)
    ours, expected = (
        with_grads(module, name)(a, a, temperature=temperature) for module in (gramless, reference)
    )
    assert np.isfinite(flat(ours)).all()
    assert_near(ours, expected, dtype)


@every_dtype
@pytest.mark.parametrize("name", ALL_PAIRS)
def test_zero_rows_stay_zero_and_have_a_finite_gradient(name, dtype):
    a, b = views(20, 5, dtype)
    a[3] = b[7] = 0
    ours, expected = (with_grads(module, name)(a, b) for module in (gramless, reference))
    assert np.isfinite(flat(ours)).all()
    assert_near((ours[0], ()), (expected[0], ()), dtype)
    assert np.abs(ours[1][0][3]).max() == pytest.approx(np.abs(expected[1][0][3]).max(), rel=1e-4)


@every_dtype
def test_all_zero_rows_are_all_equal(dtype):
    a = np.zeros((4, 3), dtype)
    loss, gradients = gramless.value_and_grad(gramless.nt_xent)(a, a)
    assert loss == pytest.approx(math.log(7), rel=1e-6)
    assert np.all(flat(gradients) == 0)


@every_dtype
@pytest.mark.parametrize("exclusion", [{}, {"exclude_above": 0.5}, {"exclude_hardest": 0.2}], ids=str)
@pytest.mark.parametrize("temperature", [0.005, 0.5])
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
def test_nan_rows_give_nan_exactly_where_the_reference_has_it(dtype, normalize, temperature, exclusion):
    a, b = views(30, 5, dtype)
    a[4, 2] = np.nan
    options = {"normalize": normalize, "temperature": temperature} | exclusion
    for name, arrays in [
        ("nt_xent", (a, b)),
        ("dcl", (a, b)),
        ("sup_con", (a, labels_of(30))),
        ("info_nce", (a, b)),
        ("info_nce", (b, a)),
        ("row_log_sum_exp", (a, b)),
        ("row_log_sum_exp", (b, a)),
    ]:
        if name == "row_log_sum_exp":
            ours, expected = (
                getattr(module, name)(*arrays, temperature=temperature, normalize=normalize)
                for module in (gramless, reference)
            )
        else:
            ours, expected = (
                getattr(module, name)(*arrays, reduction="none", **options)
                for module in (gramless, reference)
            )
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected), err_msg=name)
        assert np.isnan(ours).any()
    assert np.isnan(flat(gramless.value_and_grad(gramless.nt_xent)(a, b, **options))).all()


@every_dtype
def test_one_example_and_one_column(dtype):
    a, b = np.array([[2]], dtype), np.array([[-3]], dtype)
    assert gramless.nt_xent(a, b) == 0
    assert gramless.info_nce(a, b, symmetric=True) == 0
    assert gramless.dcl(a, b) == -math.inf
    assert gramless.sup_con(a, [0]) == 0
    assert gramless.row_log_sum_exp(a, exclude_self=True)[0] == -math.inf
    for name in ("nt_xent", "info_nce"):
        assert np.all(flat(with_grads(gramless, name)(a, b)) == 0)


def test_sup_con_of_instances_is_nt_xent():
    a, b = views(70, 12)
    loss, (grad, by_temperature) = gramless.value_and_grad(gramless.sup_con)(
        np.concatenate([a, b]), np.tile(np.arange(70), 2), temperature=0.2
    )
    expected = gramless.value_and_grad(gramless.nt_xent)(a, b, temperature=0.2)
    assert_near((loss, (*np.split(grad, 2), by_temperature)), expected, np.float64)


def test_sup_con_takes_several_views_text_and_many_classes():
    z = np.concatenate(views(60, 12))
    for labels in (
        np.tile(np.arange(40), 3),
        np.array(["cat", "dog", "cow"])[np.arange(120) % 3],
        np.zeros(120, int),
    ):
        assert_near(
            gramless.value_and_grad(gramless.sup_con)(z, labels),
            reference.sup_con_value_and_grad(z, labels),
            np.float64,
        )


def test_weights_of_the_log_sum_exp_make_other_losses():
    """The gradient of sum_i c_i log sum_j exp(s_ij), which autograd would give."""
    x, y = views(40, 6)
    weights = np.random.default_rng(0).standard_normal(40)
    options = {"weights": weights, "temperature": 0.3}
    for other in (y, None):
        assert_near(
            with_grads(gramless, "row_log_sum_exp")(x, other, **options),
            reference.row_log_sum_exp_value_and_grad(x, other, **options),
            np.float64,
        )
