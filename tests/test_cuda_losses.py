"""Losses of arrays of a GPU, or of a stand-in for one, and their gradients: see test_cuda_arrays.py."""

from __future__ import annotations

from functools import partial

import gramless
import numpy as np
import pytest
from gradients import with_grads
from test_cuda_arrays import assert_same, rows

every_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
LABELS = [3, 1, 3, 2, 1, 3, 7, 9]
LOSSES = {
    "nt_xent": lambda put, **o: gramless.nt_xent(put(rows()), put(rows(seed=1)), **o),
    "dcl": lambda put, **o: gramless.dcl(put(rows()), put(rows(seed=1)), temperature=0.3, **o),
    "sup_con": lambda put, **o: gramless.sup_con(put(rows()), LABELS, **o),
    "info_nce": lambda put, **o: gramless.info_nce(put(rows()), put(rows(seed=1)), **o),
    "queue": lambda put, **o: gramless.info_nce(put(rows()), put(rows(seed=1)), put(rows(11, seed=2)), **o),
    "symmetric": lambda put, **o: gramless.info_nce(put(rows()), put(rows(seed=1)), symmetric=True, **o),
    "ignoring": lambda put, **o: gramless.sup_con(put(rows()), LABELS, ignore_index=LABELS[0], **o),
}


@pytest.mark.parametrize("loss", LOSSES)
@every_reduction
def test_losses_are_those_of_the_cpu(device, loss, reduction):
    for options in ({}, {"normalize": False}, {"exclude_above": 0.3}, {"exclude_hardest": 0.3}):
        expected = LOSSES[loss](lambda x: x, reduction=reduction, **options)
        assert_same(device, LOSSES[loss](device.array, reduction=reduction, **options), expected)


def test_negatives_of_whole_numbers_are_left_out_above_the_limit_not_at_it(device):
    x, y = (np.round(2 * rows(12, 4, seed)) for seed in (0, 1))
    for limit in (-np.inf, -3, 0, 5, np.inf):
        options = {"exclude_above": limit, "normalize": False, "temperature": 4}
        value, grads = gramless.value_and_grad(gramless.nt_xent)(device.array(x), device.array(y), **options)
        expected_value, expected = gramless.value_and_grad(gramless.nt_xent)(x, y, **options)
        assert_same(device, value, expected_value)
        for ours, theirs in zip(grads, expected, strict=True):
            assert_same(device, ours, theirs)


def test_a_similarity_of_nan_is_above_no_limit(device):
    x = rows()
    x[3, 1] = np.nan
    found = gramless.nt_xent(device.array(x), device.array(rows(seed=1)), exclude_above=0.3, reduction="none")
    assert np.isnan(device.numpy(found)).all()


def test_row_log_sum_exp_is_that_of_the_cpu(device):
    x, y = rows(), rows(11, seed=1)
    a, b = device.array(x), device.array(y)
    call = gramless.row_log_sum_exp
    assert_same(device, call(a, b, temperature=0.5), call(x, y, temperature=0.5))
    assert_same(device, call(a), call(x))
    assert_same(device, call(a, exclude_self=True), call(x, exclude_self=True))


GRADIENTS = {
    "nt_xent": lambda put, **o: gramless.value_and_grad(gramless.nt_xent)(
        put(rows()), put(rows(seed=1)), **o
    ),
    "dcl": lambda put, **o: gramless.value_and_grad(gramless.dcl)(put(rows()), put(rows(seed=1)), **o),
    "sup_con": lambda put, **o: gramless.value_and_grad(gramless.sup_con)(put(rows()), LABELS, **o),
    "info_nce": lambda put, **o: with_grads(gramless, "info_nce")(put(rows()), put(rows(seed=1)), **o),
    "queue": lambda put, **o: with_grads(gramless, "info_nce")(
        put(rows()), put(rows(seed=1)), put(rows(11, seed=2)), **o
    ),
    "symmetric": lambda put, **o: with_grads(gramless, "info_nce")(
        put(rows()), put(rows(seed=1)), symmetric=True, **o
    ),
}


