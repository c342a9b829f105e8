"""Gradients of uniformity, alignment, participation ratio and Vendi score, and torch's transforms of them."""

from __future__ import annotations

import math

import gramless as gl
import numpy as np
import pytest
from test_measures import CALLS, every_call, pair

torch = pytest.importorskip("torch")
testing = pytest.importorskip("torch._dynamo.testing")


def leaves_of(x, y):
    return [torch.from_numpy(side.copy()).requires_grad_() for side in (x, y)]


def formula(call, x, y):
    """The measure by autograd, in float64; medians are constants."""
    units = [torch.nn.functional.normalize(side, dim=1) for side in (x, y)]
    if call.startswith("alignment"):
        a, b = (x, y) if "given" in call else units
        alpha = {"": 2, " alpha": 0.7, " as given": 1}[call[9:]]
        return (a - b).norm(dim=1).pow(alpha).mean()
    if call == "participation_ratio":
        covariance = torch.cov(x.T)
        return covariance.trace() ** 2 / (covariance**2).sum()
    if call == "vendi cosine":
        return len(x) ** 2 / ((units[0] @ units[0].T) ** 2).sum()
    rows = units[0] if call in ("uniformity", "uniformity t") else x
    i, j = np.triu_indices(len(x), 1)
    distance2 = ((rows[i] - rows[j]) ** 2).sum(1)
    if call.startswith("uniformity"):
        t = {"": 2, " t": 0.3, " as given": 0.1}[call[10:]]
        return torch.exp(-t * distance2).mean().log()
    median = float(np.median(distance2.detach().numpy()))
    if call == "vendi laplace":
        squares = torch.exp(-2 * distance2.sqrt() / (0.5 * median**0.5))
    else:
        squares = torch.exp(-distance2 / (median if call == "vendi rbf" else 4))
    return len(x) ** 2 / (len(x) + 2 * squares.sum())


@every_call
@pytest.mark.parametrize("shape", [(2, 3), (9, 15), (50, 3)])
def test_gradients_are_those_of_the_formula(call, shape):
    x, y = pair(*shape)
    leaves = leaves_of(x, y)
    expected = torch.autograd.grad(formula(call, *leaves), leaves, allow_unused=True)
    value, grads = gl.value_and_grad(lambda_free(call))(*arguments(call, x, y), **options(call))
    assert value == CALLS[call](gl, x, y)
    found = CALLS[call](gl, *leaves)
    assert found.item() == value
    own = torch.autograd.grad(4 * found, leaves, allow_unused=True)
    for ours, theirs, tensor in zip(grads, expected, own, strict=False):
        scale = theirs.abs().max().item() + 1e-12
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-10 * max(scale, 1e-3))
        np.testing.assert_array_equal(tensor.numpy(), 4 * ours)


def lambda_free(call):
    name = {"vendi": "vendi_score"}.get(call.split()[0], call.split()[0])
    return getattr(gl, name)


def arguments(call, x, y):
    return (x, y) if call.startswith("alignment") else (x,)


def options(call):
    return {
        "uniformity t": {"t": 0.3},
        "uniformity as given": {"t": 0.1, "normalize": False},
        "alignment alpha": {"alpha": 0.7},
        "alignment as given": {"alpha": 1.0, "normalize": False},
        "vendi rbf": {"kernel": "rbf"},
        "vendi sigma": {"kernel": gl.RBF(sigma=2.0)},
        "vendi laplace": {"kernel": gl.Laplace(scale=0.5)},
    }.get(call, {})


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ("vendi rbf", "vendi laplace")])
def test_gradcheck(call):
    """Of all whose bandwidth is not a median, which moves with the rows in differences."""
    leaves = leaves_of(*pair(6, 3))[: 2 if call.startswith("alignment") else 1]
    assert torch.autograd.gradcheck(lambda *own: CALLS[call](gl, own[0], own[-1]), leaves)


