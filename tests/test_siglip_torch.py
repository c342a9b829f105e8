"""SigLIP's loss of tensors: the results of plain torch, and torch's function transforms."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from tolerance import FLOOR

torch = pytest.importorskip("torch")

from gramless.torch import SigLIPLoss  # noqa: E402
from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402
from torch.nn.functional import logsigmoid, normalize  # noqa: E402


def plain(a, b, scale, bias, unit=False):
    """The formula of open_clip's SigLipLoss, n x n."""
    if unit:
        a, b = normalize(a, eps=1e-12), normalize(b, eps=1e-12)
    logits = scale * a @ b.T + bias
    signs = 2 * torch.eye(len(a), dtype=logits.dtype) - 1
    return -logsigmoid(signs * logits).sum() / len(a)


def of_products(a, b, scale, bias):
    """The same in another order of products, which matters where numbers leave their range."""
    signs = 2 * torch.eye(len(a), dtype=a.dtype) - 1
    return -logsigmoid(signs * (scale * (a @ b.T) + bias)).sum() / len(a)


def siglip(a, b, scale, bias, unit=False, **options):
    return gramless.siglip(a, b, logit_scale=scale, logit_bias=bias, normalize=unit, **options)


def inputs_of(*batch, n=6, d=5, dtype=torch.float64, scale=2.0, bias=-1.0):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, *batch, n, d, dtype=torch.float64, generator=generator).to(dtype)
    return a, b, torch.tensor(scale, dtype=dtype), torch.tensor(bias, dtype=dtype)


def value_and_grads(loss, inputs, **options):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*inputs, **options)
    return [value.detach(), *torch.autograd.grad(value.sum(), inputs)]


def assert_all_close(found, expected, **tolerance):
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, **tolerance)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (math.exp(5), -10.0), (0.0, 3.0), (-2.0, 0.5)])
@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 97, 193, 400])
def test_it_is_what_plain_torch_gives(rows, scale, bias, unit):
    for dtype, limit in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
        inputs = [normalize(x) for x in inputs_of(n=rows, d=33, dtype=dtype)[:2]]
        inputs += [torch.tensor(scale, dtype=dtype), torch.tensor(bias, dtype=dtype)]
        exact = value_and_grads(lambda *x: plain(*x, unit), [x.double() for x in inputs])
        naive = value_and_grads(lambda *x: plain(*x, unit), inputs)
        found = value_and_grads(lambda *x: siglip(*x, unit), inputs)
        for ours, theirs, true in zip(found, naive, exact, strict=True):
            assert ours.dtype == theirs.dtype
            size = max(true.abs().max().item(), 1.0)
            error, naive_error = ((x.double() - true).abs().max().item() / size for x in (ours, theirs))
            assert error <= max(2 * naive_error + FLOOR[np.dtype(str(dtype)[6:])], limit)
            assert error <= limit or naive_error > limit / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "case", ["1e30", "inf", "-inf", "nan", "inf scale", "inf bias", "-inf bias", "far bias", "0 and inf"]
)
def test_what_is_not_finite_is_so_where_it_is_in_plain_torch(case, dtype):
    a, b, scale, bias = inputs_of(n=20, d=3, dtype=dtype)
    if case == "1e30":
        long = 1e30 if dtype == torch.float32 else 1e200
        a, b = long * a.abs() * a[:, :1].sign(), long * b.abs()  # no sum of products of both signs
    elif case == "0 and inf":
        a[2], b[5, 1] = 0.0, math.inf
    elif "scale" in case:
        scale = torch.tensor(math.inf, dtype=dtype)
    elif "bias" in case:
        bias = torch.tensor(float(case.split()[0].replace("far", "-1e4")), dtype=dtype)
    else:
        a[3, 1] = float(case)
    inputs = a, b, scale, bias
    expected, found = (value_and_grads(loss, inputs) for loss in (of_products, siglip))
    of_scale = case == "inf scale"  # whose gradients depend on the order of products
    for ours, theirs in zip(found[:1] if of_scale else found, expected, strict=not of_scale):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5, equal_nan=True)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("unit", [True, False])
