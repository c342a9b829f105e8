"""Losses that are more than kernels, on a GPU or on what stands in for one: see test_cuda_arrays.py."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from test_cuda_arrays import assert_same, every_reduction, rows

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
