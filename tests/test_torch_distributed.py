"""Losses gathered over processes: the loss and the gradient of the whole batch in one process."""

from __future__ import annotations

import gc
from datetime import timedelta

import devices
import gramless
import pytest

torch = pytest.importorskip("torch")

import torch_formulas as plain  # noqa: E402
from gramless.torch import CLIPLoss, DCLLoss, DCLWLoss, NTXentLoss, SupConLoss  # noqa: E402
from processes import start_processes  # noqa: E402

if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)

CASES = {  # loss, temperature, dtype
    "nt_xent": (NTXentLoss, 0.5, "float64"),
    "nt_xent_cold": (NTXentLoss, 0.002, "float64"),
    "nt_xent_negative": (NTXentLoss, -0.3, "float64"),
    "nt_xent_float32": (NTXentLoss, 0.1, "float32"),
    "dcl": (DCLLoss, 0.1, "float64"),
    "clip": (CLIPLoss, 0.07, "float64"),
    "clip_cold": (CLIPLoss, 0.002, "float64"),
    "clip_scale": (CLIPLoss, 3e4, "float64"),
    "clip_scale_of_0": (CLIPLoss, 0.0, "float64"),
    "clip_scale_float32": (CLIPLoss, -20.0, "float32"),
    "sup_con": (SupConLoss, 0.3, "float64"),
    "sup_con_cold": (SupConLoss, 0.002, "float64"),
    "sup_con_negative": (SupConLoss, -0.3, "float64"),
    "sup_con_float32": (SupConLoss, 0.1, "float32"),
    "sup_con_float32_cold": (SupConLoss, 0.002, "float32"),
}
ROWS, WIDTH = 5, 4
LABELS = [[7, -4, 7, 0, 3], [0, 9, 7, 8, 8], [6, 6, 5, 6, 9]]  # of processes: alone, in pairs, here and there


class Embedded(torch.nn.Module):
    """A network and a loss with a temperature, both of which learn."""

    def __init__(self, loss, temperature, dtype, gather, scales=False):
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Linear(WIDTH, 6, dtype=dtype)
        temperature = torch.nn.Parameter(torch.tensor(temperature, dtype=dtype))
        self.loss = (
            loss(gather_distributed=gather) if scales else loss(temperature, gather_distributed=gather)
        )
        self.scale = temperature if scales else None

    def forward(self, a, b, labels):
        if self.scale is not None:
            return self.loss(self.layer(a), self.layer(b), self.scale)
        if isinstance(self.loss, SupConLoss):
            return self.loss(self.layer(a), labels)
        return self.loss(self.layer(a), self.layer(b))


def check_case(name, rank, world):
    loss, temperature, dtype = CASES[name]
    dtype = getattr(torch, dtype)
    views = torch.randn(2, world, ROWS, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)
    options = {"scales": "scale" in name}
    whole = Embedded(loss, temperature, dtype, gather=False, **options)
    labels = torch.tensor(LABELS[:world])
    expected = whole(*views.flatten(1, 2), labels.flatten())
    expected.backward()
    shard = torch.nn.parallel.DistributedDataParallel(
        Embedded(loss, temperature, dtype, gather=True, **options)
    )
    mean = shard(*views[:, rank], labels[rank])
    mean.backward()
    torch.distributed.all_reduce(mean := mean.detach().clone())
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(mean / world, expected.detach(), **tolerance)
    for ours, theirs in zip(shard.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, **tolerance)
    with torch.no_grad():
        shard.module(*views[:, rank], labels[rank])


