"""`gramless.moco`: the loss of MoCo's own code, for numpy and torch, with its gradients."""

from __future__ import annotations

import gramless
import naive_losses
import numpy as np
import pytest
from gradients import with_grads
from gramless import reference
from tolerance import FLOOR

torch = pytest.importorskip("torch")

import torch_formulas as plain  # noqa: E402
from gramless.torch import MoCoLoss, NTXentLoss  # noqa: E402


def problem(n=9, m=21, d=6, dtype=np.float64, seed=0):
    generator = np.random.default_rng(seed)
    q, queue = generator.standard_normal((n, d)), generator.standard_normal((m, d))
    k = q + 0.3 * generator.standard_normal((n, d))
    return [x.astype(dtype) for x in (q, k, queue)]


def mocos_code(q, k, queue, temperature):
    """`forward` and the criterion of facebookresearch/moco, whose queue is (d, m)."""
    q, k = torch.nn.functional.normalize(q, dim=1), torch.nn.functional.normalize(k, dim=1)
    l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
    l_neg = torch.einsum("nc,ck->nk", [q, torch.nn.functional.normalize(queue, dim=1).T])
    logits = torch.cat([l_pos, l_neg], dim=1) / temperature
    return torch.nn.CrossEntropyLoss()(logits, torch.zeros(len(q), dtype=torch.long))


def of_torch(loss, q, k, queue, temperature):
    inputs = [torch.tensor(x, requires_grad=True) for x in (q, k, np.float64(temperature))]
    value = loss(*inputs[:2], torch.tensor(queue), inputs[2])
    return [value.detach().numpy(), *(g.numpy() for g in torch.autograd.grad(value, inputs))]


def flat(result):
    loss, gradients = result
    return [np.asarray(loss), *map(np.asarray, gradients)]


@pytest.mark.parametrize("package", [gramless, reference], ids=["core", "reference"])
@pytest.mark.parametrize("temperature", [0.07, 0.5, -0.3, 0.002])
def test_moco_is_mocos(package, temperature):
    q, k, queue = problem()
    expected = of_torch(mocos_code, q, k, queue, temperature)
    found = flat(with_grads(package, "moco")(q, k, queue, temperature=temperature))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert package.moco(q, k, queue, temperature=temperature) == pytest.approx(float(expected[0]), rel=1e-12)


def test_other_keys_are_no_negatives():
    q, k, queue = problem()
    alone = [gramless.moco(q[i : i + 1], k[i : i + 1], queue) for i in range(len(q))]
    assert np.allclose(gramless.moco(q, k, queue, reduction="none"), alone, rtol=1e-12)
    assert gramless.moco(q, k, queue) < gramless.info_nce(q, k, queue)
    one = gramless.info_nce(q[:1], k[:1], queue)
    assert gramless.moco(q[:1], k[:1], queue) == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_numpy_and_torch_are_as_accurate_as_naive_code(normalize, dtype, reduction):
    q, k, queue = problem(40, 150, 16, dtype)
    options = {"temperature": 0.1, "normalize": normalize, "reduction": reduction}
    truth = flat(reference.moco_value_and_grad(*(x.astype(np.float64) for x in (q, k, queue)), **options))
    factor = len(q) if reduction == "sum" else 1
    naive = flat(naive_losses.moco(q, k, queue, dtype(0.1), normalize))
    tensors = [torch.tensor(x) for x in (q, k)]
    a, b, t = (
        *(x.requires_grad_() for x in tensors),
        torch.tensor(0.1, dtype=torch.float64, requires_grad=True),
    )
    value = gramless.moco(a, b, torch.tensor(queue), **options | {"temperature": t})
    of_tensors = [value.detach().numpy(), *(g.numpy() for g in torch.autograd.grad(value, (a, b, t)))]
    for found in (flat(with_grads(gramless, "moco")(q, k, queue, **options)), of_tensors):
        for ours, theirs, exact in zip(found, naive, truth, strict=True):
            unit = max(np.abs(exact).max(), 1)
            error, naive_error = (np.abs(x - exact).max() / unit for x in (ours, factor * theirs))
            assert error <= 2 * naive_error + FLOOR[np.dtype(dtype)]
            assert ours.ndim == 0 or ours.dtype == dtype


