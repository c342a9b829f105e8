"""Dot products that a forward keeps for its backward: bitwise-identical gradients, and a limit that holds."""

from __future__ import annotations

import sys

import gramless as gl
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.checkpoint import checkpoint  # noqa: E402


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def limit():
    """Restores the limit."""
    yield
    gl.set_workspace_limit(None)


def views(generator, n, d, dtype=np.float32):
    a = generator.standard_normal((n, d))
    return a.astype(dtype), (a + generator.standard_normal((n, d))).astype(dtype)


CALLS = {
    "nt_xent": lambda a, b: gl.value_and_grad(gl.nt_xent)(a, b, temperature=0.1),
    "running shifts": lambda a, b: gl.value_and_grad(gl.nt_xent)(a, b, temperature=0.003),
    "exclusion": lambda a, b: gl.value_and_grad(gl.nt_xent)(a, b, exclude_hardest=0.2),
    "info_nce": lambda a, b: gl.value_and_grad(gl.info_nce)(a, b, symmetric=True),
    "queue": lambda a, b: gl.value_and_grad(gl.info_nce)(a, b, np.concatenate([b, a])),
    "sup_con": lambda a, b: gl.value_and_grad(gl.sup_con)(a, np.arange(len(a)) % 7),
    "row_log_sum_exp": lambda a, b: gl.value_and_grad(gl.row_log_sum_exp)(a, b, cotangent=np.ones(len(a))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("call", CALLS)
def test_the_limit_changes_no_bit(call, dtype, generator, limit, backend):
    a, b = views(generator, 230, 40, dtype)
    kept = CALLS[call](a, b)
    gl.set_workspace_limit(0)
    anew = CALLS[call](a, b)
    assert np.array_equal(kept[0], anew[0])
    for ours, theirs in zip(kept[1], anew[1], strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or np.array_equal(ours, theirs)


def torch_gradients(a, b, backwards=1, **options):
    """Loss and gradients of `backwards` passes over one graph."""
    a, b = (torch.from_numpy(x).requires_grad_() for x in (a, b))
    temperature = torch.tensor(0.2, requires_grad=True)
    loss = gl.nt_xent(a, b, temperature=temperature, **options)
    for left in reversed(range(backwards)):
        loss.sum().backward(retain_graph=left > 0)
    return [x.numpy() for x in (loss.detach(), a.grad, b.grad, temperature.grad)]


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_limit_changes_no_bit_in_torch(reduction, generator, limit):
    a, b = views(generator, 300, 32)
    kept = torch_gradients(a, b, reduction=reduction)
    gl.set_workspace_limit(0)
    for ours, theirs in zip(kept, torch_gradients(a, b, reduction=reduction), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_graph_that_is_kept_goes_backward_twice(generator):
    a, b = views(generator, 50, 32)
    once, twice = torch_gradients(a, b), torch_gradients(a, b, backwards=2)
    assert np.array_equal(2 * once[1], twice[1])
    assert np.array_equal(2 * once[3], twice[3])


def test_an_input_that_changes_before_the_backward_is_noticed(generator):
    a, b = (torch.from_numpy(x).requires_grad_() for x in views(generator, 20, 8))
    loss = gl.nt_xent(a, b)
    with torch.no_grad():
        a.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_two_graphs_do_not_share_what_they_kept(generator):
    pairs = [[torch.from_numpy(x).requires_grad_() for x in views(generator, 100, 32)] for _ in range(2)]
    losses = [gl.nt_xent(a, b) for a, b in pairs]
    for loss in losses:
        loss.backward()
    for a, b in pairs:
        alone = [x.detach().clone().requires_grad_() for x in (a, b)]
        gl.nt_xent(*alone).backward()
        assert torch.equal(alone[0].grad, a.grad)
        assert torch.equal(alone[1].grad, b.grad)


GROWTH = """
import os, torch, gramless as gl
from pathlib import Path
from torch.utils.checkpoint import checkpoint
import torch._dynamo  # checkpoint does

def resident():  # MiB
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

for call in CALLS:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    a, b = (torch.randn(3000, 64, requires_grad=True) for _ in range(2))
    checkpoint(gl.nt_xent, a[:8], b[:8], use_reentrant=False).backward()  # the first uses memory of its own
    before = resident()
    exec(call)
    print(resident() - before, flush=True)
    os._exit(0)
"""
KEPT = 6000**2 / 2 * 4 / 2**20  # MiB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_only_a_forward_with_a_backward_keeps(run_with_torch):
    calls = [
        "gl.nt_xent(a, b)",
        "with torch.no_grad(): gl.nt_xent(a, b)",
        "gl.nt_xent(a.detach(), b.detach())",
        "checkpoint(gl.nt_xent, a, b, use_reentrant=False)",
        "gl.set_workspace_limit(60 << 20); gl.nt_xent(a, b)",
    ]
    growth = [float(line) for line in run_with_torch(f"CALLS = {calls}\n{GROWTH}").split()]
    assert len(growth) == len(calls)
    assert growth[0] > KEPT
    assert max(growth[1:]) < KEPT / 3


def test_a_checkpointed_loss_has_its_gradients(generator):
    a, b = (torch.from_numpy(x).requires_grad_() for x in views(generator, 40, 8))
    checkpoint(gl.nt_xent, a, b, use_reentrant=False).backward()
    alone = [x.detach().clone().requires_grad_() for x in (a, b)]
    gl.nt_xent(*alone).backward()
    assert torch.equal(alone[0].grad, a.grad)


def test_limits_are_checked(limit):
    assert gl.get_workspace_limit() == 320 << 20
    gl.set_workspace_limit(np.int64(5))
    assert gl.get_workspace_limit() == 5
    with pytest.raises(TypeError, match=r"set_workspace_limit: size must be an integer or None but is 1\.5"):
        gl.set_workspace_limit(1.5)
    with pytest.raises(TypeError, match=r"set_workspace_limit: size must be an integer or None but is True"):
        gl.set_workspace_limit(True)
    with pytest.raises(ValueError, match=r"set_workspace_limit: size must be from 0 to 2\^63 - 1 but is -1"):
        gl.set_workspace_limit(-1)
    assert gl.get_workspace_limit() == 5


def test_a_pair_is_the_same_whether_its_packed_rows_are_kept_or_not(generator, limit):
    x, y = views(generator, 1100, 40)
    y = y[:, :24]
    kernel = gl.RBF(sigma=8.0)
    kept = gl.cka(x, y, kernel=kernel)
    assert abs(kept - gl.reference.cka(x.astype(float), y.astype(float), kernel=kernel)) <= 1e-6
    gl.set_workspace_limit(0)
    assert gl.cka(x, y, kernel=kernel) == kept


MEDIANS = {
    "cka": lambda x, y: gl.cka(x, y, kernel="rbf"),
    "a biased hsic": lambda x, y: gl.hsic(x, y, kernel=gl.RBF(scale=0.5), estimator="biased"),
    "with the diagonal": lambda x, y: gl.hsic(x, y, kernel=gl.RBF(include_diagonal=True)),
    "laplace": lambda x, y: gl.cka(x, y, kernel=gl.Laplace()),
    "one layer alone": lambda x, y: gl.cka_matrix([x], kernel="rbf"),
    "cka_matrix": lambda x, y: gl.cka_matrix([x, y[:, :9], x[:, ::2]], [y, x], kernel="rbf"),
    "mixed kernels": lambda x, y: gl.hsic(x, y, kernel=gl.RBF(median_rows=50)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [5, 192, 230, 800])
@pytest.mark.parametrize("call", MEDIANS)
def test_a_median_is_the_same_whether_its_dot_products_are_kept_or_not(
    call, n, dtype, generator, limit, backend
):
    x, y = views(generator, n, 40, dtype)
    kept = MEDIANS[call](x, y)
    for few in (0, 4 * n * n, 6 * n * n):  # memory for none, and for some layers
        gl.set_workspace_limit(few)
        assert np.array_equal(MEDIANS[call](x, y), kept, equal_nan=True)


def test_a_median_in_torch_is_the_same_whether_its_dot_products_are_kept_or_not(generator, limit):
    def gradients():
        a, b = (torch.from_numpy(x).requires_grad_() for x in views(np.random.default_rng(3), 250, 12))
        gl.cka(a, b, kernel="rbf").backward()
        return a.grad, b.grad

    kept = gradients()
    gl.set_workspace_limit(0)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(kept, gradients(), strict=True))
