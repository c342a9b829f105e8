"""Losses gathered over processes: an error in one of them soon ends the call in all, with its message."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

if not torch.distributed.is_available():
    pytest.skip("this torch has no torch.distributed", allow_module_level=True)

SCRIPT = """
import sys, time
import gramless
import torch
from gramless.torch import CLIPLoss, DCLLoss, DCLWLoss, NTXentLoss, SupConLoss
from torch import distributed, multiprocessing

SOON = 30  # seconds; the backend waits for 30 minutes

class Stop(Exception):
    pass

def fails(error, call, sentence):
    started = time.monotonic()
    try:
        call()
    except error as found:
        assert sentence in str(found), (sentence, repr(found))
    else:
        raise AssertionError(f"not refused: {sentence}")
    assert time.monotonic() - started < SOON, time.monotonic() - started

def rows(n=4, d=3, **options):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), **options)

def cases(wrong, rank):
    # (call, error here where this process is the wrong one, error elsewhere, part of the sentence)
    z, more = rows(), {"gather_distributed": True}
    yield lambda: NTXentLoss(**more)(z[0] if wrong else z, z), ValueError, ValueError, "2 dimensions"
    yield lambda: NTXentLoss(**more)(z, z[:3] if wrong else z), ValueError, ValueError, "has 4 rows but"
    yield lambda: NTXentLoss(**more)(z * 1j if wrong else z, z), TypeError, TypeError, "real numbers"
    yield lambda: NTXentLoss(**more)("z" if wrong else z, z), TypeError, TypeError, "array but is str"
    yield lambda: NTXentLoss(**more)(z.to_sparse() if wrong else z, z), TypeError, TypeError, "dense tensor"

    def changed(loss, value):
        if wrong:
            loss.temperature = value
        return loss
    for value in (float("nan"), torch.tensor(0.0)):
        yield (lambda: changed(NTXentLoss(**more), value)(z, z), ValueError, ValueError,
               "temperature must be finite and not 0")
    yield (lambda: changed(DCLLoss(**more), "warm")(z, z), TypeError, TypeError,
           "DCLLoss: temperature must be a number but is 'warm'")

    def weight(a, b):
        if wrong:
            raise Stop("the user's weights")
        return torch.ones(len(a))
    yield lambda: DCLLoss(weight_fn=weight, **more)(z, z), Stop, RuntimeError, "the user's weights"
    labels = torch.arange(3 if wrong else 4)
    yield lambda: SupConLoss(**more)(z, labels), ValueError, ValueError, "z has 4 rows but labels has 3"
    yield (lambda: SupConLoss(**more)(z, labels=None if wrong else torch.arange(4)), ValueError, ValueError,
           "without labels z must be")
    masks = {"mask": torch.eye(4)} if wrong else {"labels": torch.arange(4)}
    yield lambda: SupConLoss(**more)(z, **masks), ValueError, ValueError, "=True or mask, not both"
    scale = torch.ones(2) if wrong else 1.0
    yield lambda: CLIPLoss(**more)(z, z, scale), ValueError, ValueError, "logit_scale must be one number"
    bank = NTXentLoss(memory_bank_size=(8, 3), **more)
    leaf = rows(4, 5 if wrong else 3, requires_grad=True)
    yield lambda: bank(leaf, leaf), ValueError, ValueError, "has 5 columns but the memory bank has 3"
    yield lambda: bank(leaf[0], leaf) if wrong else bank(leaf, leaf), ValueError, ValueError, "2 dimensions"

def interrupt(*_):
    raise KeyboardInterrupt

def differing(rank):
    # arguments that are valid in every process, but differ
    z, more = rows(), {"gather_distributed": True}
    kinds = NTXentLoss(**more), NTXentLoss(memory_bank_size=(8, 3), **more)
    leaf = rows(requires_grad=True)
    fails(ValueError, lambda: kinds[rank % 2](leaf, leaf), "must have the same function")
    fails(ValueError, lambda: CLIPLoss(normalize=rank == 0, **more)(z, z),
          "the same normalize, but process 0 has True and process 1 has False")
    for scale in (1.0 + rank, torch.tensor(1.0 + rank)):
        fails(ValueError, lambda: CLIPLoss(**more)(z, z, scale),
              "the same logit_scale, but process 0 has 1.0 and process 1 has 2.0")
    for first, second in ((torch.float32, torch.float64), (torch.bfloat16, torch.float16)):
        dtype, other = (str(x).removeprefix("torch.") for x in (first, second))
        mine = z.to(second if rank == 1 else first)
        for call in (lambda: NTXentLoss(**more)(mine, mine), lambda: CLIPLoss(**more)(mine, mine),
                     lambda: DCLLoss(**more)(mine, mine), lambda: SupConLoss(**more)(mine, torch.arange(4))):
            fails(ValueError, call, f"the same dtype, but process 0 has {dtype} and process 1 has {other}")
    temperature = 0.5 + 0.25 * (rank == 1)
    for loss in (NTXentLoss, DCLLoss, DCLWLoss, CLIPLoss):
        for value in (temperature, torch.tensor(temperature)):
            fails(ValueError, lambda: loss(value, **more)(z, z),
                  "the same temperature, but process 0 has 0.5 and process 1 has 0.75")
    fails(ValueError, lambda: SupConLoss(temperature, **more)(z, torch.arange(4)), "process 1 has 0.75")
    fails(ValueError, lambda: DCLWLoss(sigma=temperature, **more)(z, z),
          "the same sigma, but process 0 has 0.5 and process 1 has 0.75")
    weights = None if rank == 1 else lambda a, b: torch.ones(len(a))
    fails(ValueError, lambda: DCLLoss(weight_fn=weights, **more)(z, z),
          "the same weight_fn, but process 0 has one and process 1 has None")
    fails(ValueError, lambda: [DCLLoss, DCLWLoss][rank == 1](**more)(z, z), "must have the same function")
    banks = NTXentLoss(memory_bank_size=(8 + rank % 2, 3), **more)
    fails(ValueError, lambda: banks(leaf, leaf),
          "the same memory_bank_size, but process 0 has 8 and process 1 has 9")
    fails(ValueError, lambda: NTXentLoss(**more)(z[: 4 - rank % 2], z[: 4 - rank % 2]),
          "process 0 has (4, 3) and process 1 has (3, 3)")
    halves = z.to(torch.float16 if rank == 1 else torch.bfloat16).requires_grad_()
    bank = NTXentLoss(memory_bank_size=(8, 3), **more)
    fails(ValueError, lambda: bank(halves, halves),
          "the same dtype, but process 0 has bfloat16 and process 1 has float16")
    sides = (z, z.double()) if rank == 1 else (z, z)
    fails(ValueError, lambda: NTXentLoss(**more)(*sides),
          "the same dtype, but process 0 has float32 and process 1 has float64")

