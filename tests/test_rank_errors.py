"""Processes of one call: different arguments, an error or a dead process soon end the call in all of them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)

SETUP = """
import os, pathlib, signal, sys, time, warnings
import gramless
import numpy as np
import torch
from gramless.torch import CLIPLoss, NTXentLoss, SupConLoss, compare_models
from torch import distributed, multiprocessing, nn

SOON = 20  # seconds; the backend waits for 30 minutes
generator = np.random.default_rng(0)
ROWS = [generator.standard_normal((3000, d), dtype=np.float32) for d in (4, 7, 2)]

class Stop(Exception):
    pass

def run(size, folder, work):
    multiprocessing.start_processes(start, (size, folder, work), size, start_method="fork")
    print("all ended")

def start(rank, size, folder, work):
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    work(rank, distributed.group.WORLD)

def fails(call, error, *parts):
    started = time.monotonic()
    try:
        call()
    except error as found:
        assert all(part in str(found) for part in parts), (parts, repr(found))
    else:
        raise AssertionError("not refused")
    assert time.monotonic() - started < SOON, time.monotonic() - started

def sweep(group, xs=ROWS, function=gramless.cka_matrix, **options):
    return function(xs, process_group=group, **{"kernel": gramless.RBF(median_rows=300)} | options)
"""

ARGUMENTS = """
def work(rank, group):
    functions = gramless.cka_matrix, gramless.hsic_matrix
    fails(lambda: sweep(group, function=functions[rank]), ValueError, "function is 'cka_matrix' in process 0")
    estimators = "biased", "unbiased"
    fails(lambda: sweep(group, estimator=estimators[rank]), ValueError, "estimator is 'biased' in process 0")
    kernels = "linear", "rbf"
    fails(lambda: sweep(group, kernel=kernels[rank]), ValueError, "kernel is 'Linear()' in process 0")
    narrow = [x[:, : 4 - rank] for x in ROWS[:2]]
    fails(lambda: sweep(group, narrow), ValueError, "process of process_group must have the same arguments")
    bits = torch.arange(1000 * 4, dtype=torch.int16).reshape(1000, 4) % 999 + 15000
    halves = [bits.view((torch.bfloat16, torch.float16)[rank])] * 2
    fails(lambda: sweep(group, halves), ValueError, "dtypes is ['bfloat16', 'bfloat16'] in process 0 and")
    same = [bits.view(torch.bfloat16)] * 2
    assert sweep(group, same).shape == (2, 2)
    read = [same, [bits] * 2][rank]
    fails(lambda: sweep(group, read), ValueError, "'bfloat16'] in process 0 and ['int16'")
    wrong = {"kernel": ("rbf", "nope")[rank]}
    fails(lambda: sweep(group, **wrong), ValueError, "cka_matrix: kernel must be")
    leaf = [torch.from_numpy(x).requires_grad_(rank == 1) for x in ROWS]
    fails(lambda: sweep(group, leaf), ValueError, "are for layers without gradients")
    nothing = [ROWS, 5][rank]
    fails(lambda: sweep(group, nothing), TypeError, "cka_matrix: xs must be a sequence")
    net, batches = nn.Linear(4, 3), list(torch.from_numpy(ROWS[0]).split(500))
    def compare(**options):
        return compare_models(net, None, batches, layers=[""], progress=False, process_group=group, **options)
    for name, values in (("method", ("exact", "minibatch")), ("estimator", ("biased", "unbiased"))):
        fails(lambda: compare(**{name: values[rank]}), ValueError, f"{name} is {values[0]!r} in process 0")
    other = [lambda: sweep(group), lambda: compare()][rank]
    fails(other, ValueError, "function is 'cka_matrix' in process 0 and 'compare_models' in process 1")
    fails(lambda: compare(layers_b=["nope"] if rank else None), ValueError, "nope")
    half = nn.Linear(4, 3).to((torch.float64, torch.float32)[rank])
    mine = [batch.to(half.weight.dtype) for batch in batches]
    fails(lambda: compare_models(half, None, mine, layers=[""], progress=False, process_group=group),
          ValueError, "dtypes is [['float64']] in process 0 and [['float32']] in process 1")
    wide = nn.Linear(4, 3 + rank)
    fails(lambda: compare_models(wide, None, batches, layers=[""], progress=False, process_group=group),
          ValueError, "widths is [[3]] in process 0 and [[4]] in process 1")
    assert np.array_equal(sweep(group), sweep(None))  # the group is as it was

