"""Properties of contrastive losses and of their gradients for any embeddings, which hypothesis chooses."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gradients import with_grads
from hypothesis import given
from hypothesis import strategies as st

RELATIVE, ABSOLUTE = 1e-9, 1e-11

VIEWS = {
    "nt_xent": {},
    "dcl": {},
    "nt_xent_threshold": {"exclude_above": 0.3},
    "dcl_threshold": {"exclude_above": 0.3},
}
every_loss_of_views = pytest.mark.parametrize("name", VIEWS)


def close(value):
    return pytest.approx(value, rel=RELATIVE, abs=ABSOLUTE)


def rotation(generator, d):
    return np.linalg.qr(generator.standard_normal((d, d)))[0]


@st.composite
def views(draw, least_rows=2):
    """Two views, related or not, some rows long and some short, at any usual temperature."""
    n, d = draw(st.integers(least_rows, 40)), draw(st.integers(1, 24))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    z_a = generator.standard_normal((n, d))
    z_b = generator.standard_normal((n, d)) + draw(st.sampled_from([0.0, 1.0, 30.0])) * z_a
    z_a *= generator.choice([0.1, 1.0, 10.0], (n, 1))
    return z_a, z_b, draw(st.sampled_from([0.02, 0.1, 0.5, 2.0, -1.0])), generator


def value_and_grad(name, z_a, z_b, **options):
    function = with_grads(gramless, name.split("_threshold")[0])
    loss, (grad_a, grad_b, by_temperature) = function(z_a, z_b, **VIEWS[name], **options)
    return loss, grad_a, grad_b, by_temperature


def assert_same(found, expected):
    """Relative to the largest entry of each answer: small ones are differences of large."""
    for ours, theirs in zip(found, expected, strict=True):
        largest = np.max(np.abs(theirs))
        assert ours == pytest.approx(theirs, rel=RELATIVE, abs=RELATIVE * largest + ABSOLUTE)


@every_loss_of_views
@given(views())
def test_the_order_of_examples_decides_nothing(name, made):
    z_a, z_b, temperature, generator = made
    loss, grad_a, grad_b, by_temperature = value_and_grad(name, z_a, z_b, temperature=temperature)
    order = generator.permutation(len(z_a))
    shuffled = value_and_grad(name, z_a[order], z_b[order], temperature=temperature)
    assert_same(shuffled, (loss, grad_a[order], grad_b[order], by_temperature))


@every_loss_of_views
@given(views())
def test_views_may_be_exchanged(name, made):
    z_a, z_b, temperature, generator = made
    loss, grad_a, grad_b, by_temperature = value_and_grad(name, z_a, z_b, temperature=temperature)
    swapped = value_and_grad(name, z_b, z_a, temperature=temperature)
    assert_same(swapped, (loss, grad_b, grad_a, by_temperature))
    some = generator.random((len(z_a), 1)) < 0.5  # or those of some examples alone
    mixed = np.where(some, z_b, z_a), np.where(some, z_a, z_b)
    expected = np.where(some, grad_b, grad_a), np.where(some, grad_a, grad_b)
    assert_same(value_and_grad(name, *mixed, temperature=temperature), (loss, *expected, by_temperature))


@pytest.mark.parametrize("name", ["nt_xent", "dcl"])
@pytest.mark.parametrize("normalize", [True, False])
@given(views())
def test_gradients_turn_with_the_embeddings(name, normalize, made):
    z_a, z_b, temperature, generator = made
    if not normalize:
        z_a, z_b = z_a / 10, z_b / 30
    options = {"temperature": temperature, "normalize": normalize}
    turn = rotation(generator, z_a.shape[1])
    loss, grad_a, grad_b, by_temperature = value_and_grad(name, z_a, z_b, **options)
    turned = value_and_grad(name, z_a @ turn, z_b @ turn, **options)
    assert_same(turned, (loss, grad_a @ turn, grad_b @ turn, by_temperature))


@every_loss_of_views
@given(views())
def test_the_length_of_normalised_rows_decides_nothing(name, made):
    z_a, z_b, temperature, generator = made
    loss, grad_a, grad_b, by_temperature = value_and_grad(name, z_a, z_b, temperature=temperature)
    lengths = 2.0 ** generator.integers(-8, 8, (len(z_a), 1))  # powers of two: rows are bitwise-identical
    longer = value_and_grad(name, z_a * lengths, z_b, temperature=temperature)
    assert_same(longer, (loss, grad_a / lengths, grad_b, by_temperature))
    scale = np.linalg.norm(z_a, axis=1) * np.linalg.norm(grad_a, axis=1)
    assert np.all(np.abs(np.sum(grad_a * z_a, axis=1)) <= RELATIVE * scale + ABSOLUTE)


@pytest.mark.parametrize("name", ["nt_xent", "dcl"])
@given(views(), st.sampled_from([0.5, 4.0]))
def test_longer_rows_are_a_lower_temperature(name, made, factor):
    """Without normalisation: logits are <z_i, z_j> / temperature."""
    z_a, z_b, temperature, _ = made
    z_a, z_b = z_a / 10, z_b / 30
    options = {"normalize": False}
    loss, grad_a, grad_b, by_temperature = value_and_grad(name, z_a, z_b, temperature=temperature, **options)
    scaled = value_and_grad(name, factor * z_a, factor * z_b, temperature=factor**2 * temperature, **options)
    assert_same(scaled, (loss, grad_a / factor, grad_b / factor, by_temperature / factor**2))
    along = np.sum(grad_a * z_a) + np.sum(grad_b * z_b)  # Euler: scaling the rows and the temperature cancel
    size = np.sum(np.abs(grad_a * z_a)) + np.sum(np.abs(grad_b * z_b))
    assert along + 2 * temperature * by_temperature == pytest.approx(0, abs=RELATIVE * size + ABSOLUTE)


@given(views(), st.integers(2, 5))
def test_sup_con_knows_neither_the_names_nor_the_order_of_classes(made, classes):
    z, _, temperature, generator = made
    labels = generator.integers(0, classes, len(z))
    loss, (grad, by_temperature) = gramless.value_and_grad(gramless.sup_con)(
        z, labels, temperature=temperature
    )
    order, names = generator.permutation(len(z)), generator.permutation(classes) * 7 - 3
    found, (grad_found, temperature_found) = gramless.value_and_grad(gramless.sup_con)(
        z[order], names[labels[order]], temperature=temperature
    )
    assert_same((found, grad_found, temperature_found), (loss, grad[order], by_temperature))


@pytest.mark.parametrize("symmetric", [False, True])
@given(views(), st.integers(1, 20))
def test_info_nce_knows_no_order_of_queue_or_pairs(symmetric, made, queued):
    anchors, keys, temperature, generator = made
    queue = generator.standard_normal((queued, anchors.shape[1]))
    options = {"temperature": temperature, "symmetric": symmetric}
    loss, grads = with_grads(gramless, "info_nce")(anchors, keys, queue, **options)
    order, turn = generator.permutation(len(anchors)), rotation(generator, anchors.shape[1])
    shuffled = with_grads(gramless, "info_nce")(
        anchors[order] @ turn, keys[order] @ turn, queue[generator.permutation(queued)] @ turn, **options
    )
    expected = (loss, grads[0][order] @ turn, grads[1][order] @ turn, grads[2])
    assert_same((shuffled[0], *shuffled[1]), expected)


@given(views())
def test_symmetric_info_nce_may_exchange_its_sides(made):
    anchors, keys, temperature, _ = made
    options = {"temperature": temperature, "symmetric": True}
    loss, grads = with_grads(gramless, "info_nce")(anchors, keys, **options)
    swapped, grads_swapped = with_grads(gramless, "info_nce")(keys, anchors, **options)
    assert_same((swapped, *grads_swapped), (loss, grads[1], grads[0], grads[2]))


@given(views())
def test_more_negatives_never_lower_a_loss(made):
    anchors, keys, temperature, generator = made
    queue = generator.standard_normal((5, anchors.shape[1]))
    fewer = gramless.info_nce(anchors, keys, temperature=temperature, reduction="none")
    more = gramless.info_nce(anchors, keys, queue, temperature=temperature, reduction="none")
    assert np.all(more >= fewer * (1 - 1e-12))
    assert np.all(fewer >= 0)


@given(views())
def test_a_log_sum_exp_of_everything_twice_is_larger_by_log_2(made):
    x, y, temperature, _ = made
    x, y = x / 10, y / 30
    once = gramless.row_log_sum_exp(x, y, temperature=temperature)
    twice = gramless.row_log_sum_exp(x, np.vstack([y, y]), temperature=temperature)
    assert twice == close(once + np.log(2))


@given(views(least_rows=3))
def test_distillation_knows_no_order_of_the_queue(made):
    student, teacher, _, generator = made
    queue_student = generator.standard_normal((9, student.shape[1]))
    queue_teacher = generator.standard_normal((9, student.shape[1]))
    options = {"temperature": 0.3, "teacher_temperature": 0.1}
    function = gramless.value_and_grad(gramless.similarity_distillation)
    loss, grads = function(student, teacher, queue_student, queue_teacher, **options)
    order, turn = generator.permutation(9), rotation(generator, student.shape[1])
    shuffled, grads_shuffled = function(
        student @ turn, teacher, queue_student[order] @ turn, queue_teacher[order], **options
    )
    assert_same((shuffled, grads_shuffled[0]), (loss, grads[0] @ turn))
