"""`sup_con` with ignored rows, and with positives given by a mask."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference

torch = pytest.importorskip("torch")

from gramless.torch import SupConLoss  # noqa: E402

LABELS = np.array([2, -1, 0, 2, 0, -1, 2, 5, -1, 0])
TEXT = np.array([f"class {label}" for label in LABELS])


def rows(n=10, d=6, dtype=np.float64):
    return np.random.default_rng(0).standard_normal((n, d)).astype(dtype)


def sup_contrast(features, labels=None, mask=None, temperature=0.07):
    """HobbitLong/SupContrast's losses.py, contrast_mode "all", base_temperature = temperature."""
    batch, views = features.shape[:2]
    if labels is not None:
        mask = torch.eq(labels.view(-1, 1), labels.view(1, -1)).to(features.dtype)
    contrast = torch.cat(torch.unbind(features, dim=1), dim=0)
    logits = contrast @ contrast.T / temperature
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    mask = mask.to(features.dtype).repeat(views, views)
    others = 1 - torch.eye(batch * views, dtype=features.dtype)
    mask = mask * others
    log_prob = logits - torch.log((logits.exp() * others).sum(1, keepdim=True))
    pairs = mask.sum(1)
    pairs = torch.where(pairs < 1e-6, 1.0, pairs)
    return -((mask * log_prob).sum(1) / pairs)


def everything(z, *arguments, **options):
    """(loss, grad_z, grad_temperature) of numpy, the reference and torch."""
    found = []
    for package in (gramless, reference):
        loss, (grad, by_temperature) = with_grads(package, "sup_con")(z, *arguments, **options)
        value = package.sup_con(z, *arguments, **options)
        assert value == pytest.approx(loss, rel=1e-12)
        found.append((loss, grad, by_temperature))
    tensor = torch.tensor(z, requires_grad=True)
    t = torch.tensor(options.pop("temperature", 0.07), dtype=torch.float64, requires_grad=True)
    loss = gramless.sup_con(tensor, *arguments, temperature=t, **options)
    grads = torch.autograd.grad(loss, (tensor, t), allow_unused=True)
    found.append((loss.item(), *(0.0 if g is None else g.numpy() for g in grads)))
    return found


