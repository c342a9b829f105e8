"""Rows with an infinite number: losses are infinite or NaN where those of plain torch are."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")
INFINITE = {"positive": np.inf, "negative": -np.inf}


def plain_info_nce(anchors, keys, temperature):
    logits = anchors @ keys.T / temperature
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(anchors)), reduction="none")


def plain_nt_xent(a, b, temperature):
    z, n = torch.cat([a, b]), len(a)
    logits = (z @ z.T / temperature).masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    other = torch.cat([torch.arange(n) + n, torch.arange(n)])
    return torch.nn.functional.cross_entropy(logits, other, reduction="none")


PLAIN = {"info_nce": plain_info_nce, "nt_xent": plain_nt_xent}


@pytest.mark.parametrize("sign", INFINITE)
@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("temperature", [1.0, 0.01])  # below 0.0132 shifts follow the logits
@pytest.mark.parametrize("name", PLAIN)
def test_an_infinite_logit_of_a_positive_is_no_loss_of_0(name, temperature, rows, which, sign):
    """In a batch of one example nothing else would tell."""
    a, b = torch.randn(2, rows, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(rows))
    (a if which == "first" else b)[0, 0] = INFINITE[sign]
    options = {"temperature": temperature, "normalize": False, "reduction": "none"}
    expected = PLAIN[name](a, b, temperature)
    for dtype in (torch.float64, torch.float32):
        inputs = [z.to(dtype).clone() for z in (a, b)]
        found = getattr(gramless, name)(*inputs, **options)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4, equal_nan=True)
        in_numpy = getattr(gramless, name)(*(z.numpy() for z in inputs), **options)
        np.testing.assert_array_equal(in_numpy.astype(found.numpy().dtype), found.numpy())
        if not expected[0].isfinite():
            leaf = inputs[0].requires_grad_()
            getattr(gramless, name)(leaf, inputs[1], **options | {"reduction": "sum"}).backward()
            assert not leaf.grad[0].isfinite().all()
