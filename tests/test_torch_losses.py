"""The losses of gramless.torch: equal to plain torch, with its gradients."""

from __future__ import annotations

import gramless
import pytest

torch = pytest.importorskip("torch")

import torch_formulas as plain  # noqa: E402
from gramless.torch import CLIPLoss, DCLLoss, NTXentLoss, SupConLoss  # noqa: E402
from torch_formulas import leaves, value_and_grads  # noqa: E402

LABELS = torch.tensor([3, 1, 3, 3, 9, 1])
QUEUE = torch.linspace(-1, 1, 35, dtype=torch.float64).reshape(7, 5).cos()
LOSSES = {
    "nt_xent": (lambda a, b, t: NTXentLoss(t)(a, b), plain.nt_xent),
    "dcl": (lambda a, b, t: DCLLoss(t)(a, b), plain.dcl),
    "clip": (lambda a, b, t: CLIPLoss(t)(a, b), plain.clip),
    "sup_con": (
        lambda a, b, t: SupConLoss(t)(torch.stack([a, b], 1), LABELS),
        lambda a, b, t: plain.sup_con(torch.cat([a, b]), LABELS.repeat(2), t),
    ),
    "sup_con_of_one_view": (
        lambda a, b, t: gramless.sup_con(a, LABELS, temperature=t) + b.mean(),
        lambda a, b, t: plain.sup_con(a, LABELS, t) + b.mean(),
    ),
    "info_nce_with_a_queue": (
        lambda a, b, t: gramless.info_nce(a, b, QUEUE, temperature=t),
        lambda a, b, t: torch.nn.functional.cross_entropy(
            plain.normalize(a) @ plain.normalize(torch.cat([b, QUEUE])).T / t, torch.arange(len(a))
        ),
    ),
    "log_sum_exp": (
        lambda a, b, t: gramless.row_log_sum_exp(a, b, temperature=t).square().sum(),
        lambda a, b, t: (a @ b.T / t).logsumexp(1).square().sum(),
    ),
}
every_loss = pytest.mark.parametrize("loss", LOSSES)


@every_loss
@pytest.mark.parametrize("temperature", [0.3, 0.02, -0.5])
def test_value_and_every_gradient_are_those_of_plain_torch(loss, temperature):
    ours, theirs = LOSSES[loss]
    inputs = leaves(temperature=temperature)
    for x, y in zip(value_and_grads(ours, *inputs), value_and_grads(theirs, *inputs), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-11)


@every_loss
def test_gradients_are_those_of_finite_differences(loss):
    assert torch.autograd.gradcheck(LOSSES[loss][0], leaves())


def test_gradients_of_losses_that_are_not_reduced():
    def losses(a, b, t):
        return gramless.nt_xent(a, b, temperature=t, reduction="none", exclude_above=0.3)

    assert torch.autograd.gradcheck(losses, leaves())


def test_gradients_without_the_hardest_negatives():
    hardest = gramless.nt_xent(*leaves()[:2], exclude_hardest=0.3, reduction="sum")
    assert hardest < gramless.nt_xent(*leaves()[:2], reduction="sum")
    a, b, t = leaves()
    assert torch.autograd.gradcheck(
        lambda a, b, t: gramless.info_nce(a, b, temperature=t, symmetric=True, exclude_hardest=0.4), (a, b, t)
    )


def test_gradients_without_the_easiest_negatives():
    easiest = gramless.nt_xent(*leaves()[:2], exclude_easiest=0.3, reduction="sum")
    assert easiest < gramless.nt_xent(*leaves()[:2], reduction="sum")
    for options in ({"exclude_easiest": 0.4}, {"exclude_easiest": 0.4, "exclude_hardest": 0.2}):
        assert torch.autograd.gradcheck(
            lambda a, b, t, options=options: gramless.info_nce(
                a, b, temperature=t, symmetric=True, **options
            ),
            leaves(),
        )


def test_gradient_of_distilled_similarities():
    a, b, t = leaves()
    queue, of_teacher = leaves(9, 5, seed=1)[0].detach(), leaves(9, 3, seed=2)[0].detach()
    teacher = b.detach()[:, :3]
    for queues, seen in (((queue,), b.detach()), ((queue, of_teacher), teacher)):

        def loss(a, t, queues=queues, seen=seen):
            return gramless.similarity_distillation(a, seen, *queues, temperature=t)

        assert torch.autograd.gradcheck(loss, (a, t))
        arrays = [x.detach().numpy() for x in (a, seen, *queues)]
        expected = gramless.reference.similarity_distillation(*arrays, temperature=t.item())
        assert loss(a, t).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", ["nt_xent", "clip"])
