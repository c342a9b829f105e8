"""NT-Xent of 65,536 rows at low to high temperatures: a sample of rows against float64, by blocks."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from tolerance import assert_as_accurate

ROWS, WIDTH, SAMPLED, BLOCK = 65_536, 128, 64, 256
TEMPERATURES = [0.005, 0.05, 1.0, 10.0, -0.3]

pytestmark = pytest.mark.slow


class Truth:
    """Both views, and in float64 log sum_{j != i} exp(s_ij) of every row, for every temperature."""

    def __init__(self):
        generator = np.random.default_rng(0)
        base = generator.standard_normal((ROWS // 2, WIDTH), dtype=np.float32)
        self.views = [base + 0.5 * generator.standard_normal(base.shape, dtype=np.float32) for _ in range(2)]
        u = np.concatenate(self.views).astype(np.float64)
        self.lengths = np.linalg.norm(u, axis=1, keepdims=True)
        self.z = u / self.lengths
        self.partner = np.roll(np.arange(ROWS), ROWS // 2)
        self.log_sums = {temperature: np.empty(ROWS) for temperature in TEMPERATURES}
        for first in range(0, ROWS, BLOCK):
            similarity = self.z[first : first + BLOCK] @ self.z.T
            rows = np.arange(len(similarity))
            for temperature, log_sums in self.log_sums.items():
                s = similarity / temperature
                s[rows, first + rows] = -np.inf
                top = s.max(axis=1, keepdims=True)
                s -= top
                np.exp(s, out=s)
                log_sums[first : first + BLOCK] = top[:, 0] + np.log(s.sum(axis=1))
        self.sample = np.sort(generator.choice(ROWS, SAMPLED, replace=False))

    def losses(self, temperature):
        positive = np.sum(self.z * self.z[self.partner], axis=1) / temperature
        return self.log_sums[temperature] - positive

    def gradients(self, temperature, dtype):
        """The mean loss's gradient of the sampled rows, pair weights in `dtype` as in n x n code."""
        z, rows = self.z.astype(dtype), np.arange(SAMPLED)
        logs = self.log_sums[temperature].astype(dtype)
        s = z[self.sample] @ z.T / dtype(temperature)
        weights = np.exp(s - logs[self.sample, None]) + np.exp(s - logs)
        weights[rows, self.sample] = 0
        weights[rows, self.partner[self.sample]] -= dtype(2)
        dz = weights @ z / dtype(ROWS * temperature)
        own = z[self.sample]
        return (dz - np.sum(dz * own, axis=1, keepdims=True) * own) / self.lengths[self.sample].astype(dtype)


@pytest.fixture(scope="module")
def truth():
    return Truth()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_sampled_rows_are_as_accurate_as_n_x_n_code_in_float32(truth, temperature):
    losses = gramless.nt_xent(*truth.views, temperature=temperature, reduction="none")
    expected = truth.losses(temperature)
    largest = max(1, np.abs(truth.log_sums[temperature]).max())
    error = np.abs(losses - expected).max() / largest
    assert error < 4 * np.finfo(np.float32).eps  # of a float32 logit: both terms of a loss are one

    loss, (*grads, by_temperature) = gramless.value_and_grad(gramless.nt_xent)(
        *truth.views, temperature=temperature
    )
    assert loss == pytest.approx(expected.mean(), abs=1e-6 * largest)
    ours, naive, wide = (
        np.concatenate(grads)[truth.sample],
        truth.gradients(temperature, np.float32),
        truth.gradients(temperature, np.float64),
    )
    scale = np.abs(wide).max()
    worst = [np.abs(g.astype(np.float64) - wide).max() / scale for g in (ours, naive)]
    print(f"temperature {temperature}: losses {error:.1e}, gradient {worst[0]:.1e}, n x n {worst[1]:.1e}")
    assert np.isfinite(ours).all()
    assert np.isfinite(by_temperature)
    assert_as_accurate(ours.ravel() / scale, naive.ravel() / scale, wide.ravel() / scale, np.float32)