if __name__ == "__main__":
    run(2, sys.argv[1], work)
"""

MORE_ARGUMENTS = """
def work(rank, group):
    net, batches = nn.Linear(4, 3), list(torch.from_numpy(ROWS[0][:100]).split(50))
    def compare(model_b=None, **options):
        return compare_models(net, model_b, batches, layers=[""], progress=False, process_group=group,
                              **options)
    rbf = gramless.RBF
    for kernels, shown in (
        ((rbf(sigma=1.0), rbf(sigma=2.0)), "kernel is 'RBF(sigma=1.0"),
        ((rbf(scale=0.5), rbf(scale=2.0)), "kernel is 'RBF(sigma=None, scale=0.5"),
        ((rbf(median_rows=300), rbf(median_rows=400)), "median_rows=300"),
        ((rbf(include_diagonal=True), rbf()), "include_diagonal=True"),
        (("rbf", "laplace"), "kernel is 'RBF("),
    ):
        fails(lambda: sweep(group, function=gramless.hsic_matrix, kernel=kernels[rank]), ValueError, shown)
        fails(lambda: compare(kernel=kernels[rank]), ValueError, shown)
    for function in (gramless.cka_matrix, gramless.hsic_matrix):
        estimator = ("biased", "unbiased")[rank]
        fails(lambda: sweep(group, function=function, estimator=estimator), ValueError, "estimator is")
        ys = [None, ROWS][rank]
        fails(lambda: function(ROWS, ys, process_group=group), ValueError, "layers is [3, 0] in process 0")
        kept = [sys.argv[1] + "/sweep", None][rank]
        fails(lambda: sweep(group, function=function, checkpoint=kept), ValueError,
              "checkpoint is 'a file' in process 0 and None in process 1")
    def first(x):
        return x[:, 0]
    def last(x):
        return x[:, -1]
    for name, values, shown in (
        ("weighting", ("mean", "pairs"), "weighting is 'mean'"),
        ("pool", ("mean", "none"), "pool is 'mean' in process 0 and 'none'"),
        ("pool", (first, last), "pool is 'work.<locals>.first'"),
        ("pool", (lambda x: x[:, 0], lambda x: x[:, 1]), "pool is 'work.<locals>.<lambda> with code "),
        ("forward", (None, lambda model, x: model(x)), "forward is None in process 0 and 'work"),
        ("layout", ({"Linear": "NLC"}, {"Linear": "NCL"}), "layout is {'Linear': 'NLC'} in process 0"),
        ("layout", (None, "NLC"), "layout is None in process 0"),
        ("attention_mask", ("attention_mask", None), "attention_mask is 'attention_mask' in process 0"),
        ("attention_mask", (1, {"": 1}), "attention_mask is 1 in process 0 and {'': 1}"),
        ("checkpoint", (sys.argv[1] + "/sweep", None), "checkpoint is 'a file' in process 0"),
        ("model_b", (None, net), "model_b is False in process 0 and True"),
    ):
        fails(lambda: compare(**{name: values[rank]}), ValueError, shown)
    tokens = torch.randn(12, 5, 4, generator=torch.Generator().manual_seed(0))
    masked = {"input": tokens, "attention_mask": torch.ones(12, 5)}
    for own in ([masked, {"input": tokens}], [{"input": tokens}, masked]):
        mine = [own[rank]]
        fails(lambda: compare_models(net, None, mine, layers=[""], progress=False, process_group=group),
              ValueError, "but attention_mask is [(")

