"""HSIC of float32 tensors on a GPU follows torch's settings of TF32, under each of their names."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
# The user's setting, and whether TF32 is allowed then.
SETTINGS = {
    "pass": False,
    "matmul.allow_tf32 = True": True,
    "torch.set_float32_matmul_precision('high')": True,
}
if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # torch 2.9
    SETTINGS |= {
        "matmul.fp32_precision = 'tf32'": True,
        "matmul.fp32_precision = 'ieee'": False,
        "torch.backends.fp32_precision = 'tf32'": True,
        "torch.backends.fp32_precision = 'ieee'": False,
        "torch.backends.fp32_precision = 'tf32'; matmul.fp32_precision = 'ieee'": False,
        "matmul.allow_tf32 = True; matmul.fp32_precision = 'ieee'": False,
        "matmul.allow_tf32 = True; torch.backends.fp32_precision = 'ieee'": True,
    }

# Records the arguments of launches in place of the kernels. Settings last as long as a process.
SOURCE = """
import os, sys, types, warnings
import torch, gramless
from gramless import _arrays
from gramless._arrays import cuda_status
from gramless.torch._tensors import Tensors

seen = []
def launch(place, *arguments):
    seen.extend(x for x in arguments if isinstance(x, bool))
cuda_status._module = types.SimpleNamespace(hsic=launch, hsic_matrix=launch, hsic_grad=launch)
_arrays.TENSOR_DEVICES = frozenset(["cpu"])
Tensors.stream = lambda self, device: 0
Tensors._on = lambda self, device: torch.device("cpu")
matmul = torch.backends.cuda.matmul
x = torch.zeros(8, 3, requires_grad=True)
gramless.hsic(x.detach(), x.detach())
for setting in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        warnings.simplefilter("ignore")  # torch's own, on its older name
        exec(setting)
        seen.clear()
        gramless.cka(x, x.detach()).backward()
        gramless.cka_matrix([x.detach(), x.detach()])
        assert len(seen) == 3, seen  # `allow_tf32` of three launches
        print(setting, "->", *seen, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, setting
"""


def test_what_the_user_set_in_torch_is_respected(run_with_torch):
    said = run_with_torch(SOURCE, *SETTINGS, timeout=240).splitlines()
    assert said == [f"{setting} -> {allowed} {allowed} {allowed}" for setting, allowed in SETTINGS.items()]
