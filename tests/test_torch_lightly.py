"""The losses of gramless.torch in place of lightly's: edges, zero rows, the memory bank."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import torch_formulas as plain  # noqa: E402
from gramless.torch import DCLLoss, DCLWLoss, NTXentLoss  # noqa: E402
from torch_formulas import leaves, value_and_grads  # noqa: E402


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (1, 1)])
@pytest.mark.parametrize("temperature", [0.5, -0.5, 0.01])
def test_nt_xent_is_lightlys_at_the_edges(lightly_loss, shape, temperature):
    theirs = lightly_loss("ntx_ent_loss", "NTXentLoss")(temperature)
    a, b, _ = leaves(*shape)
    for x, y in zip(
        value_and_grads(NTXentLoss(temperature), a, b), value_and_grads(theirs, a, b), strict=True
    ):
        torch.testing.assert_close(x, y)


def test_zero_rows_are_lightlys(lightly_loss):
    theirs = lightly_loss("ntx_ent_loss", "NTXentLoss")()
    a, b, _ = leaves()
    with torch.no_grad():
        a[2] = b[2] = b[4] = 0
    torch.testing.assert_close(NTXentLoss()(a, b), theirs(a, b))


@pytest.mark.parametrize("name", ["DCLLoss", "DCLWLoss", "weighted"])
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_decoupled_losses_are_lightlys(lightly_loss, name):
    def weights(a, b):
        return ((a - b) ** 2).sum(1)

    arguments = {"weight_fn": weights} if name == "weighted" else {}
    theirs = lightly_loss("dcl_loss", name if name == "DCLWLoss" else "DCLLoss")(0.2, **arguments)
    ours = (DCLWLoss if name == "DCLWLoss" else DCLLoss)(0.2, **arguments)
    inputs = leaves()[:2]
    for x, y in zip(value_and_grads(ours, *inputs), value_and_grads(theirs, *inputs), strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize("size", [(4, 5), (6, 5), (16, 5)])
def test_memory_bank_is_lightlys_over_many_steps(lightly_loss, size):
    def losses():
        torch.manual_seed(1)
        return lightly_loss("ntx_ent_loss", "NTXentLoss")(0.2, size), NTXentLoss(0.2, size)

    theirs = losses()[0]
    torch.manual_seed(1)
    ours = NTXentLoss(0.2, size)
    for step in range(7):
        inputs = leaves(6 if step % 2 else 5, dtype=torch.float32, seed=step)[:2]
        if step == 3:  # no loss, nothing to store in the memory bank
            inputs[0].requires_grad_(False)
            torch.testing.assert_close(ours(*inputs), theirs(*inputs))
            continue
        for x, y in zip(value_and_grads(ours, *inputs), value_and_grads(theirs, *inputs), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours.memory_bank.bank, theirs.memory_bank.bank)
        assert ours.memory_bank.bank_ptr == theirs.memory_bank.bank_ptr


def test_memory_bank_is_the_formula_and_survives_a_checkpoint():
    loss = NTXentLoss(0.3, (8, 5))
    a, b, t = leaves()
    loss.temperature = t
    before = loss.memory_bank.bank.clone()
    found = value_and_grads(lambda a, b, t: loss(a, b), a, b, t)
    expected = value_and_grads(lambda a, b, t: plain.moco(a, b, before.double(), t), a, b, t)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y)
    other = NTXentLoss(0.3, (8, 5))
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.memory_bank.bank, loss.memory_bank.bank)
    assert other.memory_bank.bank_ptr == 6
    other.load_state_dict({})  # lightly's
    assert torch.equal(other.memory_bank.bank, loss.memory_bank.bank)
    assert NTXentLoss().state_dict() == {}


def test_a_memory_bank_reads_an_array_beside_a_tensor():
    a, b, _ = leaves()
    losses = [NTXentLoss(memory_bank_size=(8, 5)) for _ in range(2)]
    losses[1].load_state_dict(losses[0].state_dict())
    beside, of_tensors = losses[0](a, b.detach().numpy()), losses[1](a, b.detach())
    torch.testing.assert_close(beside, of_tensors, rtol=0, atol=0)
