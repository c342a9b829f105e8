"""Contrastive losses of other dtypes equal those of the same values in float32 or float64."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from test_contrastive_inputs import PAIRS, numbers, results, square
from test_inputs import values_of


@pytest.mark.parametrize("dtype", ["float16", "int8", "uint16", "bool", "int32", "int64"])
def test_other_dtypes_are_their_values(dtype):
    generator = np.random.default_rng(4)
    x, y = values_of(dtype, (97, 30), generator), values_of(dtype, (97, 30), generator)
    computed = np.float64 if dtype in ("int32", "int64") else np.float32
    assert numbers(x, y) == numbers(x.astype(computed), y.astype(computed))
    _, (grad, _, _) = gramless.value_and_grad(gramless.nt_xent)(x, y)
    assert grad.dtype == computed


@pytest.mark.parametrize("name", ["float16", "bfloat16", "int8", "int32"])
def test_tensors_of_other_dtypes_are_their_values(name):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    x, y = ((torch.randn(40, 9, generator=generator) * 3).to(getattr(torch, name)) for _ in range(2))
    computed = torch.float64 if name == "int32" else torch.float32
    assert numbers(x, y) == numbers(x.to(computed), y.to(computed))


def test_bfloat16_is_its_values():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, y = (square(50, 9, seed).astype(ml_dtypes.bfloat16) for seed in (0, 1))
    assert numbers(x, y) == numbers(x.astype(np.float32), y.astype(np.float32))


def test_one_float64_input_makes_the_computation_float64():
    x, y = square(50, 4).astype(np.float32), square(50, 4, 1)
    for name in [*PAIRS, "row_log_sum_exp", "similarity_distillation"]:
        assert results(name, x, y) == results(name, x.astype(np.float64), y)
