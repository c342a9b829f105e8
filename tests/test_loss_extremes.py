"""CLIPLoss, CKALoss and HSICLoss on batches of training loops: no rows, one row, zeros, NaN, 16 bits."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from gramless.torch import CKALoss, CLIPLoss, HSICLoss  # noqa: E402
from torch.nn.functional import cross_entropy, normalize  # noqa: E402

LOSSES = {
    "CLIPLoss": CLIPLoss(),
    "CKALoss": CKALoss(),
    "CKALoss of rbf": CKALoss("rbf"),
    "HSICLoss": HSICLoss(),
    "HSICLoss of laplace": HSICLoss("laplace"),
}


def rows(n, d=5, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def with_entry(where, value):
    x = rows(8)
    x[where] = value
    return x


def plain(a, b, scale):
    a, b = (normalize(x if x.dtype == torch.float64 else x.float(), dim=1, eps=1e-12) for x in (a, b))
    logits, own = scale * a @ b.T, torch.arange(len(a))
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def value_and_grads(loss, *inputs):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*inputs)
    return value.detach(), torch.autograd.grad(value, inputs)


SANE = {  # the result of plain torch
    "one row": rows(1),
    "two rows": rows(2),
    "a row of zeros": with_entry(3, 0.0),
    "nothing but zeros": torch.zeros(8, 5),
    "one row again and again": rows(1).expand(8, 5),
    "every second row": rows(16)[::2],
    "transposed": rows(5, 8).T,
    "float16": rows(8).half(),
    "bfloat16": rows(8).bfloat16(),
}


@pytest.mark.parametrize("scale", [1e3, -1e3, 0.0, 20.0])
@pytest.mark.parametrize("name", SANE)
def test_clip_is_plain_torchs(name, scale):
    x = SANE[name]
    y = rows(len(x), seed=1).to(x.dtype)
    for pair in ((x, y), (y, x)):
        found = value_and_grads(lambda a, b: CLIPLoss()(a, b, scale), *pair)
        naive = value_and_grads(lambda a, b: plain(a, b, scale), *pair)
        exact = value_and_grads(lambda a, b: plain(a, b, scale), *(z.double() for z in pair))
        assert found[0].dtype == torch.float32
        assert {grad.dtype for grad in found[1]} == {x.dtype}
        for ours, theirs, truth in zip(flat(found), flat(naive), flat(exact), strict=True):
            assert torch.equal(ours.isfinite(), theirs.isfinite())
            finite = ours.isfinite()
            unit = truth[finite].abs().max().clamp(min=1e-6) if finite.any() else 1.0
            error, naive_error = (((z - truth)[finite] / unit).abs().sum() for z in (ours, theirs))
            assert error <= 2 * naive_error + 1e-5


def flat(found):
    """The value and the gradients, in float64."""
    return [z.double() for z in (found[0], *found[1])]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_makes_the_loss_none(name, value):
    for where in ((2, 1), 2):
        for pair in (
            (with_entry(where, value), rows(8, seed=1)),
            (rows(8, seed=1), with_entry(where, value)),
        ):
            found, grads = value_and_grads(LOSSES[name], *pair)
            assert found.isnan()
            assert all(grad.isnan().any() for grad in grads)


@pytest.mark.parametrize("name", LOSSES)
def test_what_cannot_be_compared_is_one_sentence(name):
    loss, function = LOSSES[name], name.split()[0]
    good = rows(8, seed=1)
    least = 1 if function == "CLIPLoss" else 4
    refused = [
        (rows(0), r"is empty, its shape is \(0, 5\)"),
        (rows(8, 0), r"is empty, its shape is \(8, 0\)"),
        (rows(8)[None], r"must have 2 dimensions .* but has shape \(1, 8, 5\)"),
        (rows(8)[:, 0], r"must have 2 dimensions .* but has shape \(8,\)"),
        (rows(7), "has 8 rows but|has 7 rows but"),
        (rows(8) * 1j, "must hold real numbers but has dtype torch.complex64"),
        (rows(8).to_sparse(), "must be a dense tensor but has layout torch.sparse_coo"),
        (rows(8).to(torch.float8_e4m3fn), "must hold real numbers but has dtype torch.float8_e4m3fn"),
        (None, "must be a two-dimensional array but is NoneType"),
    ]
    for bad, sentence in refused:
        for pair in ((bad, good), (good, bad)):
            with pytest.raises((TypeError, ValueError), match=f"^{function}: .*({sentence})") as found:
                loss(*pair)
            assert "\n" not in str(found.value)
    if least > 1:
        with pytest.raises(
            ValueError, match=f"^{function}: the unbiased estimator needs at least 4 rows but x has 3$"
        ):
            loss(rows(3), rows(3, seed=1))


@pytest.mark.parametrize("name", LOSSES)
def test_integers_and_mixed_dtypes_are_what_their_floats_are(name):
    loss, a, b = LOSSES[name], (10 * rows(8)).int(), (10 * rows(8, seed=1)).int()
    torch.testing.assert_close(loss(a, b), loss(a.double(), b.double()))
    half, single = rows(8).half(), rows(8, seed=1)
    torch.testing.assert_close(loss(half, single), loss(half.float(), single))
    torch.testing.assert_close(loss(single, single.double()), loss(single.double(), single.double()))


@pytest.mark.parametrize("name", ["CKALoss", "CKALoss of rbf"])
def test_a_constant_side_has_the_loss_1_and_no_gradient(name):
    for constant in (torch.zeros(8, 5), rows(1).expand(8, 5)):
        found, grads = value_and_grads(LOSSES[name], constant, rows(8, seed=1))
        assert found == 1
        assert not any(grad.any() for grad in grads)
