"""The naive contrastive losses at their limits: exclusions, ties, zero rows, extreme temperatures, NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gramless import reference
from test_contrastive_reference import EXCLUSIONS, LABELS, embeddings, views


def test_exclude_above_leaves_out_negatives_alone():
    """Positives are never left out; without any negative the loss is 0."""
    a, b = views()
    assert reference.nt_xent(a, b, exclude_above=1.1) == reference.nt_xent(a, b)
    loss, gradients = reference.nt_xent_value_and_grad(a, b, exclude_above=-1.1)
    assert loss == 0
    assert all(np.all(np.asarray(gradient) == 0) for gradient in gradients)


def test_exclude_hardest_leaves_out_the_most_similar():
    """Of four keys at cosines 1 (the positive), 0.8, 0.6 and 0, a third of the three negatives is one."""
    keys = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1.0]])
    anchors = np.repeat(keys[:1], 4, axis=0)

    def loss(*negatives):
        return math.log(sum(math.exp(s) for s in (1, *negatives))) - 1

    for fraction, expected in [
        (0, loss(0.8, 0.6, 0)),
        (0.01, loss(0.6, 0)),  # less than one: one
        (0.33, loss(0.6, 0)),
        (0.34, loss(0.6, 0)),
        (0.67, loss(0)),
        (1, 0),
    ]:
        losses = reference.info_nce(anchors, keys, temperature=1, exclude_hardest=fraction, reduction="none")
        assert losses[0] == pytest.approx(expected, rel=1e-14)


def test_ties_at_the_threshold_are_all_left_out():
    a = np.ones((3, 2))
    assert reference.nt_xent(a, a, exclude_hardest=0.25) == 0  # k = 1 of 4 equal negatives
    assert reference.nt_xent(a, a, exclude_hardest=0.01) == 0  # at least one
    assert reference.nt_xent(a, a, exclude_hardest=0) == pytest.approx(math.log(5))


def test_rows_without_a_positive_are_not_counted():
    (z,) = embeddings((9, 4))
    losses = reference.sup_con(z, LABELS, reduction="none")
    assert [i for i in range(9) if losses[i] == 0] == [3, 6, 8]
    assert reference.sup_con(z, np.arange(9)) == 0
    assert np.all(reference.sup_con_value_and_grad(z, np.arange(9))[1][0] == 0)


def test_one_example_and_one_dimension_are_legal():
    a, b = np.array([[2.0]]), np.array([[-3.0]])
    assert reference.nt_xent(a, b) == 0
    assert reference.info_nce(a, b, symmetric=True) == 0
    assert reference.dcl(a, b) == -math.inf
    assert reference.row_log_sum_exp(a, exclude_self=True)[0] == -math.inf
    assert reference.nt_xent(*views(5, 1)) > 0


def test_zero_rows_stay_zero_and_have_a_finite_gradient():
    a, b = views()
    a[2] = 0
    loss, gradients = reference.nt_xent_value_and_grad(a, b)
    assert math.isfinite(loss)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    moved = a.copy()
    moved[2, 1] = 1e-15  # the norm is taken as 1e-12 there
    slope = (reference.nt_xent(moved, b) - loss) / 1e-15
    assert gradients[0][2, 1] == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("temperature", [1e-3, 5e-3, 0.05, 10, -1e-3])
@pytest.mark.parametrize("name", ["nt_xent", "info_nce"])
def test_extreme_temperatures_give_finite_losses_and_gradients(name, temperature):
    a, b = views()
    loss, gradients = getattr(reference, name + "_value_and_grad")(a, b, temperature=temperature)
    assert math.isfinite(loss)
    assert loss >= 0
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_late_in_training_the_gradient_keeps_its_digits():
    """Against the same in extended precision, at a loss of about 1e-12."""
    generator = np.random.default_rng(0)
    a = np.eye(8) + 0.01 * generator.standard_normal((8, 8))
    b = a + 0.01 * generator.standard_normal((8, 8))
    loss, (d_a, d_b, _) = reference.nt_xent_value_and_grad(a, b, temperature=0.04, normalize=False)
    assert 1e-13 < loss < 1e-9
    z = np.concatenate([a, b]).astype(np.longdouble)
    s = z @ z.T / np.longdouble(0.04)
    e = np.where(np.eye(16, dtype=bool), 0, np.exp(s))
    p = e / e.sum(1, keepdims=True)
    g = p - np.eye(16)[np.roll(np.arange(16), 8)]
    partner = (np.arange(16), np.roll(np.arange(16), 8))
    g[partner] = 0
    g[partner] = -g.sum(1)  # rows add to 0, so that nothing cancels
    expected = (g + g.T) @ z / np.longdouble(0.04) / 16
    error = np.abs(np.concatenate([d_a, d_b]) - expected).max() / np.abs(expected).max()
    assert error < 1e-12


def test_nan_rows_give_nan_where_they_meet():
    a, b = views()
    a[1, 2] = np.nan
    assert math.isnan(reference.nt_xent(a, b))
    losses = reference.info_nce(a, b, reduction="none")
    assert [i for i in range(6) if math.isnan(losses[i])] == [1]
    assert np.isnan(reference.info_nce(b, a, reduction="none")).all()
    for options in EXCLUSIONS:
        assert np.isnan(reference.info_nce(b, a, reduction="none", **options)).all()