@every_call
def test_float32_gradients_are_as_accurate_as_those_of_autograd(call):
    x, y = pair(40, 20, dtype="float32")
    exact = leaves_of(x.astype("float64"), y.astype("float64"))
    (truth, *_) = torch.autograd.grad(formula(call, *exact), exact, allow_unused=True)
    leaves = leaves_of(x, y)
    (naive, *_) = torch.autograd.grad(formula(call, *leaves), leaves, allow_unused=True)
    (ours, *_) = torch.autograd.grad(CALLS[call](gl, *leaves), leaves, allow_unused=True)
    scale = truth.abs().max()
    assert ours.dtype is torch.float32
    assert (ours - truth).abs().max() <= 2 * (naive - truth).abs().max() + 5e-7 * scale


@every_call
def test_transforms(call):
    x, y = (torch.from_numpy(side) for side in pair(9, 4))
    value, (expected, *_) = gl.value_and_grad(lambda_free(call))(*arguments(call, x, y), **options(call))
    of_func = torch.func.grad(lambda x: CALLS[call](gl, x, y))(x)
    torch.testing.assert_close(of_func, expected)
    batched = torch.func.vmap(lambda x: CALLS[call](gl, x, y))(torch.stack([x, x]))
    assert batched.tolist() == [value.item()] * 2


@pytest.mark.filterwarnings("ignore")
def test_one_compiled_graph_serves_all_numbers():
    x = leaves_of(*pair(9, 4))[0]
    counter = testing.CompileCounterWithBackend("aot_eager")

    def both(x, t):
        return gl.uniformity(x, t) + gl.participation_ratio(x)

    compiled = torch.compile(both, fullgraph=True, backend=counter)
    for t in (0.5, 1.0, 2.0, 3.0):
        found, expected = compiled(x, t), both(x, t)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, x), torch.autograd.grad(expected, x))
    assert counter.frame_count <= 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_call
def test_16_bits_are_computed_in_float32(call, dtype):
    x, y = (torch.from_numpy(np.round(8 * side) / 8).to(dtype) for side in pair(40, 6))
    x.requires_grad_()
    found = CALLS[call](gl, x, y)
    wide = x.detach().float().requires_grad_()
    expected = CALLS[call](gl, wide, y.float())
    assert found.dtype is torch.float32
    assert found.item() == expected.item()
    ours, theirs = torch.autograd.grad(found, x)[0], torch.autograd.grad(expected, wide)[0]
    assert torch.equal(ours, theirs.to(dtype))


def test_gradients_where_there_is_little_to_tell():
    equal = np.ones((5, 3))
    for function in (gl.uniformity, gl.vendi_score):
        assert np.abs(gl.value_and_grad(function)(equal)[1][0]).max() < 1e-12
    for alpha in (0.5, 1.0, 2.0):
        by_x, by_y = gl.value_and_grad(gl.alignment)(equal, equal, alpha)[1]
        assert not by_x.any() and not by_y.any()  # noqa: PT018
    with pytest.warns(RuntimeWarning, match="participation_ratio"):
        assert not gl.value_and_grad(gl.participation_ratio)(equal)[1][0].any()
    far = 1e3 * np.eye(5)
    assert not gl.value_and_grad(gl.vendi_score)(far, kernel=gl.RBF(sigma=1e-2))[1][0].any()
    assert np.isnan(gl.value_and_grad(gl.uniformity)(far, normalize=False)[1][0]).all()
    far[0, 0] = math.nan
    for function in (gl.uniformity, gl.vendi_score, gl.participation_ratio):
        assert np.isnan(gl.value_and_grad(function)(far)[1][0]).all()


def test_only_what_needs_a_gradient_gets_one():
    x, y = leaves_of(*pair(9, 4))
    y = y.detach()
    gl.alignment(x, y).backward()
    assert x.grad is not None
    _, by_y = gl.value_and_grad(gl.alignment, "y")(*pair(9, 4))
    assert by_y.shape == (9, 4)
