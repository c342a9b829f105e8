"""Tests that need a real GPU: graphs, streams, several devices, and that no call waits for the device."""

from __future__ import annotations

import devices
import gramless
import pytest

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not devices.has_gpu(), reason="there is no GPU")]
torch = pytest.importorskip("torch")

LOSSES = {
    "nt_xent": lambda a, b: gramless.nt_xent(a, b),
    "dcl": lambda a, b: gramless.dcl(a, b),
    "info_nce": lambda a, b: gramless.info_nce(a, b, symmetric=True),
    "temperature": lambda a, b: gramless.dcl(a, b, temperature=torch.full((), 0.2, device=a.device)),
    "exclude_above": lambda a, b: gramless.nt_xent(a, b, exclude_above=0.1),
    "exclude_hardest": lambda a, b: gramless.nt_xent(a, b, exclude_hardest=0.1),
    "distillation": lambda a, b: gramless.similarity_distillation(
        a, b, b.detach() + 1, teacher_temperature=0.1
    ),
    "sup_con": lambda a, b: gramless.sup_con(a, torch.arange(len(a), device=a.device) // 2),
    "linear cka": lambda a, b: gramless.cka(a, b),
    "rbf cka": lambda a, b: gramless.cka(a, b, kernel="rbf"),
    "cka_matrix": lambda a, b: gramless.cka_matrix([a, b], kernel=gramless.RBF(sigma=3.0)).sum(),
}
every_loss = pytest.mark.parametrize("loss", LOSSES)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)


def inputs(seed, n=96, d=64, dtype=torch.float32):
    generator = torch.Generator("cuda").manual_seed(seed)
    return [
        torch.randn(n, d, device="cuda", generator=generator).to(dtype).requires_grad_() for _ in range(2)
    ]


def step(loss, a, b):
    value = LOSSES[loss](a, b)
    return [
        value.detach(),
        *(g for g in torch.autograd.grad(value, (a, b), allow_unused=True) if g is not None),
    ]


@every_loss
@every_dtype
def test_a_captured_graph_replays_with_other_inputs(loss, dtype):
    a, b = inputs(0, dtype=dtype)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        step(loss, a, b)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(loss, a, b)
    for seed in (1, 2):
        new = inputs(seed, dtype=dtype)
        with torch.no_grad():
            for old, fresh in zip((a, b), new, strict=True):
                old.copy_(fresh)
        graph.replay()
        for found, expected in zip(captured, step(loss, *new), strict=True):
            assert torch.equal(found, expected)


@every_loss
def test_two_streams_compute_at_once_and_the_same(loss):
    given = [inputs(seed, n=512) for seed in range(2)]
    expected = [step(loss, *pair) for pair in given]
    torch.cuda.synchronize()
    streams, found = [torch.cuda.Stream() for _ in given], [[], []]
    for _ in range(5):
        for i, stream in enumerate(streams):
            with torch.cuda.stream(stream):
                found[i].append(step(loss, *given[i]))
    torch.cuda.synchronize()
    for answers, right in zip(found, expected, strict=True):
        for answer in answers:
            assert all(torch.equal(x, y) for x, y in zip(answer, right, strict=True))


@every_loss
def test_nothing_waits_for_the_device(loss):
    a, b = inputs(0)
    step(loss, a, b)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(loss, a, b)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@every_loss
def test_results_are_the_same_bits_from_run_to_run(loss):
    a, b = inputs(0, n=1000, d=128)
    first = step(loss, a, b)
    for _ in range(3):
        assert all(torch.equal(x, y) for x, y in zip(first, step(loss, a, b), strict=True))


def test_the_device_of_the_inputs_counts_not_the_current_one():
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    a, b = (x.detach().to("cuda:1") for x in inputs(0))
    with torch.cuda.device(0):
        found = gramless.nt_xent(a, b)
        assert torch.cuda.current_device() == 0
    assert found.device.index == 1


def test_cupy_and_torch_give_the_same_for_the_same_memory():
    cupy = pytest.importorskip("cupy")
    x = cupy.random.default_rng(0).standard_normal((32, 8))
    tensor = torch.from_dlpack(x)
    assert gramless.cka(x, x).get() == pytest.approx(gramless.cka(tensor, tensor).item())