if __name__ == "__main__":
    run(2, sys.argv[1], work)
"""

ERRORS = """
def work(rank, group):
    def stops(done, total):
        if rank == 1 and done > 0.6 * total:
            raise Stop("the user's callback, in one process")
    own = Stop if rank == 1 else RuntimeError
    fails(lambda: sweep(group, progress=stops), own, "the user's callback, in one process")

    def interrupts(done, total):
        if rank == 1:
            raise KeyboardInterrupt
    own, part = (KeyboardInterrupt, "") if rank == 1 else (RuntimeError, "1 ended with KeyboardInterrupt")
    fails(lambda: sweep(group, progress=interrupts), own, part)

    folder = sys.argv[1] + "/nowhere/file.npz"
    fails(lambda: sweep(group, checkpoint=folder), ValueError, "cka_matrix: checkpoint must be")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            if rank == 1:
                raise Stop("a model that fails")
            time.sleep(0.2)
            return self.layer(x)
    batches = list(torch.from_numpy(ROWS[0]).split(10))  # a minute of forward passes in process 0
    own = Stop if rank == 1 else RuntimeError
    fails(lambda: compare_models(Net(), None, batches, layers=["layer"], progress=False, process_group=group),
          own, "a model that fails")

    from gramless.torch import activation_store
    append, calls = activation_store._GrowingFile.append, []
    def full(self, rows):
        calls.append(len(rows))
        if rank == 1 and len(calls) > 4:
            raise OSError(28, "No space left on device")
        append(self, rows)
    activation_store._GrowingFile.append = full
    net = nn.Linear(4, 3)
    own = OSError if rank == 1 else RuntimeError
    batches = list(torch.from_numpy(ROWS[0]).split(1500))
    fails(lambda: compare_models(net, None, batches, layers=[""], progress=False, memory_budget=1,
                                 folder=sys.argv[1], process_group=group), own, "No space left on device")
    activation_store._GrowingFile.append = append
    assert np.array_equal(sweep(group), sweep(None))  # the group is as it was

if __name__ == "__main__":
    run(int(sys.argv[2]), sys.argv[1], work)
"""

KILLED = """
def work(rank, group):
    def dies(done, total):
        if rank == 2 and done > 0.6 * total:
            os.kill(os.getpid(), signal.SIGKILL)
    fails(lambda: sweep(group, progress=dies), RuntimeError,
          "cka_matrix: a process of process_group ended or lost its connection")
    other_ended, started = pathlib.Path(sys.argv[1], "ended"), time.monotonic()
    while rank == 0 and not other_ended.exists() and time.monotonic() < started + SOON:
        time.sleep(0.05)  # it lives on: process 1 must not depend on its end
    other_ended.touch()
    os._exit(0)

if __name__ == "__main__":
    processes = [multiprocessing.get_context("fork").Process(target=start, args=(rank, 3, sys.argv[1], work))
                 for rank in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, -signal.SIGKILL]
    print("all ended")
"""


@pytest.mark.parametrize("work", [ARGUMENTS, MORE_ARGUMENTS], ids=["all", "more"])
@pytest.mark.usefixtures("loopback")
def test_arguments_that_must_agree_are_compared_before_the_work(run_with_torch, tmp_path, work):
    assert run_with_torch(SETUP + work, tmp_path, timeout=300) == "all ended\n"


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.usefixtures("loopback")
def test_an_error_in_one_process_ends_the_call_in_all(run_with_torch, tmp_path, size):
    assert run_with_torch(SETUP + ERRORS, tmp_path, size, timeout=200) == "all ended\n"


@pytest.mark.usefixtures("loopback")
def test_a_process_that_is_killed_ends_the_call_in_the_others(run_with_torch, tmp_path):
    assert run_with_torch(SETUP + KILLED, tmp_path, timeout=200) == "all ended\n"
