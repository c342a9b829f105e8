"""Similarity distillation against its reference, and inputs without a gradient or without a value."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference
from loss_views import assert_near, every_dtype, views


@every_dtype
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
@pytest.mark.parametrize("temperatures", [(0.2, 0.01), (0.003, 0.02), (-0.3, 5.0)], ids=str)
def test_distillation_is_that_of_the_reference(backend, dtype, normalize, temperatures):
    """Rows and keys that are not whole tiles, queues of two widths, logits beyond the range of exp."""
    temperature, of_teacher = temperatures
    a, _ = views(130, 33, dtype)
    teacher, queue, teacher_queue = views(130, 7, dtype)[1], views(211, 33, dtype)[0], views(211, 7, dtype)[1]
    options = {"temperature": temperature, "teacher_temperature": of_teacher, "normalize": normalize}
    for arrays in ((a, teacher, queue, teacher_queue), (a, a[::-1], queue)):
        ours, expected = (
            with_grads(module, "similarity_distillation")(*arrays, **options)
            for module in (gramless, reference)
        )
        assert_near(ours, expected, dtype)


@every_dtype
def test_distillation_of_what_the_student_knows_has_no_gradient(dtype):
    """p = q: the loss is the entropy of p, and the two softmaxes cancel pair by pair."""
    a, _ = views(60, 9, dtype)
    loss, (grad, by_temperature) = gramless.value_and_grad(gramless.similarity_distillation)(
        a, a, a, temperature=0.1, teacher_temperature=0.1
    )
    assert loss > 0
    slope = 1 / 0.1 / 60  # of the mean loss, by a similarity
    assert np.abs(grad).max() <= np.finfo(dtype).eps * slope
    assert abs(by_temperature) <= np.finfo(dtype).eps * slope / 0.1


@every_dtype
@pytest.mark.parametrize("where", ["student", "teacher", "queue"])
def test_nan_in_distillation_reaches_the_rows_it_touches(dtype, where):
    arrays = [views(30, 5, dtype)[0], views(30, 5, dtype)[1], views(40, 5, dtype)[0]]
    arrays[["student", "teacher", "queue"].index(where)][4, 2] = np.nan
    ours, expected = (
        module.similarity_distillation(*arrays, reduction="none") for module in (gramless, reference)
    )
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    assert np.isnan(ours).sum() == (30 if where == "queue" else 1)