def test_gradcheck(reduction, unit):
    inputs = [x.requires_grad_() for x in inputs_of()]
    assert torch.autograd.gradcheck(lambda *x: siglip(*x, unit, reduction=reduction), inputs)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_tensors_get_what_numpy_gets(reduction):
    for dtype in (torch.float32, torch.float64):
        inputs = inputs_of(n=40, dtype=dtype)
        cotangent = (
            torch.linspace(-1, 2, 40, dtype=dtype) if reduction == "none" else torch.tensor(-2.5, dtype=dtype)
        )
        leaves = [x.clone().requires_grad_() for x in inputs]
        value = siglip(*leaves, reduction=reduction)
        grads = torch.autograd.grad(value, leaves, cotangent)
        named = {"logit_scale": inputs[2].item(), "logit_bias": inputs[3].item(), "normalize": False}
        expected, by_arrays = gramless.value_and_grad(gramless.siglip)(
            inputs[0].numpy(), inputs[1].numpy(), **named, reduction=reduction, cotangent=cotangent.numpy()
        )
        np.testing.assert_allclose(value.detach(), expected, rtol=1e-6)
        for ours, theirs in zip(grads, by_arrays, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)
        by_numbers = siglip(*inputs[:2], inputs[2].item(), inputs[3].item(), reduction=reduction)
        assert torch.equal(by_numbers, value)


def test_what_gets_no_gradient_changes_no_other():
    inputs = inputs_of(n=30)
    expected = value_and_grads(siglip, inputs)[1:]
    for place in range(4):
        leaves = [x.clone().requires_grad_(i == place) for i, x in enumerate(inputs)]
        (found,) = torch.autograd.grad(siglip(*leaves), leaves[place])
        torch.testing.assert_close(found, expected[place], rtol=1e-12, atol=1e-14)


def test_a_second_backward_and_a_checkpoint_give_the_same():
    inputs = [x.requires_grad_() for x in inputs_of(n=30)]
    value = siglip(*inputs)
    first = torch.autograd.grad(3 * value, inputs, retain_graph=True)
    assert_all_close(torch.autograd.grad(3 * value, inputs), first)
    checkpointed = torch.utils.checkpoint.checkpoint(siglip, *inputs, use_reentrant=False)
    assert_all_close(torch.autograd.grad(3 * checkpointed, inputs), first)


def test_16_bit_rows_have_16_bit_gradients():
    for dtype in (torch.float16, torch.bfloat16):
        a, b, scale, bias = inputs_of(n=40, dtype=dtype)
        found = value_and_grads(siglip, (a, b, scale.float(), bias.float()))
        expected = value_and_grads(siglip, [x.float() for x in (a, b, scale, bias)])
        assert [x.dtype for x in found[:2]] == [torch.float32, dtype]
        assert_all_close(found, expected, rtol=torch.finfo(dtype).eps, atol=1e-7, check_dtype=False)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(siglip(a, b, scale, bias), siglip(a, b, scale, bias))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_it_compiles_in_two_graphs_for_any_number_of_scales(reduction):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")

    def step(a, b, scale, bias):
        return siglip(a, b, scale, bias, reduction=reduction)

    compiled = torch.compile(step, fullgraph=True, backend=counter)
    for value in range(10):
        a, b, *_ = (x.requires_grad_() for x in inputs_of())
        numbers = 1.5 + value / 3, -2.0 + value / 7
        found, expected = compiled(a, b, *numbers), step(a, b, *numbers)
        torch.testing.assert_close(found, expected)
        assert_all_close(
            torch.autograd.grad(found.sum(), (a, b)), torch.autograd.grad(expected.sum(), (a, b))
        )
    assert counter.frame_count <= 2


