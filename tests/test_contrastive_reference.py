"""The reference losses: gradients against differences, losses against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gramless import reference

SELF_LOSSES = ["nt_xent", "dcl"]
EXCLUSIONS = [{}, {"exclude_above": 0.3}, {"exclude_hardest": 0.3}]


def embeddings(*shapes, seed=0):
    generator = np.random.default_rng([seed, *(extent for shape in shapes for extent in shape)])
    return [generator.standard_normal(shape) for shape in shapes]


def views(n=6, d=4, noise=0.5, seed=0):
    base, a, b = embeddings((n, d), (n, d), (n, d), seed=seed)
    return base + noise * a, base + noise * b


LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 1, 9])
QUEUE, TEACHER, TEACHER_QUEUE = embeddings((7, 4), (6, 3), (7, 3), seed=9)
CASES = {  # function of the arrays that have a gradient, the arrays, its options
    "nt_xent": ("nt_xent", views(), (), {}),
    "dcl": ("dcl", views(), (), {}),
    "sup_con": ("sup_con", embeddings((9, 4)), (LABELS,), {}),
    "info_nce": ("info_nce", views(), (), {}),
    "info_nce_queue": ("info_nce", views(), (QUEUE,), {}),
    "info_nce_symmetric": ("info_nce", views(), (), {"symmetric": True}),
    "info_nce_symmetric_queue": ("info_nce", views(), (QUEUE,), {"symmetric": True}),
    "distillation": (
        "similarity_distillation",
        embeddings((6, 4)),
        (TEACHER, QUEUE, TEACHER_QUEUE),
        {"teacher_temperature": 0.3},
    ),
}


def differences(function, arrays, step=1e-5):
    """The gradient of function(*arrays) with respect to all entries, from central differences."""
    gradients = []
    for which, array in enumerate(arrays):
        gradient = np.zeros(array.shape)
        for entry in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = [np.array(a) for a in arrays]
                moved[which][entry] += sign * step
                values.append(function(*moved))
            gradient[entry] = (values[0] - values[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


@pytest.mark.parametrize("exclusion", EXCLUSIONS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("temperature", [0.4, -0.7, 3.0])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_central_differences(case, temperature, normalize, reduction, exclusion):
    name, arrays, constants, options = CASES[case]
    if name == "similarity_distillation":
        exclusion = {}
    options = options | exclusion | {"normalize": normalize, "reduction": reduction}
    loss, (*gradients, by_temperature) = getattr(reference, name + "_value_and_grad")(
        *arrays, *constants, temperature=temperature, **options
    )

    def value(*inputs):
        *rows, tau = inputs
        return getattr(reference, name)(*rows, *constants, temperature=tau, **options)

    inputs = [*arrays, np.array(temperature)]
    assert loss == pytest.approx(value(*inputs), rel=1e-12)
    assert len(gradients) == len(arrays)
    for ours, expected in zip([*gradients, by_temperature], differences(value, inputs), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("y", "options"),
    [
        (None, {}),
        (None, {"exclude_self": True}),
        (None, {"normalize": True}),
        (QUEUE, {}),
        (QUEUE, {"normalize": True}),
    ],
    ids=["self", "others", "self_unit", "queue", "queue_unit"],
)
def test_gradients_of_the_log_sum_exp_are_central_differences(y, options):
    x, weights = embeddings((5, 4), (5,))
    _, gradients = reference.row_log_sum_exp_value_and_grad(x, y, weights=weights, temperature=0.6, **options)
    inputs = [x, *([] if y is None else [y]), np.array(0.6)]

    def value(*inputs):
        *rows, tau = inputs
        return weights @ reference.row_log_sum_exp(*rows, temperature=tau, **options)

    ours = [gradient for gradient in gradients if gradient is not None]
    for gradient, expected in zip(ours, differences(value, inputs), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("exclusion", EXCLUSIONS, ids=str)
def test_sup_con_of_instances_is_nt_xent(exclusion, normalize):
    a, b = views()
    options = exclusion | {"temperature": 0.3, "normalize": normalize}
    labels = np.tile(np.arange(len(a)), 2)
    loss, (d_z, by_temperature) = reference.sup_con_value_and_grad(np.concatenate([a, b]), labels, **options)
    expected, (d_a, d_b, expected_by_temperature) = reference.nt_xent_value_and_grad(a, b, **options)
    assert loss == expected
    assert by_temperature == expected_by_temperature
    np.testing.assert_array_equal(d_z, np.concatenate([d_a, d_b]))


def test_symmetric_info_nce_is_the_mean_of_both_directions():
    a, b = views()
    both = reference.info_nce_value_and_grad(a, b, symmetric=True)
    one, other = reference.info_nce_value_and_grad(a, b), reference.info_nce_value_and_grad(b, a)
    assert both[0] == pytest.approx((one[0] + other[0]) / 2, rel=1e-14)
    np.testing.assert_allclose(both[1][0], (one[1][0] + other[1][1]) / 2, atol=1e-14)
    np.testing.assert_allclose(both[1][1], (one[1][1] + other[1][0]) / 2, atol=1e-14)


def test_a_queue_is_more_keys():
    """Of the losses over [keys; queue] as keys, those of the first n anchors."""
    a, b = views()
    assert reference.info_nce(a, b, QUEUE) == pytest.approx(
        np.mean(
            reference.info_nce(np.concatenate([a, QUEUE]), np.concatenate([b, QUEUE]), reduction="none")[:6]
        )
    )


def test_dcl_differs_from_nt_xent_by_the_positive():
    """exp(nt_xent_i) = exp(dcl_i) + 1: the sum with the positive, over the positive."""
    a, b = views()
    one, other = (getattr(reference, name)(a, b, temperature=0.3, reduction="none") for name in SELF_LOSSES)
    np.testing.assert_allclose(np.exp(one), np.exp(other) + 1, rtol=1e-12)


def test_nt_xent_is_the_cross_entropy_of_a_softmax():
    """Written out, anchor by anchor."""
    a, b = views()
    z = np.concatenate([a, b])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(12):
        others = [math.exp(z[i] @ z[j] / 0.3) for j in range(12) if j != i]
        losses.append(-math.log(math.exp(z[i] @ z[(i + 6) % 12] / 0.3) / sum(others)))
    np.testing.assert_allclose(reference.nt_xent(a, b, temperature=0.3, reduction="none"), losses, rtol=1e-12)


def test_sup_con_averages_the_logarithms_and_not_the_probabilities():
    """L_out of the paper, written out; its L_in would average inside the logarithm."""
    (z,) = embeddings((9, 4))
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(9):
        total = sum(math.exp(unit[i] @ unit[j] / 0.3) for j in range(9) if j != i)
        own = [j for j in range(9) if j != i and LABELS[j] == LABELS[i]]
        if own:
            losses.append(np.mean([-math.log(math.exp(unit[i] @ unit[j] / 0.3) / total) for j in own]))
    assert len(losses) == 6
    assert reference.sup_con(z, LABELS, temperature=0.3) == pytest.approx(np.mean(losses), rel=1e-12)


def test_distillation_of_a_network_into_itself_is_the_entropy_and_has_no_gradient():
    (z,) = embeddings((6, 4))
    options = {"temperature": 0.3, "teacher_temperature": 0.3}
    value, (d_z, by_temperature) = reference.similarity_distillation_value_and_grad(z, z, QUEUE, **options)
    log_sum = reference.row_log_sum_exp(z, QUEUE, temperature=0.3, normalize=True)
    unit, queue = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (z, QUEUE))
    p = np.exp(unit @ queue.T / 0.3 - log_sum[:, None])
    assert value == pytest.approx(-np.mean(np.sum(p * np.log(p), axis=1)), rel=1e-12)
    assert np.abs(d_z).max() < 1e-15
    assert abs(by_temperature) < 1e-14


def test_row_log_sum_exp_is_the_denominator_of_nt_xent():
    a, b = views()
    z = np.concatenate([a, b])
    log_sum = reference.row_log_sum_exp(z, temperature=0.3, normalize=True, exclude_self=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    positive = np.sum(z * np.roll(z, 6, axis=0), axis=1) / 0.3
    np.testing.assert_allclose(
        reference.nt_xent(a, b, temperature=0.3, reduction="none"), log_sum - positive, rtol=1e-12
    )


@pytest.mark.parametrize("name", ["nt_xent", "dcl", "info_nce", "sup_con"])
def test_reductions_agree(name):
    arrays = (views()[0], LABELS[:6]) if name == "sup_con" else views()
    losses = getattr(reference, name)(*arrays, reduction="none")
    counted = np.sum(losses != 0)
    assert getattr(reference, name)(*arrays, reduction="sum") == pytest.approx(losses.sum(), rel=1e-14)
    assert getattr(reference, name)(*arrays) == pytest.approx(losses.sum() / counted, rel=1e-14)
