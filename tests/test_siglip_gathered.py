"""SigLIP's loss and open_clip's over processes: loss and gradient of the whole batch in one process."""

from __future__ import annotations

from datetime import timedelta

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.compat import ClipLoss, SigLipLoss  # noqa: E402
from gramless.torch import CLIPLoss, SigLIPLoss  # noqa: E402
from processes import start_processes  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402

if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)

ROWS, WIDTH = 5, 4


def every_case(world):
    """(gathered, in one process, dtype), each a function of a, b, scale and bias."""
    for dtype in (torch.float64, torch.float32):
        for unit in (True, False):
            yield SigLIPLoss(normalize=unit, gather_distributed=True), SigLIPLoss(normalize=unit), dtype
    yield SigLipLoss(world_size=world), SigLIPLoss(normalize=False), torch.float64
    plain = CLIPLoss(normalize=False)
    yield ClipLoss(True, True, world_size=world), lambda a, b, s, t: plain(a, b, s) + 0 * t, torch.float64


def inputs_of(world, dtype):
    a, b = torch.randn(
        2, world * ROWS, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    return [
        normalize(a).to(dtype),
        b.to(dtype),
        torch.tensor(3.0, dtype=dtype),
        torch.tensor(-2.0, dtype=dtype),
    ]


def check_case(gathered, whole, dtype, rank, world):
    leaves = [x.requires_grad_() for x in inputs_of(world, dtype)]
    expected = whole(*leaves)
    grads = torch.autograd.grad(expected, leaves)
    own = slice(rank * ROWS, (rank + 1) * ROWS)
    leaves = [x.detach().clone().requires_grad_() for x in (*(z[own] for z in leaves[:2]), *leaves[2:])]
    value = gathered(*leaves)
    found = torch.autograd.grad(2 * value, leaves)
    means = [value.detach().clone(), *(grad.clone() for grad in found[2:])]
    for mean in means:
        torch.distributed.all_reduce(mean)
        mean /= world
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(means[0], expected.detach(), **tolerance)
    for ours, theirs in zip(means[1:], grads[2:], strict=True):
        torch.testing.assert_close(ours / 2, theirs, **tolerance)
    for ours, theirs in zip(found[:2], grads[:2], strict=True):  # of the sum of all processes' losses
        torch.testing.assert_close(ours / 2 / world, theirs[own], **tolerance)


def check_refusals(rank):
    loss = SigLIPLoss(gather_distributed=True)
    same = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        assert loss(same, same).isfinite()
    with pytest.raises(ValueError, match="SigLIPLoss: every process must have the same number of rows and"):
        loss(same[: 2 + rank], same[: 2 + rank])
    for scale, bias, name in ((1.0 + rank, 0.0, "logit_scale"), (1.0, 0.5 * rank, "logit_bias")):
        with pytest.raises(ValueError, match=f"SigLIPLoss: every process must have the same {name}, but"):
            loss(same, same, scale, bias)
    with pytest.raises(ValueError, match="SigLIPLoss: image_features has 3 rows but text_features has 2"):
        loss(same, same[:2])
    with pytest.raises(ValueError, match=r"world_size is 5 but torch\.distributed has"):
        SigLipLoss(world_size=5)(same, same, 1.0, 0.0)
    (grad,) = torch.autograd.grad(loss(same, 2 * same), same, create_graph=True)
    with pytest.raises(NotImplementedError, match="SigLIPLoss: a second derivative was requested"):
        grad.sum().backward()


def process(rank, world, meeting):
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    options = {"init_method": f"file://{meeting}", "rank": rank, "world_size": world}
    torch.distributed.init_process_group("gloo", **options, timeout=timedelta(seconds=60))
    for case in every_case(world):
        check_case(*case, rank, world)
    check_refusals(rank)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_processes_agree_with_one_process(world, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    start_processes(process, (world, tmp_path / "meeting"), world)


def test_without_a_process_group_gathering_changes_nothing():
    a, b = torch.randn(2, 6, 4)
    assert SigLIPLoss(gather_distributed=True)(a, b) == SigLIPLoss()(a, b)
