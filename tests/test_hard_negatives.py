"""Hard negatives that get gradients, and examples that occur twice in a batch: as in sentence-transformers'
MultipleNegativesRankingLoss, against plain torch.
"""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from tolerance import FLOOR

torch = pytest.importorskip("torch")

from torch.nn.functional import cross_entropy, normalize  # noqa: E402

N, HARD, WIDTH, SCALE = 24, 2, 10, 20.0


def batch(seed=0):
    """Anchors, their positives, and HARD negatives for each, which are near the positives."""
    rng = np.random.default_rng(seed)
    anchors = rng.standard_normal((N, WIDTH))
    positives = anchors + 0.5 * rng.standard_normal((N, WIDTH))
    negatives = np.tile(positives, (HARD, 1)) + 0.7 * rng.standard_normal((N * HARD, WIDTH))
    return anchors, positives, negatives


def ranking(anchors, positives, negatives):
    """The loss of sentence-transformers: cosines times 20, every positive and hard negative a candidate."""
    candidates = torch.cat([positives, negatives])
    scores = SCALE * normalize(anchors, dim=1) @ normalize(candidates, dim=1).T
    return cross_entropy(scores, torch.arange(len(anchors)))


def ours(anchors, positives, negatives):
    sums = gramless.row_log_sum_exp(
        anchors, torch.cat([positives, negatives]), temperature=1 / SCALE, normalize=True
    )
    return (sums - SCALE * (normalize(anchors, dim=1) * normalize(positives, dim=1)).sum(1)).mean()


def value_and_grads(loss, arrays, dtype):
    tensors = [torch.tensor(x, dtype=dtype, requires_grad=True) for x in arrays]
    value = loss(*tensors)
    return [value.detach(), *torch.autograd.grad(value, tensors)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_hard_negatives_get_their_gradients(dtype):
    exact = value_and_grads(ranking, batch(), torch.float64)
    naive, found = (value_and_grads(loss, batch(), dtype) for loss in (ranking, ours))
    floor = FLOOR[np.dtype(str(dtype).removeprefix("torch."))]
    for one, theirs, truth in zip(found, naive, exact, strict=True):
        unit = truth.abs().max()
        error, naive_error = (((x.double() - truth) / unit).abs().max() for x in (one, theirs))
        assert error <= 2 * naive_error + floor
    assert found[3].norm(dim=1).min() > 0


def test_without_autograd_they_are_a_queue_with_a_gradient():
    anchors, positives, negatives = batch()
    exact = value_and_grads(ranking, batch(), torch.float64)
    call = gramless.value_and_grad(gramless.info_nce)
    value, (*grads, _) = call(anchors, positives, negatives, temperature=1 / SCALE)
    assert value == pytest.approx(exact[0].item(), rel=1e-12)
    for own, theirs in zip(grads, exact[1:], strict=True):
        np.testing.assert_allclose(own, theirs.numpy(), rtol=1e-9, atol=1e-13)


def twice(rng):
    """Examples, the last quarter of which occurs twice in the batch."""
    z = rng.standard_normal((N, WIDTH))
    z[-6:] = z[:6]
    return z


def test_duplicates_are_negatives_unless_they_are_excluded():
    """A second copy of an example is its own hardest negative; exclude_above takes it out of the sum."""
    z_a = twice(np.random.default_rng(0))
    z_b = z_a + 1e-3 * np.random.default_rng(1).standard_normal(z_a.shape)
    z = normalize(torch.from_numpy(np.concatenate([z_a, z_b])), dim=1)
    own, partner = torch.eye(2 * N, dtype=torch.bool), torch.arange(2 * N).roll(N)
    cosines = z @ z.T
    for threshold, least in ((None, 0.1), (0.999, 0.0)):
        logits = (cosines / 0.1).masked_fill(own, -torch.inf)
        if threshold is not None:
            copies = (cosines > threshold) & ~own & ~own.roll(N, 1)
            assert copies.sum() == 2 * 6 * 2 * 2  # both views of the other copy, for each of both copies
            logits = logits.masked_fill(copies, -torch.inf)
        expected = cross_entropy(logits, partner).item()
        found = gramless.nt_xent(z_a, z_b, temperature=0.1, exclude_above=threshold)
        assert found == pytest.approx(expected, rel=1e-10)
        assert found > least
    tensors = [torch.from_numpy(x).requires_grad_() for x in (z_a, z_b)]
    excluded = gramless.nt_xent(*tensors, temperature=0.1, exclude_above=0.999)
    assert excluded.item() == pytest.approx(found, rel=1e-12)


def test_duplicates_known_by_their_ids_are_positives():
    z = twice(np.random.default_rng(0)) + 0.1 * np.random.default_rng(1).standard_normal((N, WIDTH))
    ids = [f"text {i % (N - 6)}" for i in range(N)]
    found = gramless.sup_con(z, ids, temperature=0.2)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    s = unit @ unit.T / 0.2
    np.fill_diagonal(s, -np.inf)
    logs = np.log(np.exp(s).sum(1))
    pairs = [(i, j) for i in range(N) for j in range(N) if i != j and ids[i] == ids[j]]
    assert len(pairs) == 12
    assert found == pytest.approx(np.mean([logs[i] - s[i, j] for i, j in pairs]), rel=1e-12)
