"""Kernel functions without CUDA code raise one error before anything is launched."""

from __future__ import annotations

import gramless
import pytest
from gramless import RBF, Distance
from gramless._backends.cuda import Cuda
from gramless.kernels import FORMULAS, encode
from test_cuda_functions import inputs


def test_a_gpu_is_not_asked_for_what_it_has_no_kernel_for():
    kernels = encode(RBF()), encode(Distance())
    with pytest.raises(NotImplementedError, match=r'^cka: the kernel "distance" is computed on the CPU only'):
        Cuda(None, 0, "cka")._hsic("hsic", None, None, kernels, "biased")


@pytest.mark.parametrize("kernel", [name for name, kernel in FORMULAS.items() if not kernel.on_gpu])
def test_kernels_of_the_cpu_are_computed_on_the_CPU_only(device, kernel):
    x, y = (device.array(inputs()[name]) for name in ("x", "layer"))
    for function, call in (
        ("cka", lambda: gramless.cka(x, y, kernel=kernel)),
        ("hsic", lambda: gramless.hsic(x, y, kernel="rbf", kernel_y=kernel)),
        ("cka_matrix", lambda: gramless.cka_matrix([x, y], kernel=kernel)),
        ("mmd", lambda: gramless.mmd(x, x, kernel=kernel)),
    ):
        with pytest.raises(NotImplementedError) as caught:
            call()
        assert str(caught.value) == (
            f'{function}: the kernel "{kernel}" is computed on the CPU only; copy the arrays there'
        )