def test_late_in_training_float32_gradients_keep_their_digits(name):
    """Loss about 1e-3 at temperature 0.05: with the positive inside the sum the error is 2e-4."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.linalg.qr(torch.randn(128, 128, dtype=torch.float64, generator=generator))[0]
    a, b = (
        (centres + 0.06 * torch.randn(128, 128, dtype=torch.float64, generator=generator)).float()
        for _ in range(2)
    )
    ours, theirs = LOSSES[name]
    inputs = [x.requires_grad_() for x in (a, b, torch.tensor(0.05))]
    found = value_and_grads(ours, *inputs)
    expected = value_and_grads(theirs, *(x.detach().double().requires_grad_() for x in inputs))
    assert 3e-4 < expected[0] < 3e-3
    for x, y in zip(found, expected, strict=True):
        assert (x.double() - y).norm() <= 5e-6 * y.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype, request):
    inputs = leaves(dtype=dtype)
    value, *grads = value_and_grads(LOSSES["nt_xent"][0], *inputs)
    assert value.dtype == torch.float32
    assert [g.dtype for g in grads] == [dtype] * 3
    wide = [x.detach().float().requires_grad_() for x in inputs]
    expected, *expected_grads = value_and_grads(LOSSES["nt_xent"][0], *wide)
    if request.config.getoption("--tensors-on") == "emulated":
        # Kernels multiply unit rows of the inputs' dtype: each element is off by half an epsilon of itself.
        epsilon = torch.finfo(dtype).eps
        torch.testing.assert_close(value, expected, rtol=0, atol=epsilon)
        for g, e in zip(grads, expected_grads, strict=True):
            assert (g.float() - e).norm() <= 2 * epsilon * e.norm()
        return
    torch.testing.assert_close(value, expected)
    for g, e in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(g, e.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("length", [1.0, 1e3, 6e4])
def test_float16_gradients_are_those_of_float32_rounded(length):
    """As the docstring of nt_xent says, gradients underflow for long rows; those of a scaled loss do not."""
    generator = torch.Generator().manual_seed(0)
    views = torch.nn.functional.normalize(torch.randn(2, 256, 8, generator=generator), dim=2)
    half = [(length * view).to(torch.float16).requires_grad_() for view in views]
    single = [view.detach().float().requires_grad_() for view in half]
    grads = torch.autograd.grad(gramless.nt_xent(*half), half)
    exact = torch.autograd.grad(gramless.nt_xent(*single), single)
    for ours, theirs in zip(grads, exact, strict=True):
        assert torch.equal(ours, theirs.to(torch.float16))
        assert bool((ours == 0).float().mean() > 0.25) == (length > 1e4)
    scaled = torch.autograd.grad(65536 * gramless.nt_xent(*half), half)
    for ours, theirs in zip(scaled, exact, strict=True):
        assert (ours.float() / 65536 - theirs).abs().max() <= 1e-3 * theirs.abs().max()
    zero = torch.zeros(2, 4, dtype=torch.float16, requires_grad=True)
    gramless.nt_xent(zero, torch.eye(4, dtype=torch.float16)[:2]).backward()
    assert zero.grad.isinf().any()


def test_any_layout_gives_the_same_gradient():
    a, b, _ = leaves()
    layouts = {
        "transposed": a.detach().T.contiguous().T,
        "sliced": torch.stack([a.detach(), a.detach()], 2)[:, :, 1],
        "reversed": a.detach().flip(0).flip(0),
    }
    expected = value_and_grads(NTXentLoss(), a, b)
    for x in layouts.values():
        for found, wanted in zip(value_and_grads(NTXentLoss(), x.requires_grad_(), b), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    row = torch.ones(5, dtype=torch.float64, requires_grad=True)
    inputs = row, b
    found = value_and_grads(lambda row, b: NTXentLoss()(row.expand(6, 5), b), *inputs)
    wanted = value_and_grads(lambda row, b: plain.nt_xent(row.expand(6, 5), b, 0.5), *inputs)
    for x, y in zip(found, wanted, strict=True):
        torch.testing.assert_close(x, y)


def test_only_what_needs_a_gradient_gets_one():
    a, b, t = leaves()
    NTXentLoss(t.detach())(a, b.detach()).backward()
    assert a.grad is not None
    assert b.grad is None
    assert t.grad is None
    with torch.no_grad():
        assert not NTXentLoss(t)(a, b).requires_grad
    assert gramless.nt_xent(torch.eye(3, dtype=torch.int64), torch.eye(3)).dtype == torch.float64
    a, b, _ = (x.detach() for x in leaves())
    for held in (
        lambda queue: gramless.info_nce(a, b, queue),
        lambda queue: gramless.moco(a, b, queue),
        lambda queue: gramless.similarity_distillation(a, queue, b, b),
        lambda queue: gramless.sup_con(a, mask=queue @ queue.T),
    ):
        assert not held(b.clone().requires_grad_()).requires_grad


def test_a_learned_temperature_is_a_parameter():
    loss = NTXentLoss(torch.nn.Parameter(torch.tensor(0.5)))
    assert len(list(loss.parameters())) == 1
    loss(*leaves()[:2]).backward()
    assert loss.temperature.grad.item() != 0
    scale = torch.tensor(10.0, requires_grad=True)
    a, b, _ = leaves(dtype=torch.float32)
    CLIPLoss()(a, b, scale).backward()
    expected = torch.autograd.grad(plain.clip(a, b, 1 / scale), scale)[0]
    torch.testing.assert_close(scale.grad, expected)


def test_an_array_beside_a_tensor_is_read_as_one():
    a, b, t = leaves()
    frozen = b.detach().numpy()[::-1]
    frozen.flags.writeable = False
    value = gramless.nt_xent(a, frozen, temperature=t)
    torch.testing.assert_close(value, gramless.nt_xent(a, b.flip(0), temperature=t))
    torch.autograd.grad(value, (a, t))


def test_importing_gramless_imports_no_torch(run_script):
    run_script("import sys, gramless; assert 'torch' not in sys.modules")
    assert run_script("import gramless; print(gramless.torch.NTXentLoss.__name__)") == "NTXentLoss\n"


def test_results_are_on_the_cpu_whatever_the_default_device():
    a, b = torch.randn(8, 5, requires_grad=True), torch.randn(8, 5)
    calls = [lambda a: gramless.cka(a, b), lambda a: gramless.nt_xent(a, b), lambda a: gramless.moco(a, b, b)]
    expected = [(call(a), *torch.autograd.grad(call(a), a), torch.func.grad(call)(a)) for call in calls]
    torch.set_default_device("meta")
    try:
        found = [(call(a), *torch.autograd.grad(call(a), a), torch.func.grad(call)(a)) for call in calls]
        median = gramless.median_distance(b)
    finally:
        torch.set_default_device(None)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert median == gramless.median_distance(b)
