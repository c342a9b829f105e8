"""Models compared by several processes with their own batches: the result of one with all batches."""

from __future__ import annotations

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402

SCRIPT = """
import sys
import gramless
import numpy as np
import torch
from gramless.torch import compare_models
from torch import distributed, multiprocessing, nn

def nets():
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(6, w), nn.ReLU(inplace=True), nn.Linear(w, 3)) for w in (9, 300)]

def batches(rank):
    return torch.randn(2000 + 40 * rank, 6, generator=torch.Generator().manual_seed(rank)).split(600 + rank)

def check(rank, size, folder, **options):
    pair, group = nets(), distributed.group.WORLD
    for b in (pair[1], None):
        together = [batch for other in range(size) for batch in batches(other)]
        options |= {"progress": False, "folder": folder}
        alone = compare_models(pair[0], b, together, **options)
        ours = compare_models(pair[0], b, batches(rank), process_group=group, **options)
        if options.get("method") == "minibatch":
            assert np.allclose(ours.matrix, alone.matrix, rtol=1e-12)
        else:
            assert np.array_equal(ours.matrix, alone.matrix)
        assert ours.settings == alone.settings | {"processes": size}, (ours.settings, alone.settings)
        found = [None] * size
        distributed.all_gather_object(found, ours.matrix.tobytes())
        assert len(set(found)) == 1

def refusals(rank):
    for own, layers, sentence in (
        (batches(0) if rank else [], ["0"], "needs a batch but process 0 has none"),
        (batches(0), ["0"] if rank else ["2"], "of process_group must have the same arguments, but layers"),
    ):
        try:
            world = distributed.group.WORLD
            compare_models(nets()[0], None, own, layers=layers, progress=False, process_group=world)
            raise AssertionError("not refused")
        except ValueError as error:
            assert str(error).startswith("compare_models: every process " + sentence), error

def work(rank, size, folder):
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
    check(rank, size, folder)
    check(rank, size, folder, kernel=gramless.RBF(median_rows=300), memory_budget=1000)
    check(rank, size, folder, method="minibatch", weighting="pairs")
    refusals(rank)
    distributed.destroy_process_group()

if __name__ == "__main__":
    size = int(sys.argv[2])
    multiprocessing.start_processes(work, (size, sys.argv[1]), size, start_method="fork")
    print("same")
"""


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.usefixtures("loopback")
def test_processes_with_their_own_batches_are_one(run_with_torch, tmp_path, size):
    assert run_with_torch(SCRIPT, tmp_path, size, timeout=120) == "same\n"


class Stop(Exception):
    pass


def test_an_exact_comparison_is_kept(tmp_path):
    torch.manual_seed(0)
    net, file, reports = nn.Sequential(nn.Linear(6, 9), nn.Tanh()), tmp_path / "sweep.npz", []
    batches = torch.randn(4000, 6).split(500)

    def stop_in_the_sweep(done, total):
        reports.append(total)
        if total > len(batches) and done > 0.8 * total:
            raise Stop

    kernel = gramless.RBF(median_rows=300)
    expected = compare_models(net, None, batches, kernel=kernel, progress=False)
    with pytest.raises(Stop):
        compare_models(net, None, batches, kernel=kernel, checkpoint=file, progress=stop_in_the_sweep)
    reports.clear()
    found = compare_models(
        net, None, batches, kernel=kernel, checkpoint=file, progress=lambda *at: reports.append(at)
    )
    assert (found.matrix == expected.matrix).all()
    in_the_sweep = [done / total for done, total in reports if total > len(batches)]
    assert min(in_the_sweep) > 0.8
    with pytest.raises(ValueError, match=r"compare_models: checkpoint sweep.npz belongs to another sweep"):
        compare_models(net, None, batches[1:], kernel=kernel, checkpoint=file, progress=False)
    with pytest.raises(ValueError, match=r'compare_models: checkpoint needs method="exact"'):
        compare_models(net, None, batches, method="minibatch", checkpoint=file)