def test_late_in_training_the_gradient_keeps_its_digits():
    """The positive has nearly all of the softmax: 1 - P cancels in float32."""
    generator = np.random.default_rng(0)
    q = generator.standard_normal((32, 64)).astype(np.float32)
    k, queue = (
        (q + 1e-3 * generator.standard_normal(q.shape)).astype(np.float32),
        generator.standard_normal((99, 64)),
    )
    queue = queue.astype(np.float32)
    _, (expected, *_) = reference.moco_value_and_grad(q, k, queue, temperature=0.05)
    _, (found, *_) = with_grads(gramless, "moco")(q, k, queue, temperature=0.05)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_module_the_bank_and_the_function_are_one_loss():
    q, k, queue = (torch.tensor(x) for x in problem())
    expected = plain.moco(q, k, torch.nn.functional.normalize(queue), 0.2)
    torch.testing.assert_close(MoCoLoss(0.2)(q, k, queue), expected)
    bank = NTXentLoss(0.2, memory_bank_size=tuple(queue.shape))
    bank.memory_bank.bank.copy_(torch.nn.functional.normalize(queue))
    torch.testing.assert_close(bank(q, k), expected, rtol=1e-6, atol=0)
    learned = MoCoLoss(torch.nn.Parameter(torch.tensor(0.2)))
    learned(q, k, queue).backward()
    assert learned.temperature.grad.isfinite()


@pytest.mark.filterwarnings("ignore")  # torch's own, of its own compiler
def test_moco_compiles_in_one_graph_and_under_transforms():
    q, k, queue = (torch.tensor(x) for x in problem())
    loss = MoCoLoss(0.2)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = torch.func.grad(loss)(q, k, queue)
    inputs = q.clone().requires_grad_()
    compiled(inputs, k, queue).backward()
    torch.testing.assert_close(inputs.grad, expected)
    each = torch.func.vmap(loss, (0, 0, None))(torch.stack([q, k]), torch.stack([k, q]), queue)
    torch.testing.assert_close(each, torch.stack([loss(q, k, queue), loss(k, q, queue)]))
    half = loss(*(x.to(torch.bfloat16) for x in (q, k, queue)))
    assert half.dtype == torch.float32
    torch.autograd.gradcheck(lambda q, k: loss(q, k, queue), (q.requires_grad_(), k.requires_grad_()))


def test_gradients_of_tensors_without_autograd():
    q, k, queue = (torch.tensor(x) for x in problem())
    for found, theirs in zip(
        flat(with_grads(gramless, "moco")(q, k, queue)),
        flat(with_grads(gramless, "moco")(*problem())),
        strict=True,
    ):
        np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)


def test_the_queue_is_constant():
    q, k, queue = (torch.tensor(x, requires_grad=True) for x in problem())
    MoCoLoss()(q, k, queue).backward()
    assert queue.grad is None


CALLS = {
    "core": lambda *x: gramless.moco(*x),
    "gradient": lambda *x: with_grads(gramless, "moco")(*x),
    "torch": lambda *x: gramless.moco(*(torch.tensor(z) for z in x)),
    "reference": lambda *x: reference.moco(*x),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_does_not_fit_is_one_sentence(call):
    q, k, queue = problem()
    with pytest.raises(
        ValueError, match=r"q has 6 columns but queue has 21; each key must be .* pass queue.T"
    ):
        CALLS[call](q, k, queue.T)
    with pytest.raises(ValueError, match="q has 6 columns but queue has 4"):
        CALLS[call](q, k, queue[:, :4])
    with pytest.raises(ValueError, match="q has 9 rows but k has 8"):
        CALLS[call](q, k[:8], queue)
    with pytest.raises(ValueError, match="q has 6 columns but k has 5"):
        CALLS[call](q, k[:, :5], queue)
    with pytest.raises(ValueError, match="queue is empty"):
        CALLS[call](q, k, queue[:0])


def test_nan_stays_in_its_row():
    q, k, queue = problem()
    q[3] = np.nan
    for losses in (
        gramless.moco(q, k, queue, reduction="none"),
        gramless.moco(*map(torch.tensor, (q, k, queue)), reduction="none").numpy(),
        reference.moco(q, k, queue, reduction="none"),
    ):
        assert np.isnan(losses).tolist() == [i == 3 for i in range(9)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_infinite_logit_of_a_positive_is_no_loss_of_0(dtype):
    """Plain torch computes inf - inf there."""
    q, k, queue = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(dtype)
    k[1, 0] = np.copysign(np.inf, q[1, 0])
    options = {"normalize": False, "reduction": "none"}
    losses = gramless.moco(q, k, queue, **options)
    assert list(np.isnan(losses)) == [False, True, False, False]
    assert np.isnan(gramless.moco(q, k, queue, normalize=False))
    tensors = [torch.from_numpy(z) for z in (q, k, queue)]
    np.testing.assert_array_equal(gramless.moco(*tensors, **options).numpy(), losses.astype(dtype))