def work(rank, size, folder):
    torch.set_num_threads(1)
    gramless.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    z = rows(requires_grad=True)
    before = NTXentLoss(gather_distributed=True)(z, z)
    for failing in {size - 1, 0}:
        for call, own, theirs, sentence in cases(rank == failing, rank):
            fails(own if rank == failing else theirs, call, sentence)
            after = NTXentLoss(gather_distributed=True)(z, z)
            assert torch.equal(before, after)  # the group is as it was
    differing(rank)
    weights = {"weight_fn": interrupt if rank == 0 else None}
    own = KeyboardInterrupt if rank == 0 else RuntimeError
    sentence = "" if rank == 0 else "process 0 ended"
    fails(own, lambda: DCLLoss(gather_distributed=True, **weights)(z, z), sentence)
    with torch.no_grad():  # no process fills its bank: an error in one is its own
        bank = NTXentLoss(memory_bank_size=(8, 3), gather_distributed=True)
        if rank == 0:
            fails(ValueError, lambda: bank(z[0], z), "2 dimensions")
    distributed.barrier()

if __name__ == "__main__":
    size = int(sys.argv[2])
    multiprocessing.start_processes(work, (size, sys.argv[1]), size, start_method="fork")
    print("all ended")
"""


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.usefixtures("loopback")
def test_an_error_in_one_process_ends_a_gathered_loss_in_all(run_with_torch, tmp_path, size):
    assert run_with_torch(SCRIPT, tmp_path, size, timeout=200) == "all ended\n"


ALONE = """
import sys, time
import torch
from gramless.torch import NTXentLoss, _gather
from torch import distributed, multiprocessing

def work(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    _gather.GRACE = 1.0
    if rank == 1:  # a call that the other process does not make
        started = time.monotonic()
        try:
            NTXentLoss(gather_distributed=True)(torch.ones(3), torch.ones(3))
        except ValueError as error:
            assert "2 dimensions" in str(error)
        assert time.monotonic() - started < 60  # the backend waits for 30 minutes
        open(f"{folder}/done", "w").close()
    else:
        import os
        while not os.path.exists(f"{folder}/done"):
            time.sleep(0.05)
    os._exit(0) if rank == 0 else sys.exit()

if __name__ == "__main__":
    multiprocessing.start_processes(work, (sys.argv[1],), 2, start_method="fork")
    print("all ended")
"""


@pytest.mark.usefixtures("loopback")
def test_a_process_that_fails_alone_does_not_wait_for_the_others(run_with_torch, tmp_path):
    assert run_with_torch(ALONE, tmp_path, timeout=100) == "all ended\n"


KILLED = """
import os, signal, sys, time
import torch
from gramless.torch import CLIPLoss, NTXentLoss
from torch import distributed, multiprocessing

def work(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=3)
    z = torch.eye(4)
    for loss in (NTXentLoss(gather_distributed=True), CLIPLoss(gather_distributed=True)):
        loss(z, z)
    if rank == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    started = time.monotonic()
    try:
        loss(z, z)
    except RuntimeError as error:
        assert str(error).startswith("CLIPLoss: a process of process_group ended or lost its"), error
        assert "\\\\n" not in str(error)
    assert time.monotonic() - started < 60  # the backend waits for 30 minutes
    os._exit(0)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(rank, sys.argv[1])) for rank in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, -signal.SIGKILL]
    print("all ended")
"""


@pytest.mark.usefixtures("loopback")
def test_a_process_that_is_killed_ends_a_gathered_loss_in_the_others_with_a_sentence(
    run_with_torch, tmp_path
):
    assert run_with_torch(KILLED, tmp_path, timeout=200) == "all ended\n"
