"""sentence-transformers' losses over processes: loss and gradient of the whole batch in one process."""

from __future__ import annotations

from datetime import timedelta

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.compat import GISTEmbedLoss, MultipleNegativesRankingLoss  # noqa: E402
from processes import start_processes  # noqa: E402
from test_guided_torch import CHOICES as GUIDED  # noqa: E402
from test_guided_torch import plain  # noqa: E402
from test_sentence_transformers import CHOICES, embeddings_of  # noqa: E402

if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)

ROWS = 5


def check(rank, world, dtype, directions, partition_mode):
    options = {"directions": directions, "partition_mode": partition_mode}
    whole = MultipleNegativesRankingLoss(None, 5.0, **options)
    leaves = embeddings_of(3, world * ROWS, 4, dtype)
    expected = whole.compute_loss_from_embeddings(leaves)
    grads = torch.autograd.grad(expected, leaves)
    own = slice(rank * ROWS, (rank + 1) * ROWS)
    leaves = [x.detach()[own].requires_grad_() for x in leaves]
    gathered = MultipleNegativesRankingLoss(None, 5.0, gather_across_devices=True, **options)
    value = gathered.compute_loss_from_embeddings(leaves)
    found = torch.autograd.grad(2 * value, leaves)
    mean = value.detach().clone()
    torch.distributed.all_reduce(mean)
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(mean / world, expected.detach(), **tolerance)
    for ours, theirs in zip(found, grads, strict=True):  # of the sum of all processes' losses
        torch.testing.assert_close(ours / 2 / world, theirs[own], **tolerance)


def check_guided(rank, world, count, options):
    leaves = embeddings_of(count, world * ROWS, 4)
    guide = [x.detach() for x in embeddings_of(count, world * ROWS, 3, seed=1)]
    parts = [slice(i * ROWS, (i + 1) * ROWS) for i in range(world)]
    expected = [plain(leaves, guide, **{"temperature": 0.2, **options, "own": own}) for own in parts]
    grads = torch.autograd.grad(sum(expected), leaves)
    own = [x.detach()[parts[rank]].requires_grad_() for x in leaves]
    loss = GISTEmbedLoss(None, None, **{"temperature": 0.2, **options, "gather_across_devices": True})
    value = loss.compute_loss_from_embeddings(own, [x[parts[rank]] for x in guide])
    torch.testing.assert_close(value, expected[rank], rtol=1e-9, atol=1e-10)
    for ours, theirs in zip(torch.autograd.grad(value, own), grads, strict=True):
        torch.testing.assert_close(ours, theirs[parts[rank]], rtol=1e-9, atol=1e-10)


def check_guided_refusals(rank):
    same = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)

    def loss(*guide, **options):
        guided = GISTEmbedLoss(None, None, gather_across_devices=True, **options)
        return guided.compute_loss_from_embeddings([same, same], guide)

    with pytest.raises(ValueError, match="GISTEmbedLoss: every process must have the same function, but"):
        loss(same, same, margin=0.1 * rank)
    with pytest.raises(ValueError, match="GISTEmbedLoss: every process must have the same number of rows"):
        loss(*[torch.ones(3, 2 + rank)] * 2)
    far = torch.full((3, 4), torch.nan if rank == 1 else 1.0)
    with pytest.raises(
        ValueError, match="guide_positive must be finite, because it decides which pairs count"
    ):
        loss(same, far)


def check_refusals(rank):
    same = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)

    def loss(*embeddings, **options):
        ranking = MultipleNegativesRankingLoss(None, **{"gather_across_devices": True, **options})
        return ranking.compute_loss_from_embeddings(embeddings)

    with torch.no_grad():
        assert loss(same, same).isfinite()
    name = "MultipleNegativesRankingLoss"
    with pytest.raises(
        ValueError, match=f"{name}: every process must have the same number of rows and columns"
    ):
        loss(same[: 2 + rank], same[: 2 + rank])
    with pytest.raises(
        ValueError, match=f"{name}: every process must have the same number of embeddings, but"
    ):
        loss(*[same] * (2 + rank))
    with pytest.raises(ValueError, match=f"{name}: every process must have the same temperature, but"):
        loss(same, same, scale=1.0 + rank)
    with pytest.raises(ValueError, match=f"{name}: every process must have the same function, but"):
        loss(same, same, directions=[CHOICES[0], CHOICES[3]][rank % 2][0])
    with pytest.raises(ValueError, match=f"{name}: anchor has 3 rows but positive has 2"):
        loss(same, same[:2])


def process(rank, world, meeting):
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    options = {"init_method": f"file://{meeting}", "rank": rank, "world_size": world}
    torch.distributed.init_process_group("gloo", **options, timeout=timedelta(seconds=60))
    for directions, partition_mode in CHOICES:
        check(rank, world, torch.float64, directions, partition_mode)
    check(rank, world, torch.float32, *CHOICES[0])
    check_refusals(rank)
    for options in GUIDED:
        for count in (2, 3):
            check_guided(rank, world, count, options)
    check_guided_refusals(rank)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_processes_agree_with_one_process(world, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    start_processes(process, (world, tmp_path / "meeting"), world)


def test_without_a_process_group_gathering_changes_nothing():
    embeddings = embeddings_of(3)
    losses = [MultipleNegativesRankingLoss(None, gather_across_devices=gather) for gather in (False, True)]
    assert torch.equal(*[loss.compute_loss_from_embeddings(embeddings) for loss in losses])