def assert_same(results, expected):
    for result in results:
        for ours, theirs in zip(result, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("labels", [LABELS, TEXT], ids=["integers", "text"])
def test_ignored_rows_are_as_though_not_there(labels):
    z, ignored = rows(), LABELS == -1
    name = labels[1] if labels is TEXT else -1
    loss, (grad, by_temperature) = gramless.value_and_grad(gramless.sup_con)(z[~ignored], labels[~ignored])
    expected = np.zeros_like(z)
    expected[~ignored] = grad
    assert_same(everything(z, labels, ignore_index=name), (loss, expected, by_temperature))
    for package in (gramless, reference):
        losses = package.sup_con(z, labels, ignore_index=name, reduction="none")
        assert not losses[ignored].any()
        assert np.allclose(losses[~ignored], package.sup_con(z[~ignored], labels[~ignored], reduction="none"))
    of_tensor = gramless.sup_con(torch.tensor(z), labels, ignore_index=name, reduction="none")
    np.testing.assert_allclose(of_tensor.numpy(), losses, rtol=1e-9)


def test_no_label_is_ignored_unless_it_is_said():
    z, labels = rows(), np.where(LABELS > 0, 1, -1)  # two classes
    assert gramless.sup_con(z, labels) == pytest.approx(reference.sup_con(z, labels + 1), rel=1e-12)
    unchanged = gramless.value_and_grad(gramless.sup_con)(z, labels, ignore_index=7)
    assert unchanged[0] == gramless.sup_con(z, labels)


def test_where_all_rows_are_ignored_there_is_nothing_to_learn():
    z, labels = rows(), np.full(10, -1)
    assert_same(everything(z, labels, ignore_index=-1), (0.0, np.zeros_like(z), 0.0))
    assert not gramless.sup_con(z, labels, ignore_index=-1, reduction="none").any()


def test_the_module_ignores_rows_of_all_views():
    z, labels = torch.tensor(rows(12)).reshape(4, 3, 6), torch.tensor([3, -1, 3, 8])
    found = SupConLoss(0.2, ignore_index=-1)(z, labels)
    torch.testing.assert_close(found, SupConLoss(0.2)(z[[0, 2, 3]], labels[[0, 2, 3]]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_rows_are_ignored_in_one_graph_for_any_labels_and_temperature(reduction):
    from torch._dynamo.testing import CompileCounterWithBackend

    z = torch.tensor(rows(10)).requires_grad_()
    weights = torch.linspace(-1, 1, 10, dtype=torch.float64)

    def step(labels, temperature, **options):
        loss = gramless.sup_con(
            z, labels, temperature=temperature, ignore_index=-1, reduction=reduction, **options
        )
        return loss * weights if reduction == "none" else loss

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(step, fullgraph=True, backend=counter)
    for seed, labels in enumerate([LABELS, np.full(10, -1), LABELS * 0, *[LABELS] * 8]):
        learned = torch.tensor(0.2 + seed, dtype=torch.float64, requires_grad=True)
        for temperature in (0.1 + seed / 9, learned):
            given = torch.tensor(labels)
            found, expected = compiled(given, temperature), step(given, temperature)
            torch.testing.assert_close(found, expected)
            wanted = [z, *([learned] if temperature is learned else [])]
            for ours, theirs in zip(
                torch.autograd.grad(found.sum(), wanted, allow_unused=True),
                torch.autograd.grad(expected.sum(), wanted, allow_unused=True),
                strict=True,
            ):
                torch.testing.assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs)
    assert counter.frame_count <= 4  # two for all floats, two for all tensors
    with pytest.raises(ValueError, match="temperature must be finite and not 0"):
        compiled(torch.tensor(LABELS), 0.0)


MASKS = {
    "classes": (LABELS[:, None] == LABELS).astype(np.float64),
    "bool": LABELS[:, None] == LABELS,
    "asymmetric": np.tril(np.ones((10, 10)), 1),
    "weights": np.random.default_rng(1).random((10, 10)),
    "rows without": np.eye(10)[:, ::-1] * (np.arange(10) % 2)[:, None],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("temperature", [0.07, 0.5, -0.4])
def test_a_mask_is_sup_contrasts(mask, temperature):
    z, mask = rows(), MASKS[mask]
    counted = (mask * (1 - np.eye(10))).sum(1) > 0
    tensor, t = (
        torch.tensor(z, requires_grad=True),
        torch.tensor(temperature, dtype=torch.float64, requires_grad=True),
    )
    unit = torch.nn.functional.normalize(tensor)[:, None]
    losses = sup_contrast(unit, mask=torch.tensor(mask), temperature=t)
    loss = losses.sum() / counted.sum()
    grads = [g.numpy() for g in torch.autograd.grad(loss, (tensor, t))]
    assert_same(everything(z, mask=mask, temperature=temperature), (loss.item(), *grads))
    for package, x in ((gramless, z), (reference, z), (gramless, torch.tensor(z))):
        each = package.sup_con(x, mask=mask, temperature=temperature, reduction="none")
        np.testing.assert_allclose(each, losses.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_a_mask_of_classes_is_their_labels():
    z = rows()
    for options in ({}, {"normalize": False, "temperature": 2.0}, {"reduction": "sum"}):
        loss, (grad, by_temperature) = gramless.value_and_grad(gramless.sup_con)(z, LABELS, **options)
        assert_same(everything(z, mask=MASKS["classes"], **options), (loss, grad, by_temperature))


def test_views_of_a_mask_are_sup_contrasts():
    z = torch.nn.functional.normalize(torch.tensor(rows(12)), dim=1).reshape(4, 3, 6)
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(
        SupConLoss(0.2)(z, mask=mask), sup_contrast(z, mask=mask, temperature=0.2).mean()
    )
    torch.testing.assert_close(SupConLoss(0.2)(z, mask=torch.eye(4)), SupConLoss(0.2)(z))
    labels = torch.tensor([1, 1, 0, 0])
    expected = sup_contrast(z, labels, temperature=0.2).mean()
    torch.testing.assert_close(SupConLoss(0.2)(z, labels), expected)
    torch.testing.assert_close(SupConLoss(0.2)(z, mask=labels[:, None] == labels), expected)
    compiled = torch.compile(SupConLoss(0.2), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(z, mask=mask), SupConLoss(0.2)(z, mask=mask))


def test_float32_masks_are_as_accurate_as_naive_code():
    z, mask = rows(60, 16, np.float32), np.tril(np.ones((60, 60)))
    truth = reference.sup_con(z, mask=mask)
    unit = torch.nn.functional.normalize(torch.tensor(z))[:, None]
    naive = sup_contrast(unit, mask=torch.tensor(mask))[1:].mean().item()
    for found in (gramless.sup_con(z, mask=mask), gramless.sup_con(torch.tensor(z), mask=mask).item()):
        assert abs(found - truth) <= 2 * abs(naive - truth) + 5e-7 * truth


REFUSED = {
    "neither": ({}, "pass labels or mask to define the positives; both are None"),
    "both": ({"labels": LABELS, "mask": MASKS["bool"]}, "pass mask or labels, not both"),
    "shape": ({"mask": np.ones((10, 9))}, r"z has 10 rows but mask has shape \(10, 9\), not \(10, 10\)"),
    "ignored": ({"mask": MASKS["bool"], "ignore_index": -1}, "pass mask or ignore_index, not both"),
    "limits": ({"mask": MASKS["bool"], "exclude_above": 0.5}, "pass mask or exclude_above, not both"),
    "easiest": ({"mask": MASKS["bool"], "exclude_easiest": 0}, "pass mask or exclude_easiest, not both"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("package", [gramless, reference, torch], ids=["core", "reference", "torch"])
def test_what_does_not_fit_is_one_sentence(package, case):
    options, sentence = REFUSED[case]
    z = torch.tensor(rows()) if package is torch else rows()
    call = reference.sup_con if package is reference else gramless.sup_con
    with pytest.raises(ValueError, match=f"^sup_con: {sentence}"):
        call(z, **options)


def test_the_module_refuses_what_does_not_fit():
    z = torch.tensor(rows(12)).reshape(4, 3, 6)
    with pytest.raises(ValueError, match=r"^SupConLoss: z has 4 examples but mask has shape \(12, 12\)"):
        SupConLoss()(z, mask=torch.ones(12, 12))
    with pytest.raises(ValueError, match=r"^SupConLoss: pass mask or labels, not both"):
        SupConLoss()(z, torch.arange(4), torch.eye(4))
    with pytest.raises(ValueError, match=r"pass gather_distributed=True or ignore_index=-1, not both"):
        SupConLoss(gather_distributed=True, ignore_index=-1)
    with pytest.raises(ValueError, match="pass gather_distributed=True or mask, not both"):
        SupConLoss(gather_distributed=True)(z, mask=torch.eye(4))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mask_with_nan_or_infinity_gives_nan_to_the_loss_and_to_every_gradient(value):
    z, mask = rows(), MASKS["weights"].copy()
    mask[2, 5] = value
    tensor = torch.tensor(z, requires_grad=True)
    t = torch.tensor(0.07, dtype=torch.float64, requires_grad=True)
    loss = gramless.sup_con(tensor, mask=mask, temperature=t)
    of_torch = loss.item(), *(g.numpy() for g in torch.autograd.grad(loss, (tensor, t)))
    of_arrays = []
    for package in (gramless, reference):
        each = package.sup_con(z, mask=mask, reduction="none")
        np.testing.assert_array_equal(np.isnan(each), np.arange(10) == 2)
        found, (by_z, by_temperature) = with_grads(package, "sup_con")(z, mask=mask)
        of_arrays.append((found, by_z, by_temperature))
    for found, by_z, by_temperature in (of_torch, *of_arrays):
        assert np.isnan([found, by_temperature, *by_z[[2, 5]].ravel()]).all()


NO_LABELS = {
    "array": np.array([1, 2]), "list": [1], "tensor": torch.tensor([1]), "beyond": 10**30, "half": 1.5,
    "nan": float("nan"), "object": object(),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_LABELS)
@pytest.mark.parametrize("labels", ["integers", "bool", "text", "tensor", "bool tensor"])
def test_what_no_label_can_be_is_not_ignored_in_silence(labels, name):
    z, given = rows(), {"integers": LABELS, "bool": LABELS > 0, "text": TEXT}.get(labels)
    if given is None:
        given = torch.tensor(LABELS > 0 if labels == "bool tensor" else LABELS)
    sentence = "^sup_con: ignore_index must be None or one label, an integer or text, but is "
    calls = [(gramless, z), (gramless, torch.tensor(z))] + ([] if "tensor" in labels else [(reference, z)])
    for package, x in calls:
        with pytest.raises((TypeError, ValueError), match=sentence):
            package.sup_con(x, given, ignore_index=NO_LABELS[name])


@pytest.mark.parametrize("ignored", [255, -1, 2**40, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.int64])
def test_ignored_labels_do_not_wrap_around(dtype, ignored):
    z, labels = rows(), np.array([0, 1, 255, 255, 1, 0, 7, 7, 0, 1]).astype(dtype)
    kept = labels != ignored
    expected = gramless.sup_con(z[kept], labels[kept])
    tensors = torch.tensor(z), torch.tensor(labels)
    for x, given in ((z, labels), (tensors[0], labels), tensors):
        assert float(gramless.sup_con(x, given, ignore_index=ignored)) == pytest.approx(expected, rel=1e-12)


def test_labels_that_cannot_be_read_are_one_sentence():
    freed = torch.tensor(LABELS)
    freed.untyped_storage().resize_(0)
    sentences = {
        r"must be integers or text but is list \(": [[1], [1, 2]] * 5,
        "must be a dense tensor but has layout": torch.tensor(LABELS).to_sparse(),
        "is a Tensor without storage": freed,
        "must be integers or text but has dtype torch.float": torch.tensor(LABELS).float(),
    }
    for sentence, labels in sentences.items():
        for z in (rows(), torch.tensor(rows())):
            with pytest.raises(TypeError, match=f"^sup_con: labels {sentence}"):
                gramless.sup_con(z, labels)


def test_arrays_take_the_mask_of_a_tensor():
    z, mask = rows(), torch.tensor(MASKS["weights"], dtype=torch.bfloat16)
    expected = gramless.sup_con(z, mask=mask.double().numpy())
    negated = torch.complex(torch.zeros(10, 10), -mask.float()).conj().imag
    for given in (mask, mask.float().requires_grad_(), negated):
        assert gramless.sup_con(z, mask=given) == expected
    with pytest.raises(TypeError, match=r"^sup_con: mask must be a dense tensor but has layout"):
        gramless.sup_con(z, mask=mask.to_sparse())
    with pytest.raises(
        TypeError, match=r"^sup_con: mask must hold real numbers but has dtype torch\.complex64"
    ):
        gramless.sup_con(z, mask=mask.to(torch.complex64))
    mask.untyped_storage().resize_(0)
    with pytest.raises(TypeError, match=r"^sup_con: mask is a Tensor without storage"):
        gramless.sup_con(z, mask=mask)
