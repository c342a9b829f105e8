"""Rows with an infinite number: losses and gradients are infinite or NaN like those of plain torch."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")
INFINITE = {"positive": np.inf, "negative": -np.inf}


def logits_of_others(z, temperature):
    return (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)


def other_views(z):
    return torch.arange(len(z)).roll(len(z) // 2)


def plain_info_nce(anchors, keys, temperature):
    logits = anchors @ keys.T / temperature
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(anchors)), reduction="none")


def plain_symmetric(a, b, temperature):
    return (plain_info_nce(a, b, temperature) + plain_info_nce(b, a, temperature)) / 2


def plain_nt_xent(a, b, temperature):
    z = torch.cat([a, b])
    logits = logits_of_others(z, temperature)
    return torch.nn.functional.cross_entropy(logits, other_views(z), reduction="none")


def plain_dcl(a, b, temperature):
    z = torch.cat([a, b])
    rows = torch.arange(len(z))
    own = torch.zeros(len(z), len(z), dtype=torch.bool)
    own[rows, other_views(z)] = True
    logits = logits_of_others(z, temperature)
    return torch.logsumexp(logits.masked_fill(own, -torch.inf), 1) - logits[own]


def labels_of(a):
    return np.tile(np.arange(len(a)) % 2, 2)


def plain_sup_con(a, b, temperature):
    z, labels = torch.cat([a, b]), torch.from_numpy(labels_of(a))
    same = (labels[:, None] == labels) & ~torch.eye(len(z), dtype=torch.bool)
    logs = torch.log_softmax(logits_of_others(z, temperature), 1)
    return -torch.where(same, logs, 0.0).sum(1) / same.sum(1)


def queue_of(b):
    return 0.5 * np.roll(np.asarray(b), 1, 0) + 0.1


def plain_moco(a, b, temperature):
    queue = torch.from_numpy(queue_of(b.detach()))
    logits = torch.cat([(a * b).sum(1, keepdim=True), a @ queue.T], 1) / temperature
    return torch.nn.functional.cross_entropy(logits, torch.zeros(len(a), dtype=torch.long), reduction="none")


def joined(a, b):
    return torch.cat([a, b]) if isinstance(a, torch.Tensor) else np.concatenate([a, b])


def moco(module, a, b, **options):
    queue = queue_of(b.detach() if isinstance(b, torch.Tensor) else b)
    return module.moco(
        a, b, torch.from_numpy(queue).to(a) if isinstance(a, torch.Tensor) else queue, **options
    )


def log_sum_exps(module, a, b, temperature, **options):
    return module.row_log_sum_exp(a, b, temperature=temperature)


LOSSES = {  # plain torch, ours or the reference's
    "info_nce": (plain_info_nce, lambda m, a, b, **o: m.info_nce(a, b, **o)),
    "symmetric": (plain_symmetric, lambda m, a, b, **o: m.info_nce(a, b, symmetric=True, **o)),
    "nt_xent": (plain_nt_xent, lambda m, a, b, **o: m.nt_xent(a, b, **o)),
    "dcl": (plain_dcl, lambda m, a, b, **o: m.dcl(a, b, **o)),
    "sup_con": (plain_sup_con, lambda m, a, b, **o: m.sup_con(joined(a, b), labels_of(a), **o)),
    "moco": (plain_moco, moco),
    "row_log_sum_exp": (lambda a, b, t: torch.logsumexp(a @ b.T / t, 1), log_sum_exps),
}


def infinite_rows(rows, which, number, signs):
    a, b = torch.randn(2, rows, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(rows))
    if signs == "positive":  # all logits of the infinite row have one sign
        a, b = a.abs() + 0.1, b.abs() + 0.1
    (a if which == "first" else b)[-1, 0] = number
    return a, b


@pytest.mark.parametrize("signs", ["mixed", "positive"])
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("rows", [1, 3, 300])
@pytest.mark.parametrize("temperature", [1.0, 0.01, -0.5])  # below 0.0132 shifts follow the logits
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_infinite_or_nan_where_those_of_plain_torch_are(
    name, temperature, rows, which, number, signs
):
    """Differences to torch at an infinite logit: NaN where torch has a number, and vice versa."""
    plain, ours = LOSSES[name]
    data = infinite_rows(rows, which, number, signs)
    leaves = [z.clone().requires_grad_() for z in data]
    expected = plain(*leaves, temperature)
    exact = torch.autograd.grad(expected.sum(), leaves)
    expected = expected.detach()
    options = {"temperature": temperature, "normalize": False, "reduction": "none"}
    of_reference = ours(gramless.reference, *(z.numpy() for z in data), **options)
    np.testing.assert_allclose(of_reference, expected, rtol=1e-9, atol=1e-9)
    for dtype in (torch.float64, torch.float32):
        inputs = [z.to(dtype).clone().requires_grad_() for z in data]
        found = ours(gramless, *inputs, **options)
        torch.testing.assert_close(found.detach().double(), expected, rtol=1e-4, atol=1e-4, equal_nan=True)
        in_numpy = ours(gramless, *(z.detach().numpy() for z in inputs), **options)
        np.testing.assert_array_equal(in_numpy.astype(found.detach().numpy().dtype), found.detach().numpy())
        for gradient, wanted in zip(torch.autograd.grad(found.sum(), inputs), exact, strict=True):
            torch.testing.assert_close(gradient.double(), wanted, rtol=1e-3, atol=1e-3, equal_nan=True)
