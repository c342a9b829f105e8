"""The two operators of torch, gramless::forward and gramless::backward, for every problem."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from gramless import RBF, Linear  # noqa: E402
from gramless._problems.contrast import Contrast, Ignoring  # noqa: E402
from gramless._problems.distillation import Distillation  # noqa: E402
from gramless._problems.hsic import Hsic  # noqa: E402
from gramless._problems.positives import Masked, OwnKeys  # noqa: E402
from gramless.kernels import encode  # noqa: E402
from gramless.torch._autograd import operands  # noqa: E402
from test_torch_transforms import LABELS, LOSSES, assert_all_close, grads_of, inputs_of  # noqa: E402


def hsic_operands(arrays, kernels, form="hsic", matrix=False):
    problem = Hsic("f", 1, 2, (encode(kernels[0]), encode(kernels[1])), "unbiased", form, matrix)
    return operands(problem, arrays)


def contrast_operands(arrays, temperature, kind="softmax", anchors=1, symmetric=False, hardest=None):
    chosen = kind, anchors, len(arrays), False, symmetric, (None, hardest, None)
    return operands(Contrast("f", True, "mean", *chosen), [*arrays, temperature])


def every_contrast(a, b, t):
    """Operands, and which of the inputs have a gradient."""
    labels, mask = LABELS, (LABELS[:, None] == LABELS).double()
    yield contrast_operands([a, b], t, symmetric=True, hardest=0.2), [True, False, True, False]
    yield contrast_operands([a, b], 0.3, "decoupled", anchors=2), [False, True, False, False]
    yield contrast_operands([a, a], t, "log_sum_exp"), [True, True, True, False]
    of_labels = "f", True, "none", "softmax", 1, 1, True
    yield operands(Contrast(*of_labels), [a, t, labels]), [True, False, False, False]
    yield operands(Ignoring(*of_labels, ignored=3), [a, t, labels]), [True, True, False, False]
    yield operands(Masked("f", True, "mean"), [a, t, mask]), [True, True, False, False]
    yield operands(OwnKeys("f", True, "mean", 3, 1), [a, b, b * 2, t]), [True, True, False, True, False]


def distillation_operands(arrays, temperature):
    return operands(Distillation("f", True, "mean", len(arrays), 0.1), [*arrays, temperature])


def operator_calls():
    a, b, t = inputs_of()
    forward, backward = torch.ops.gramless.forward.default, torch.ops.gramless.backward.default
    for (inputs, text), wanted in every_contrast(a, b, t):
        yield forward, (inputs, text)
        value, *saved = forward(inputs, text)
        yield backward, (inputs, text, torch.ones_like(value), saved, wanted)
    kernels = RBF(), Linear()
    for form, matrix in (("hsic", False), ("cka", True), ("loss", False)):
        inputs, text = hsic_operands([a, b], kernels, form, matrix)
        yield forward, (inputs, text)
        value, *saved = forward(inputs, text)
        yield backward, (inputs, text, torch.ones_like(value), saved, [False, True, False])
    for arrays, temperature in ([a, b, b], 0.2), ([a, b, b, a], t):
        inputs, text = distillation_operands(arrays, temperature)
        yield forward, (inputs, text)
        value, *saved = forward(inputs, text)
        wanted = [True, *[False] * (len(inputs) - 1)]
        wanted[-2] = temperature is t
        yield backward, (inputs, text, torch.ones_like(value), saved, wanted)
    yield forward, hsic_operands([a.float(), b.float()], kernels)


@pytest.mark.parametrize("call", range(25))
def test_operators_keep_what_they_promise(call):
    import gramless.torch  # noqa: F401 registers them

    operator, arguments = list(operator_calls())[call]
    torch.library.opcheck(operator, arguments)


@pytest.mark.parametrize("loss", ["nt_xent", "cka"])
def test_operators_are_differentiable_by_themselves(loss):
    import gramless.torch

    a, b, t = inputs_of()
    if loss == "nt_xent":
        inputs, text = contrast_operands([a, b], t, anchors=2)
        found = grads_of(lambda *x: torch.ops.gramless.forward([*x, inputs[-1]], text)[0], (a, b, t))
    else:
        found = grads_of(
            lambda a, b: torch.ops.gramless.forward(*hsic_operands([a, b], (Linear(), Linear())))[0], (a, b)
        )
    expected = LOSSES["nt_xent"] if loss == "nt_xent" else gramless.hsic
    assert_all_close(found, grads_of(expected, (a, b, t)[: len(found)]))
