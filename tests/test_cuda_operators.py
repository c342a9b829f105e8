"""The operators of torch pass opcheck for tensors of a GPU."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from test_cuda_arrays import rows

torch = pytest.importorskip("torch")

from gramless._problems.contrast import Contrast  # noqa: E402
from gramless._problems.hsic import Hsic  # noqa: E402
from gramless.kernels import encode  # noqa: E402
from gramless.torch._autograd import operands  # noqa: E402


@pytest.mark.filterwarnings("ignore")
def test_operators_of_losses_keep_what_they_promise(device):
    a, b = (device.tensor(rows(6, 4, seed)) for seed in (0, 1))
    labels = device.tensor(np.array([1, 2, 1, 2, 5, 2]))
    for temperature, reduction, more in (
        (0.3, "mean", []),
        (device.tensor(np.array(0.3)), "mean", []),
        (0.3, "mean", [labels]),
        (0.3, "none", []),
    ):
        anchors = [a] if more else [a, b]
        count = len(anchors)
        problem = Contrast("f", True, reduction, "softmax", count, count, bool(more))
        inputs, text = operands(problem, [*anchors, temperature, *more])
        torch.library.opcheck(torch.ops.gramless.forward.default, (inputs, text))
        value, *saved = torch.ops.gramless.forward(inputs, text)
        learned = isinstance(temperature, torch.Tensor)
        wanted = [True] * count + [learned] + [False] * (1 + len(more))
        backward = (inputs, text, torch.ones_like(value), saved, wanted)
        torch.library.opcheck(torch.ops.gramless.backward.default, backward)


@pytest.mark.filterwarnings("ignore")
def test_operators_of_hsic_keep_what_they_promise(device):
    a, b = (device.tensor(rows(6, 4, seed)) for seed in (0, 1))
    kernels = encode(gramless.RBF(sigma=2.0)), encode(gramless.Linear())
    for ys in ([b], []):
        problem = Hsic("f", 2, 2 + len(ys), kernels, "unbiased", "cka", True)
        inputs, text = operands(problem, [a, b, *ys])
        torch.library.opcheck(torch.ops.gramless.forward.default, (inputs, text))
        value, *saved = torch.ops.gramless.forward(inputs, text)
        backward = (inputs, text, torch.ones_like(value), saved, [True] * (2 + len(ys)) + [False])
        torch.library.opcheck(torch.ops.gramless.backward.default, backward)
