"""Gradients of rsa: against the formula, with far rows, and under torch's transforms."""

from __future__ import annotations

import gramless as gl
import numpy as np
import pytest
from gramless import rsa, rsa_matrix
from test_rsa import every_comparison, every_metric, pair


@every_metric
@every_comparison
@pytest.mark.parametrize("shape", [(9, 3, 4), (9, 12, 4), (9, 12, 15)])
def test_gradients_of_numpy_and_torch_are_those_of_the_formula(metric, comparison, shape):
    torch = pytest.importorskip("torch")
    x, y = pair(*shape)
    options = {"metric": metric, "comparison": comparison}
    value, grads = gl.value_and_grad(rsa)(x, y, **options)
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, y)]
    found = rsa(*leaves, **options)
    assert found.item() == value
    for ours, theirs in zip(grads, torch.autograd.grad(found, leaves), strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())
    assert torch.autograd.gradcheck(lambda a, b: rsa(a, b, **options), leaves)
    assert torch.autograd.gradcheck(lambda a, b: rsa_matrix([a, b], **options)[0, 1], leaves)


@every_metric
@every_comparison
def test_gradients_beside_a_far_row_are_those_of_differences(metric, comparison):
    torch = pytest.importorskip("torch")
    x, y = pair(40, 6, 5)
    x[3] += 1e4  # the centre is then the mean of the others
    ours = gl.value_and_grad(rsa)(x, y, metric=metric, comparison=comparison)[1]
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, y)]
    expected = torch.autograd.grad(of_torch(*leaves, metric, comparison), leaves)
    for a, b in zip(ours, expected, strict=True):
        scale = abs(b).max().item()
        np.testing.assert_allclose(a, b.numpy(), atol=1e-8 * scale)


def of_torch(x, y, metric, comparison):
    """By autograd, from the differences of rows."""
    import torch

    def distances(rows):
        if metric == "correlation":
            rows = rows - rows.mean(1, keepdim=True)
        if metric != "sqeuclidean":
            rows = torch.nn.functional.normalize(rows, dim=1)
        i, j = np.triu_indices(len(rows), 1)
        return ((rows[i] - rows[j]) ** 2).sum(1)

    d, e = distances(x), distances(y)
    if comparison == "pearson":
        d, e = d - d.mean(), e - e.mean()
    return d @ e / ((d @ d) * (e @ e)).sqrt()


@every_metric
@pytest.mark.parametrize("shape", [(400, 30, 20), (150, 300, 200)])
def test_float32_gradients_are_near_those_of_float64(metric, shape):
    x, y = (side.astype(np.float32) for side in pair(*shape))
    ours = gl.value_and_grad(rsa)(x, y, metric=metric)[1]
    expected = gl.value_and_grad(rsa)(x.astype(np.float64), y.astype(np.float64), metric=metric)[1]
    for a, b in zip(ours, expected, strict=True):
        assert np.abs(a - b).max() < 5e-6 * np.abs(b).max()


def test_it_works_under_compile_and_func():
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(a) for a in pair(9, 6, 3))
    expected = gl.value_and_grad(rsa)(x, y)[1]
    of_func = torch.func.grad(rsa, argnums=(0, 1))(x, y)
    for ours, theirs in zip(of_func, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    compiled = torch.compile(lambda a, b: rsa(a, b), fullgraph=True, backend="eager")
    assert compiled(x, y).item() == rsa(x, y).item()
