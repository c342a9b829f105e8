"""Sweeps shared by processes, killed in between or not, are bitwise identical to those of one process."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

SETUP = """
import os, signal, sys
import gramless
import numpy as np
import torch
from gramless import _checkpoint
from torch import distributed, multiprocessing

_checkpoint.LEAST_PAUSE, _checkpoint.BUSY_SHARE = 0.0, np.inf
generator = np.random.default_rng(0)
ROWS = [generator.standard_normal((5000, d), dtype=np.float32) for d in (4, 7, 2)]
WIDE = [generator.standard_normal((900, d), dtype=np.float32) for d in (200, 400, 5)]
RBF = gramless.RBF(median_rows=500)

def everything(group, **options):
    yield gramless.cka_matrix(ROWS, kernel=RBF, process_group=group, **options)
    yield gramless.cka_matrix(ROWS[:1], ROWS[1:], kernel=RBF, estimator="biased", process_group=group)
    yield gramless.hsic_matrix(WIDE, process_group=group)
    tensors = [torch.from_numpy(x) for x in WIDE[:2]]
    yield gramless.hsic_matrix(tensors, [WIDE[2]], process_group=group).numpy()

def start(rank, size, folder):
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    meeting = f"file://{folder}/meeting{size}"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)

def run(work, size, folder):
    multiprocessing.start_processes(work, (size, folder), size, start_method="fork")
"""

SHARED = """
def work(rank, size, folder):
    start(rank, size, folder)
    group = distributed.group.WORLD
    for ours, alone in zip(everything(group), everything(None), strict=True):
        assert np.array_equal(ours, alone)
    try:
        gramless.hsic_matrix([x + rank for x in WIDE], process_group=group)
        raise AssertionError("not refused")
    except ValueError as error:
        assert "every process of process_group must have the same arguments, but values is" in str(error)
    pair = distributed.new_group([0, 1])
    if rank < 2:
        assert np.array_equal(gramless.hsic_matrix(WIDE, process_group=pair), gramless.hsic_matrix(WIDE))
    else:
        try:
            gramless.hsic_matrix(WIDE, process_group=pair)
            raise AssertionError("not refused")
        except ValueError as error:
            assert str(error) == "hsic_matrix: this process is not in process_group"
    distributed.destroy_process_group()

if __name__ == "__main__":
    run(work, int(sys.argv[1]), sys.argv[2])
    print("same")
"""

KILLED = """
def killed(rank, size, folder):
    start(rank, size, folder)
    group, pids = distributed.group.WORLD, [None] * size
    distributed.all_gather_object(pids, os.getpid())

    def progress(done, total):
        if done > 0.7 * total:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGKILL)

    next(everything(group, checkpoint=folder + "/sweep.npz", progress=progress if rank == 0 else None))

def resumed(rank, size, folder):
    start(rank, size, folder)
    steps = []
    progress = lambda done, total: steps.append(done / total)
    found = next(everything(distributed.group.WORLD, checkpoint=folder + "/sweep.npz", progress=progress))
    assert np.array_equal(found, next(everything(None)))
    assert min(steps, default=1) > 0.5, steps
    distributed.destroy_process_group()

def refused(rank, size, folder):
    start(rank, size, folder)
    try:
        gramless.cka_matrix(WIDE, process_group=distributed.group.WORLD, checkpoint=folder + "/sweep.npz")
        raise AssertionError("not refused")
    except ValueError as error:
        assert "checkpoint sweep.npz belongs to another sweep" in str(error)
    distributed.destroy_process_group()

if __name__ == "__main__":
    folder = sys.argv[1]
    try:
        run(killed, 3, folder)
        raise AssertionError("not killed")
    except multiprocessing.ProcessExitedException:
        pass
    with np.load(folder + "/sweep.npz") as state:
        assert len(state["sigmas"]) == 3 and state["done"] > 0, dict(state)
    run(resumed, 2, folder)
    os.remove(folder + "/meeting3")
    run(refused, 3, folder)
    print("same")
"""


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.usefixtures("loopback")
def test_processes_share_a_sweep_to_the_bit(run_with_torch, tmp_path, size):
    assert run_with_torch(SETUP + SHARED, size, tmp_path, timeout=120) == "same\n"


@pytest.mark.usefixtures("loopback")
def test_killed_together_and_resumed_by_fewer(run_with_torch, tmp_path):
    assert run_with_torch(SETUP + KILLED, tmp_path, timeout=120) == "same\n"


def test_a_group_needs_torch_distributed():
    import gramless

    with pytest.raises(
        ValueError, match=r"cka_matrix: process_group is given but torch.distributed is not initialized"
    ):
        gramless.cka_matrix([torch.eye(5)], process_group=object())