@pytest.mark.filterwarnings("ignore")
def test_compiled_and_functional_gradients_are_those_of_backward():
    torch._dynamo.reset()
    inputs = inputs_of()
    expected = value_and_grads(siglip, inputs)
    compiled = torch.compile(siglip, fullgraph=True, backend="aot_eager")
    assert_all_close(value_and_grads(compiled, inputs), expected)
    assert_all_close(torch.func.grad(siglip, argnums=(0, 1, 2, 3))(*inputs), expected[1:])
    assert torch.equal(torch.compile(siglip, fullgraph=True, backend="aot_eager")(*inputs), siglip(*inputs))
    a, b, scale, bias = inputs_of(3)
    mapped = torch.vmap(siglip, in_dims=(0, 0, None, None))(a, b, scale, bias)
    assert torch.equal(mapped, torch.stack([siglip(x, y, scale, bias) for x, y in zip(a, b, strict=True)]))
    per_sample = torch.vmap(torch.func.grad(siglip), in_dims=(0, 0, None, None))(a, b, scale, bias)
    one_by_one = [value_and_grads(siglip, (x, y, scale, bias))[1] for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(per_sample, torch.stack(one_by_one))


@pytest.mark.filterwarnings("ignore")  # torch's own
def test_second_derivatives_and_forward_mode_are_refused():
    inputs = [x.requires_grad_() for x in inputs_of()]
    (grad,) = torch.autograd.grad(siglip(*inputs), inputs[0], create_graph=True)
    with pytest.raises(NotImplementedError, match="siglip: a second derivative was requested"):
        grad.sum().backward()
    with pytest.raises(NotImplementedError, match="siglip"):
        torch.func.jvp(lambda a: siglip(a, *inputs[1:]), (inputs[0].detach(),), (inputs[0].detach(),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operators_pass_opcheck(dtype):
    from gramless._problems.sigmoid import Sigmoid
    from gramless.torch._autograd import operands

    for reduction in ("mean", "none"):
        for problem in (Sigmoid("f", True, reduction), Sigmoid("f", True, reduction).differentiated()):
            inputs, text = operands(problem, inputs_of(dtype=dtype))
            torch.library.opcheck(torch.ops.gramless.forward.default, (inputs, text))
            value, *saved = torch.ops.gramless.forward.default(inputs, text)
            call = inputs, text, torch.ones_like(value), saved, [True, False, True, True, False]
            torch.library.opcheck(torch.ops.gramless.backward.default, call)
            leaves, _ = operands(problem, [x.requires_grad_() for x in inputs_of(dtype=dtype)])
            torch.library.opcheck(torch.ops.gramless.forward.default, (leaves, text))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scale": torch.ones(2)}, r"siglip: logit_scale must be one number but has shape \(2,\)"),
        ({"bias": torch.ones(3)}, r"siglip: logit_bias must be one number but has shape \(3,\)"),
        (
            {"scale": torch.tensor(1j)},
            "siglip: logit_scale must be a real number but has dtype torch.complex64",
        ),
        ({"bias": "1"}, "siglip: logit_bias must be a number but is '1'"),
    ],
)
def test_what_is_no_number_is_one_sentence(options, sentence):
    a, b, *_ = inputs_of()
    with pytest.raises((ValueError, TypeError), match=sentence):
        siglip(a, b, **({"scale": 1.0, "bias": 0.0} | options))


def test_the_module_is_the_function():
    a, b, scale, bias = inputs_of()
    logarithm = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
    loss = SigLIPLoss(logit_bias=torch.nn.Parameter(bias))
    assert list(dict(loss.named_parameters())) == ["logit_bias"]
    loss(a, b, logarithm.exp()).backward()
    expected = value_and_grads(lambda *x: siglip(*x, unit=True), (a, b, logarithm.exp(), bias))
    torch.testing.assert_close(loss.logit_bias.grad, expected[4])
    torch.testing.assert_close(logarithm.grad, expected[3] * logarithm.detach().exp())
    assert torch.equal(SigLIPLoss(normalize=False)(a, b, scale, bias), siglip(a, b, scale, bias))
    with pytest.raises(ValueError, match="SigLIPLoss: image_features has 6 rows but text_features has 5"):
        loss(a, b[:5])
