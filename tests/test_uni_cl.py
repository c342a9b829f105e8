"""UniCL compared with its authors' formula, InfoNCE and code in the same precision; paths and errors."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference
from layouts import NUMPY_LAYOUTS
from loss_views import every_dtype, flat, labels_of, views
from naive_losses import result, softmax_loss, unit
from tolerance import assert_as_accurate

SHAPES = [(1, 3), (2, 4), (5, 1), (24, 129), (48, 2), (95, 64), (97, 17), (193, 5), (385, 33)]
TEMPERATURES = [0.005, 0.07, 0.5, 10.0, -0.3]


def naive(a, k, labels, tau, normalize, symmetric):
    """Loss and gradients, n x n in one dtype, positives in the sum."""
    (a, length_a), (k, length_k) = unit(a, normalize), unit(k, normalize)
    s, same = a @ k.T / tau, labels[:, None] == labels
    weight = s.dtype.type((0.5 if symmetric else 1) / len(a))
    losses, ds, _ = softmax_loss(s, same, np.ones_like(same))
    total, ds = np.sum(losses * weight), ds * weight
    if symmetric:
        losses, back, _ = softmax_loss(s.T, same, np.ones_like(same))
        total, ds = total + np.sum(losses * weight), ds + back.T * weight
    _, grads, by_tau = result(losses, ds, s, (a, k), (length_a, length_k), tau, normalize)
    return total, (*grads, by_tau)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@every_dtype
def test_as_accurate_as_naive_code(dtype, temperature, normalize, symmetric):
    ours, obvious, truth = [], [], []
    options = {"temperature": temperature, "normalize": normalize, "symmetric": symmetric}
    for n, d in SHAPES:
        pair, labels = views(n, d, dtype), labels_of(n)
        true = with_grads(reference, "uni_cl")(*pair, labels, **options)
        if dtype == np.float64:
            wide = (side.astype(np.longdouble) for side in pair)
            true = naive(*wide, labels, np.longdouble(temperature), normalize, symmetric)
        slope = 1 / abs(temperature)
        scales = [max(1, abs(true[0]))] + [
            max(np.abs(grad).max(), slope / (n if d < 3 else 1e3 * n)) for grad in true[1][:2]
        ]
        scales.append(max(abs(true[1][2]), slope))
        found = gramless.value_and_grad(gramless.uni_cl)(*pair, labels, **options)
        plain = naive(*pair, labels, dtype(temperature), normalize, symmetric)
        for values, (loss, grads) in ((ours, found), (obvious, plain), (truth, true)):
            parts = zip((loss, *grads), scales, strict=True)
            values.append(
                np.concatenate([np.ravel(part).astype(np.longdouble) / scale for part, scale in parts])
            )
    assert_as_accurate(*map(np.concatenate, (ours, obvious, truth)), dtype)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_reference_agrees(symmetric, reduction):
    (a, k), labels = views(90, 12), labels_of(90)
    options = {"temperature": 0.2, "symmetric": symmetric, "reduction": reduction}
    found, expected = (
        flat(with_grads(module, "uni_cl")(a, k, labels, **options)) for module in (gramless, reference)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    losses = gramless.uni_cl(a, k, labels, **options | {"reduction": "none"})
    np.testing.assert_allclose(losses, reference.uni_cl(a, k, labels, **options | {"reduction": "none"}))
    total = losses.mean() if reduction == "mean" else losses.sum()
    assert total == pytest.approx(gramless.uni_cl(a, k, labels, **options), rel=1e-13)


@pytest.mark.parametrize("symmetric", [True, False])
def test_pairs_with_labels_of_their_own_are_info_nce(symmetric):
    (a, k), options = views(150, 20), {"temperature": 0.1, "symmetric": symmetric}
    found = gramless.value_and_grad(gramless.uni_cl)(a, k, np.arange(150)[::-1], **options)
    expected = gramless.value_and_grad(gramless.info_nce, ("anchors", "keys", "temperature"))(a, k, **options)
    np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-12, atol=1e-15)


def test_labels_are_numbers_or_text_and_their_order_and_names_play_no_part():
    (a, k), labels = views(60, 7), labels_of(60)
    expected = gramless.uni_cl(a, k, labels)
    words = np.array(["cat", "owl", "dog", *map(str, range(20))])[labels]
    for given in (labels.tolist(), -5 - 3 * labels, words, words.tolist(), labels.astype(np.uint8)):
        assert gramless.uni_cl(a, k, given) == expected
    order = np.random.default_rng(1).permutation(60)
    assert gramless.uni_cl(a[order], k[order], labels[order]) == pytest.approx(expected, rel=1e-13)
    assert gramless.uni_cl(k, a, labels) == pytest.approx(expected, rel=1e-13)


def test_layouts_and_threads_change_no_bit():
    (a, k), labels = views(400, 33, np.float32), labels_of(400)
    one = gramless.uni_cl(a, k, labels)
    assert all(gramless.uni_cl(layout(a), layout(k), labels) == one for layout in NUMPY_LAYOUTS)
    before = gramless.get_num_threads()
    try:
        for threads in (1, 3):
            gramless.set_num_threads(threads)
            assert gramless.uni_cl(a, k, labels) == one
    finally:
        gramless.set_num_threads(before)


def test_nan_and_infinity_give_nan():
    (a, k), labels = views(30, 4), labels_of(30)
    for bad in (np.nan, np.inf):
        a[3, 1] = bad
        assert np.isnan(gramless.uni_cl(a, k, labels))
        assert np.isnan(gramless.uni_cl(k, a, labels, normalize=False))


PAIR = views(6, 3)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda a, k: gramless.uni_cl(a, k, [1, 2]),
            ValueError,
            "anchors and keys have 6 rows but labels has 2",
        ),
        (
            lambda a, k: gramless.uni_cl(a, k, np.ones((6, 2), int)),
            ValueError,
            "labels must have 1 dimension",
        ),
        (lambda a, k: gramless.uni_cl(a, k, np.ones(6)), TypeError, "labels must be integers or text but"),
        (lambda a, k: gramless.uni_cl(a, k, None), ValueError, "labels must have 1 dimension, one label per"),
        (lambda a, k: gramless.uni_cl(a, k[:5], [1] * 6), ValueError, "anchors has 6 rows but keys has 5"),
        (
            lambda a, k: gramless.uni_cl(a, k[:, :2], [1] * 6),
            ValueError,
            "anchors has 3 columns but keys has 2",
        ),
        (
            lambda a, k: gramless.uni_cl(a, k, [1] * 6, temperature=0),
            ValueError,
            "temperature must be finite and not 0",
        ),
        (lambda a, k: gramless.uni_cl(a, k, [1] * 6, reduction="max"), ValueError, "reduction must be"),
    ],
)
def test_errors_are_one_sentence(call, error, sentence):
    with pytest.raises(error) as caught:
        call(*PAIR)
    assert str(caught.value).startswith(f"uni_cl: {sentence}")
    assert "\n" not in str(caught.value)


torch = pytest.importorskip("torch")


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-6), (torch.float64, 1e-10)])
def test_soft_targets_of_the_authors_code_agree(dtype, digits):
    """Their targets are rows of equal labels, each divided by its sum, in a cross entropy of both sides."""
    a, k = (torch.from_numpy(side).to(dtype).requires_grad_() for side in views(130, 16))
    scale = torch.tensor(1 / 0.07, dtype=dtype, requires_grad=True)
    labels = torch.from_numpy(labels_of(130))
    targets = (labels[:, None] == labels).to(dtype)
    images, texts = (torch.nn.functional.normalize(side) for side in (a, k))
    logits = scale * images @ texts.T

    def soft_cross_entropy(logits):
        return -(targets / targets.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()

    theirs = (soft_cross_entropy(logits) + soft_cross_entropy(logits.T)) / 2
    ours = gramless.uni_cl(a, k, labels, temperature=1 / scale)
    assert ours.item() == pytest.approx(theirs.item(), rel=digits)
    for found, expected in zip(*(torch.autograd.grad(x, (a, k, scale)) for x in (ours, theirs)), strict=True):
        assert (found - expected).abs().max() <= 10 * digits * expected.abs().max()


@pytest.mark.parametrize("symmetric", [True, False])
def test_gradients_are_those_of_differences(symmetric):
    a, k = (torch.from_numpy(side).requires_grad_() for side in views(9, 4))
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    for reduction in ("mean", "none"):
        assert torch.autograd.gradcheck(
            lambda *x, r=reduction: gramless.uni_cl(
                *x[:2], labels_of(9), temperature=x[2], symmetric=symmetric, reduction=r
            ),
            (a, k, temperature),
        )


@pytest.mark.filterwarnings("ignore")  # torch deprecates what its compiler does
def test_every_path_gives_the_same_bits():
    (a, k), labels = views(40, 6), labels_of(40)
    value, (by_a, by_k, _) = gramless.value_and_grad(gramless.uni_cl)(a, k, labels)
    x, y, of_pairs = map(torch.from_numpy, (a, k, labels))

    def f(x, y):
        return gramless.uni_cl(x, y, of_pairs)

    assert f(x, y).item() == value
    for found, expected in zip(torch.func.grad(f, argnums=(0, 1))(x, y), (by_a, by_k), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
    batched = torch.func.vmap(f)(torch.stack([x, x.flip(0)]), torch.stack([y, y]))
    assert batched.tolist() == [f(x, y).item(), f(x.flip(0), y).item()]
    torch._dynamo.reset()
    x.requires_grad_()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")(x, y)
    assert compiled.item() == value
    assert torch.equal(torch.autograd.grad(compiled, x)[0], torch.from_numpy(by_a))
