"""Counts Python functions around the core in a small call: at a batch of 32 they take as long as the core."""

from __future__ import annotations

import sys

import gramless
import numpy as np
import pytest
import torch

PACKAGE = gramless.__path__[0]


def calls_of_python(call):
    """The number of the package's functions that one call enters, including the backward."""
    for _ in range(3):
        call()
    entered = 0

    def count(frame, event, _):
        nonlocal entered
        entered += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered


def backward(function):
    x, y = torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(0)).unbind()
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    return lambda: function(x, y).backward()


X, Y = np.random.default_rng(0).standard_normal((2, 16, 8), dtype=np.float32)
CALLS = {  # upper limits
    "nt_xent, gradients of tensors": (backward(gramless.nt_xent), 112),
    "cka, gradients of tensors": (backward(gramless.cka), 134),
    "nt_xent, gradients of numpy": (lambda: gramless.value_and_grad(gramless.nt_xent)(X, Y), 84),
    "nt_xent of numpy": (lambda: gramless.nt_xent(X, Y), 42),
    "cka of numpy": (lambda: gramless.cka(X, Y), 22),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_small_call_enters_few_functions(name):
    call, most = CALLS[name]
    assert calls_of_python(call) <= most
