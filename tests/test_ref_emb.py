"""Losses of labels against other embeddings, as in pytorch-metric-learning."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless import compat  # noqa: E402
from gramless.compat import pytorch_metric_learning  # noqa: E402

KINDS = ["NTXentLoss", "SupConLoss"]
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-10}
CASES = {  # labels of 12 embeddings and of the others
    "one positive each": (range(12), range(12)),
    "classes": ([i % 3 for i in range(12)], [i % 4 for i in range(20)]),
    "some without a positive": ([0, 0, 1, 9, 2, 2, 7, 1, 0, 0, 1, 2], [0, 1, 1, 3, 2, 0, 0, 4]),
    "no negative for some": ([0] * 6 + [1] * 6, [0] * 5),
    "among themselves": ([0, 0, 1, 2, 2, 2, 3, 1, 0, 0, 1, 2], None),
    "pairs among themselves": ([i // 2 for i in range(12)], None),
    "numbers far apart": ([-5, 2**40, 7, -5, 2**40, 7] * 2, [7, 7, -5, 2**40, 3]),
}


def problem(case, dtype):
    labels, of_others = CASES[case]
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(12, 6, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    labels = torch.tensor(list(labels))
    if of_others is None:
        return z, labels, None, None
    of_others = torch.tensor(list(of_others))
    others = torch.randn(len(of_others), 6, generator=generator, dtype=torch.float64).to(dtype)
    return z, labels, others.requires_grad_(), of_others


def by_definition(kind, z, labels, others, of_others, temperature):
    """With all matrices, in the dtype of z."""
    unit = torch.nn.functional.normalize
    apart = torch.ones(len(z), len(z) if others is None else len(others), dtype=torch.bool)
    if others is None:
        others, of_others = z, labels
        apart.fill_diagonal_(False)
    s = unit(z, dim=1) @ unit(others, dim=1).T / temperature
    positive = (labels[:, None] == of_others) & apart
    negative = (labels[:, None] != of_others) & apart
    counts = positive.sum(1)
    if kind == "SupConLoss":
        logs = s.masked_fill(~apart, -torch.inf).logsumexp(1)
        losses = (logs[:, None] - s).masked_fill(~positive, 0.0).sum(1)[counts > 0] / counts[counts > 0]
        return losses.mean()
    negatives = s.masked_fill(~negative, -1e9).logsumexp(1)
    return torch.logaddexp(negatives[:, None] - s, torch.zeros_like(s))[positive].mean()


def value_and_grads(loss, *leaves):
    return [loss.detach(), *torch.autograd.grad(loss, [x for x in leaves if x is not None])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_losses_and_gradients_are_those_of_the_definition(kind, case, dtype, monkeypatch):
    z, labels, others, of_others = problem(case, dtype)
    t = torch.tensor(0.2, dtype=dtype, requires_grad=True)
    wide = [
        x if x is None or x.dtype == torch.int64 else x.detach().double().requires_grad_()
        for x in (z, others, t)
    ]
    truth = value_and_grads(by_definition(kind, wide[0], labels, wide[1], of_others, wide[2]), *wide)
    for at_once in (1 << 14, 5):
        monkeypatch.setattr(pytorch_metric_learning, "_PAIRS_AT_ONCE", at_once)
        loss = getattr(compat, kind)(t)(z, labels, ref_emb=others, ref_labels=of_others)
        assert loss.dtype == dtype
        for found, expected in zip(value_and_grads(loss, z, others, t), truth, strict=True):
            torch.testing.assert_close(found.double(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [case for case in CASES if "no negative" not in case])
def test_they_are_pytorch_metric_learnings(kind, case):
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    z, labels, others, of_others = problem(case, torch.float64)
    given = {} if others is None else {"ref_emb": others, "ref_labels": of_others}
    ours = value_and_grads(getattr(compat, kind)(0.2)(z, labels, **given), z, others)
    theirs = value_and_grads(getattr(losses, kind)(temperature=0.2)(z, labels, **given), z, others)
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_transforms_differentiate_them(kind):
    z, labels, others, of_others = problem("classes", torch.float64)
    loss = getattr(compat, kind)(0.2)
    (expected,) = torch.autograd.grad(loss(z, labels, ref_emb=others, ref_labels=of_others), z)
    others = others.detach()
    found = torch.func.grad(lambda z: loss(z, labels, ref_emb=others, ref_labels=of_others))(z.detach())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_they_are_the_losses_of_views():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 9, 5, generator=generator, dtype=torch.float64)
    examples = torch.arange(9)
    found = compat.NTXentLoss(0.3)(a, examples, ref_emb=b, ref_labels=examples)
    assert found.item() == pytest.approx(gramless.info_nce(a, b, temperature=0.3).item(), rel=1e-12)
    found = compat.NTXentLoss(0.3)(torch.cat([a, b]), examples.repeat(2))
    assert found.item() == pytest.approx(gramless.nt_xent(a, b, temperature=0.3).item(), rel=1e-12)
    classes = examples % 4
    found = compat.SupConLoss(0.3)(a, classes)
    assert found.item() == pytest.approx(gramless.sup_con(a, classes, temperature=0.3).item(), rel=1e-12)


def test_labels_may_be_lists_and_arrays_and_rows_of_any_dtype():
    z, labels, others, of_others = problem("classes", torch.float32)
    loss = compat.NTXentLoss(0.2)
    expected = loss(z, labels, ref_emb=others, ref_labels=of_others)
    assert loss(z, labels.tolist(), ref_emb=others, ref_labels=of_others.numpy()) == expected
    assert loss(z, labels.int(), ref_emb=others.detach().numpy(), ref_labels=of_others.short()) == expected
    half = loss(z.half(), labels, ref_emb=others.half(), ref_labels=of_others)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(expected.item(), abs=1e-2)


REFUSED = {
    "a miner's pairs": (
        (None,),
        {"indices_tuple": (1, 2, 3)},
        NotImplementedError,
        "indices_tuple must be None",
    ),
    "no labels of others": (
        (None,),
        {"ref_labels": None},
        ValueError,
        "ref_emb needs ref_labels, which is None",
    ),
    "no others": ((None,), {"ref_emb": None}, ValueError, "ref_labels needs ref_emb, which is None"),
    "labels": ((np.arange(5),), {}, ValueError, r"embeddings has 12 rows but labels has shape \(5,\)"),
    "their labels": (
        (None,),
        {"ref_labels": [1, 2]},
        ValueError,
        r"ref_emb has 20 rows but ref_labels has shape \(2,\)",
    ),
    "floats": ((np.arange(12.0),), {}, TypeError, "labels must be integers but has dtype float64"),
    "text": ((list("abcabcabcabc"),), {}, TypeError, "labels must be integers but has dtype <U1"),
    "none": ((None,), {"labels": None}, ValueError, "labels must have one integer for each row of"),
    "views": (
        (np.zeros((12, 6)),),
        {},
        ValueError,
        r"labels has shape \(12, 6\), as embeddings; two views of each example are for gramless\.nt_xent$",
    ),
    "widths": (
        (None,),
        {"ref_emb": torch.ones(20, 2)},
        ValueError,
        "embeddings has 6 columns but ref_emb has 2",
    ),
    "one row": ((None,), {"ref_emb": torch.ones(20)}, ValueError, "ref_emb must have 2 dimensions"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_no_sense_is_one_sentence(kind, what):
    (other_labels,), changed, error, sentence = REFUSED[what]
    z, labels, others, of_others = problem("classes", torch.float32)
    labels = labels if other_labels is None else other_labels
    given = {"ref_emb": others, "ref_labels": of_others} | changed
    with pytest.raises(error, match=f"^{kind}: {sentence}"):
        getattr(compat, kind)()(z, **({"labels": labels} | given))
