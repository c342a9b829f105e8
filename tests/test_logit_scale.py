"""`CLIPLoss` with a logit scale: value and gradients of plain torch for any scale."""

from __future__ import annotations

import math
import warnings

import gramless
import numpy as np
import pytest
from tolerance import FLOOR

torch = pytest.importorskip("torch")

from gramless.torch import CLIPLoss  # noqa: E402
from torch.nn.functional import cross_entropy, normalize  # noqa: E402

SCALES = [math.exp(45), 0.0, -3.0, 100.0, math.exp(80), -math.exp(60), math.exp(-60), 1]


def plain(a, b, scale, unit=True):
    a, b = (normalize(x, eps=1e-12) if unit else x for x in (a, b))
    logits, own = scale * a @ b.T, torch.arange(len(a))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def features(dtype, n=12, d=5):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2)]


def value_and_grads(loss, *inputs):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*inputs)
    return [value.detach(), *torch.autograd.grad(value, inputs)]


def assert_as_plain(found, naive, truth, dtype):
    """Errors relative to each result's own size, which ranges from 1e-27 to 1e35 with the scale."""
    for ours, theirs, exact in zip(found, naive, truth, strict=True):
        unit = exact.abs().max().clamp(min=1e-300)
        error, naive_error = (((x.double() - exact) / unit).abs().max().item() for x in (ours, theirs))
        assert error <= 2 * naive_error + FLOOR[np.dtype(str(dtype).removeprefix("torch."))]


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", SCALES)
def test_any_scale_gives_what_plain_torch_gives(scale, dtype, unit):
    loss = CLIPLoss(normalize=unit)
    inputs = [*features(dtype), torch.tensor(scale, dtype=dtype)]
    exact = value_and_grads(lambda *x: plain(*x, unit), *(x.double() for x in inputs))
    naive = value_and_grads(lambda *x: plain(*x, unit), *inputs)
    found = value_and_grads(loss, *inputs)
    assert_as_plain(found, naive, exact, dtype)
    by_number = value_and_grads(lambda a, b: loss(a, b, scale), *inputs[:2])
    for ours, theirs in zip(by_number, found[:3], strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(loss(*inputs[:2], inputs[2].reshape(1)), found[0])


@pytest.mark.parametrize("scale", [math.exp(90), math.inf, -math.inf, math.nan])
def test_beyond_float32_it_is_nan_as_in_plain_torch(scale):
    inputs = [*features(torch.float32), torch.tensor(scale, dtype=torch.float32)]
    for loss in (plain, CLIPLoss()):
        assert all(x.isnan().all() for x in value_and_grads(loss, *inputs))
        assert loss(*inputs[:2], scale).isnan()


def test_a_learned_logarithm_of_the_scale_learns_at_0():
    a, b = features(torch.float64)
    for start in (-800.0, 0.0, math.log(100)):  # exp(-800) is 0
        logarithm = torch.tensor(start, dtype=torch.float64)
        expected = value_and_grads(lambda a, b, t: plain(a, b, t.exp()), a, b, logarithm)
        found = value_and_grads(lambda a, b, t: CLIPLoss()(a, b, t.exp()), a, b, logarithm)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.filterwarnings("ignore")  # torch's own, of its own compiler
def test_a_scale_compiles_and_goes_through_half_precision():
    a, b = features(torch.bfloat16)
    scale = torch.tensor(20.0)
    expected = value_and_grads(lambda s: plain(a.float(), b.float(), s), scale)
    for loss in (CLIPLoss(), torch.compile(CLIPLoss(), fullgraph=True, backend="aot_eager")):
        for ours, theirs in zip(value_and_grads(lambda s, f=loss: f(a, b, s), scale), expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert CLIPLoss()(a, b, scale).dtype == torch.float32


@pytest.mark.parametrize(
    ("scale", "sentence"),
    [
        ("14", "logit_scale must be a number but is '14'"),
        (torch.ones(2), r"logit_scale must be one number but has shape \(2,\)"),
        (torch.tensor(1j), "logit_scale must be a real number but has dtype torch.complex64"),
    ],
)
def test_a_scale_that_is_no_number_is_one_sentence(scale, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^CLIPLoss: {sentence}"):
        CLIPLoss()(*features(torch.float32), scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [math.exp(45), -3.0, math.exp(80)])
def test_symmetric_info_nce_at_the_same_temperatures(scale, dtype):
    """The gradient with respect to the temperature is scale^2 larger, and inf beyond float32."""
    inputs = [*features(dtype), torch.tensor(1 / scale, dtype=dtype)]
    exact = value_and_grads(lambda a, b, t: plain(a, b, 1 / t), *(x.double() for x in inputs))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = value_and_grads(
            lambda a, b, t: gramless.info_nce(a, b, temperature=t, symmetric=True), *inputs
        )
    digits = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-15}
    *found, by_temperature = found
    *exact, expected = exact
    for ours, theirs in zip(found, exact, strict=True):
        top = theirs.abs().max()
        torch.testing.assert_close((ours / top).to(dtype), (theirs / top).to(dtype), **digits)
    torch.testing.assert_close(by_temperature, expected.to(dtype), **digits)