def check_own_rows(rank, world):
    """The gradient of a process's rows is that of the sum of all processes' losses."""
    views = torch.randn(
        2, world, ROWS, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    every = [v.flatten(0, 1).requires_grad_() for v in views]
    (plain.nt_xent(*every, 0.5) * world).backward()
    own = [v[rank].clone().requires_grad_() for v in views]
    NTXentLoss(gather_distributed=True)(*own).backward()
    for ours, theirs in zip(own, every, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad.reshape(world, ROWS, WIDTH)[rank])


def check_views_of_instances(rank, world):
    """Without labels the views of an example are its positives, and those of other processes are not."""
    views = torch.randn(world * ROWS, 3, WIDTH, generator=torch.Generator().manual_seed(2)).requires_grad_()
    expected = SupConLoss(0.2)(views)
    expected.backward()
    own = views.detach()[rank * ROWS :][:ROWS].clone().requires_grad_()
    mean = SupConLoss(0.2, gather_distributed=True)(own)
    mean.backward()
    torch.testing.assert_close(own.grad / world, views.grad[rank * ROWS :][:ROWS], rtol=1e-4, atol=1e-6)
    torch.distributed.all_reduce(mean := mean.detach().clone())
    torch.testing.assert_close(mean / world, expected.detach())


def check_nothing_in_common(rank, world):
    """All labels differ, over all processes: the loss and the gradients are 0, not NaN."""
    rows = torch.randn(ROWS, WIDTH, requires_grad=True)
    labels = torch.arange(ROWS) + rank * ROWS
    loss = SupConLoss(gather_distributed=True)(rows, labels)
    loss.backward()
    assert loss == 0
    assert not rows.grad.any()


def check_bank(rank, world):
    torch.manual_seed(0)
    loss = NTXentLoss(memory_bank_size=(4 * world * ROWS, WIDTH), gather_distributed=True)
    own = torch.full((ROWS, WIDTH), rank + 1.0, requires_grad=True)
    signs = torch.ones(WIDTH)
    signs[0] = -1 - rank
    loss(own, own * signs).backward()
    assert loss.memory_bank.bank_ptr == world * ROWS
    rows = loss.memory_bank.bank[: world * ROWS].reshape(world, ROWS, WIDTH)
    for other in range(world):
        expected = signs.clone()
        expected[0] = -1 - other
        torch.testing.assert_close(rows[other, 0], expected / expected.norm())


def check_refusals(rank, world):
    rows = torch.ones(3 + (rank == 1), 4)
    with pytest.raises(ValueError, match=r"process 0 has \(3, 4\) and process 1 has \(4, 4\)"):
        NTXentLoss(gather_distributed=True)(rows, rows)
    with pytest.raises(ValueError, match=r"process 0 has \(3, 4\) and process 1 has \(4, 4\)"):
        SupConLoss(gather_distributed=True)(rows, torch.zeros(len(rows), dtype=torch.int64))
    same = torch.randn(3, 4)
    for losses, theirs, sentence in (
        ((NTXentLoss, DCLLoss), same, "every process must have the same function"),
        (
            (NTXentLoss, NTXentLoss),
            same.to((torch.bfloat16, torch.float16)[rank % 2]),
            "the same dtype, but process 0 has bfloat16 and process 1 has float16",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            losses[rank % 2](0.5, gather_distributed=True)(theirs, theirs)
    with pytest.raises(
        ValueError, match=r"the same temperature, but process 0 has 0.5 and process 1 has 0.25"
    ):
        CLIPLoss(0.5 / (1 + rank % 2), gather_distributed=True)(same, same)
    DCLWLoss(gather_distributed=True)(torch.eye(4) + rank, torch.eye(4))
    own = torch.randn(3, 4, requires_grad=True)
    loss = NTXentLoss(gather_distributed=True)(own, own * 2)
    (grad,) = torch.autograd.grad(loss, own, create_graph=True)
    with pytest.raises(NotImplementedError, match="NTXentLoss: a second derivative was requested"):
        grad.sum().backward()


def process(rank, world, meeting, kind):
    if kind is not None:
        devices.device(kind, pytest.MonkeyPatch())
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    for name in CASES:
        check_case(name, rank, world)
    check_own_rows(rank, world)
    check_views_of_instances(rank, world)
    check_nothing_in_common(rank, world)
    check_bank(rank, world)
    check_refusals(rank, world)
    gc.collect()  # networks wrapped for the group go before it
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.usefixtures("loopback")
def test_processes_agree_with_one_process(world, tmp_path, monkeypatch, request):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kind = request.config.getoption("--tensors-on")
    start_processes(process, (world, tmp_path / "meeting", kind), world)


def test_without_a_process_group_gathering_changes_nothing():
    a, b = torch.randn(2, 6, 4)
    for loss in (NTXentLoss, DCLLoss, CLIPLoss):
        assert loss(0.5, gather_distributed=True)(a, b) == loss(0.5)(a, b)
    labels = torch.tensor(LABELS[0] + [7])
    assert SupConLoss(0.5, gather_distributed=True)(a, labels) == SupConLoss(0.5)(a, labels)
