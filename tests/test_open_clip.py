"""open_clip's losses under their names, compared with their formulas in plain torch."""

from __future__ import annotations

import inspect

import pytest

torch = pytest.importorskip("torch")

from gramless.compat import ClipLoss, SigLipLoss  # noqa: E402
from test_siglip_torch import plain, value_and_grads  # noqa: E402
from torch.nn.functional import cross_entropy, normalize  # noqa: E402

DTYPES = {torch.float32: 1e-6, torch.float64: 1e-10}


def plain_clip(a, b, scale, bias):
    own = torch.arange(len(a))
    logits = scale * a @ b.T + bias
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def inputs_of(dtype, n=150, d=32):
    a, b = torch.randn(2, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    numbers = torch.tensor(10.0, dtype=dtype), torch.tensor(-10.0, dtype=dtype)
    return normalize(a + b).to(dtype), normalize(b).to(dtype), *numbers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "formula"), [(ClipLoss, plain_clip), (SigLipLoss, plain)])
def test_it_is_their_formula(loss, formula, dtype):
    inputs = inputs_of(dtype)
    found = value_and_grads(loss(), inputs)
    expected = value_and_grads(formula, [x.double() for x in inputs])
    for ours, exact in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert (ours.double() - exact).abs().max() <= DTYPES[dtype] * max(1.0, exact.abs().max().item())
    named = loss()(*inputs, output_dict=True)
    assert list(named) == ["contrastive_loss"]
    assert torch.equal(named["contrastive_loss"], found[0])


@pytest.mark.parametrize("loss", [ClipLoss, SigLipLoss])
def test_rows_are_not_normalised(loss):
    a, b, scale, bias = inputs_of(torch.float64)
    assert abs(loss()(2 * a, b, scale, bias) - loss()(a, b, scale, bias)) > 1e-3


def test_without_a_bias():
    a, b, scale, _ = inputs_of(torch.float64)
    torch.testing.assert_close(SigLipLoss()(a, b, scale, None), plain(a, b, scale, 0.0))
    torch.testing.assert_close(ClipLoss()(a, b, scale), plain_clip(a, b, scale, 0.0))


@pytest.mark.parametrize("loss", [ClipLoss, SigLipLoss])
def test_a_bias_changes_neither_the_shape_nor_the_dtype(loss):
    a, b, scale, bias = inputs_of(torch.float32)
    expected = loss()(a, b, scale, bias)
    for given in (bias.reshape(1), bias.double()):
        given = given.requires_grad_()
        found = loss()(a, b, scale.reshape(1), given)
        assert (found.shape, found.dtype) == (torch.Size([]), torch.float32)
        assert torch.equal(found, expected)
        found.backward()
        assert given.grad.shape == given.shape
    with pytest.raises(ValueError, match=r"logit_bias must be one number but has shape \(2,\)"):
        loss()(a, b, scale, torch.ones(2))
    with pytest.raises(TypeError, match="logit_bias must be a number but is 'x'"):
        loss()(a, b, scale, "x")


def test_signatures_are_those_of_open_clip():
    def names(function):
        return {
            name: p.default for name, p in inspect.signature(function).parameters.items() if name != "self"
        }

    empty = inspect.Parameter.empty
    inputs = dict.fromkeys(["image_features", "text_features", "logit_scale"], empty)
    assert names(ClipLoss) == {
        "local_loss": False, "gather_with_grad": False, "cache_labels": False,
        "rank": 0, "world_size": 1, "use_horovod": False,
    }  # fmt: skip
    assert names(ClipLoss.forward) == inputs | {"logit_bias": None, "output_dict": False}
    assert names(SigLipLoss) == {"cache_labels": False, "rank": 0, "world_size": 1, "dist_impl": None}
    assert names(SigLipLoss.forward) == inputs | {"logit_bias": empty, "output_dict": False}


def test_what_is_not_there_is_refused():
    with pytest.raises(NotImplementedError, match="ClipLoss: use_horovod must be False"):
        ClipLoss(use_horovod=True)
    with pytest.raises(ValueError, match="gather_with_grad must be True but are True and False"):
        ClipLoss(local_loss=True, world_size=2)
    with pytest.raises(
        ValueError, match="dist_impl must be one of bidir, shift, reduce, gather but is 'ring'"
    ):
        SigLipLoss(dist_impl="ring")
    a, b, *numbers = inputs_of(torch.float64)
    for loss in (ClipLoss(True, True, world_size=2), SigLipLoss(world_size=2)):
        with pytest.raises(ValueError, match=r"world_size is 2 but torch\.distributed has 1 process;"):
            loss(a, b, *numbers)