@pytest.mark.parametrize("loss", GRADIENTS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("left_out", [{}, {"exclude_above": 0.1}, {"exclude_hardest": 0.3}], ids=str)
def test_gradients_are_those_of_the_cpu(device, loss, reduction, left_out):
    options = {"reduction": reduction} | left_out
    value, grads = GRADIENTS[loss](device.array, **options)
    expected_value, expected = GRADIENTS[loss](lambda x: x, **options)
    assert_same(device, value, expected_value)
    assert len(grads) == len(expected)
    for ours, theirs in zip(grads, expected, strict=True):
        assert_same(device, ours, theirs)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("one_queue", [True, False])
def test_distilled_similarities_are_those_of_the_cpu(device, one_queue, normalize):
    arrays = [rows(), rows(seed=1), rows(11, seed=2)]
    if not one_queue:
        arrays[1:] = [rows(width=3, seed=1), arrays[2], rows(11, 3, seed=3)]
    options = {"temperature": 0.7, "teacher_temperature": 0.2, "normalize": normalize}
    for reduction in ("mean", "sum", "none"):
        call = partial(gramless.similarity_distillation, reduction=reduction, **options)
        assert_same(device, call(*map(device.array, arrays)), call(*arrays))
    for reduction in ("mean", "sum"):
        call = partial(
            gramless.value_and_grad(gramless.similarity_distillation), reduction=reduction, **options
        )
        value, grads = call(*map(device.array, arrays))
        expected_value, expected = call(*arrays)
        assert_same(device, value, expected_value)
        for ours, theirs in zip(grads, expected, strict=True):
            assert_same(device, ours, theirs)


def test_the_hardest_negatives_of_whole_numbers_are_those_of_the_cpu(device):
    x, y = (np.round(2 * rows(12, 4, seed)) for seed in (0, 1))
    for fraction in (0, 0.01, 0.2, 0.9):
        options = {"exclude_hardest": fraction, "normalize": False, "temperature": 4}
        value, grads = gramless.value_and_grad(gramless.nt_xent)(device.array(x), device.array(y), **options)
        expected_value, expected = gramless.value_and_grad(gramless.nt_xent)(x, y, **options)
        assert_same(device, value, expected_value)
        for ours, theirs in zip(grads, expected, strict=True):
            assert_same(device, ours, theirs)


@pytest.mark.parametrize("with_y", [True, False])
def test_gradients_of_row_log_sum_exp_are_those_of_the_cpu(device, with_y):
    x, y, weights = rows(), rows(11, seed=1) if with_y else None, np.arange(8.0)
    call = with_grads(gramless, "row_log_sum_exp")
    expected_value, expected = call(x, y, weights=weights)
    b = None if y is None else device.array(y)
    value, grads = call(device.array(x), b, weights=device.array(weights))
    assert_same(device, value, expected_value)
    for ours, theirs in zip(grads, expected, strict=True):
        assert ours is None if theirs is None else assert_same(device, ours, theirs) is None


def test_labels_may_lie_on_the_device_and_be_any_integers(device):
    for labels in (LABELS, [-5, 2**40, -5, 0, 2**40, -5, 1, 1], [1] * 8, list(range(8))):
        expected, grads = gramless.value_and_grad(gramless.sup_con)(rows(), labels)
        ours, found = gramless.value_and_grad(gramless.sup_con)(
            device.array(rows()), device.array(np.array(labels))
        )
        assert_same(device, ours, expected)
        assert_same(device, found[0], grads[0])


BESIDE = {  # their positives are computed beside the kernels
    "moco": lambda f, put, **o: f(gramless.moco)(put(rows()), put(rows(seed=1)), put(rows(11, seed=2)), **o),
    "mask": lambda f, put, **o: f(gramless.sup_con)(put(rows()), mask=np.tril(np.ones((8, 8)), 1), **o),
    "mask on the device": lambda f, put, **o: f(gramless.sup_con)(
        put(rows()), mask=put(np.tril(np.ones((8, 8)), 1)), **o
    ),
    "ignored labels on the device": lambda f, put, **o: f(gramless.sup_con)(
        put(rows()), put(np.arange(8) % 3), ignore_index=1, **o
    ),
}


@pytest.mark.parametrize("loss", BESIDE)
@every_reduction
def test_losses_with_more_than_kernels_are_those_of_the_cpu(device, loss, reduction):
    for options in ({}, {"normalize": False, "temperature": 2.0}):
        options["reduction"] = reduction
        expected = BESIDE[loss](lambda f: f, lambda x: x, **options)
        assert_same(device, BESIDE[loss](lambda f: f, device.array, **options), expected)
        weights = {"cotangent": np.arange(8.0)} if reduction == "none" else {}
        value, expected = BESIDE[loss](gramless.value_and_grad, lambda x: x, **options, **weights)
        weights = {name: device.array(x) for name, x in weights.items()}
        ours, found = BESIDE[loss](gramless.value_and_grad, device.array, **options, **weights)
        assert_same(device, ours, value)
        assert len(found) == len(expected)
        for grad, truth in zip(found, expected, strict=True):
            assert_same(device, grad, truth)
