"""Views and labels for tests of the contrastive losses, and comparisons of their results."""

from __future__ import annotations

import numpy as np
import pytest

TYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)


def views(n, d, dtype=np.float64, noise=0.5, seed=0):
    generator = np.random.default_rng([seed, n, d])
    base, a, b = generator.standard_normal((3, n, d))
    return (base + noise * a).astype(dtype), (base + noise * b).astype(dtype)


def flat(result):
    """Every number of a loss with its gradients."""
    if isinstance(result, tuple):
        return np.concatenate([flat(part) for part in result if part is not None])
    return np.ravel(np.asarray(result, np.float64))


def assert_near(ours, expected, dtype):
    """Loss and gradients within roundings of their largest entry, NaN and infinities in the same places."""
    for one, other in zip(unpacked(ours), unpacked(expected), strict=True):
        one, other = flat(one), flat(other)
        finite = np.isfinite(other)
        np.testing.assert_array_equal(one[~finite], other[~finite])
        if finite.any():
            limit = (2e-5 if dtype == np.float32 else 1e-11) * max(1, np.abs(other[finite]).max())
            assert np.abs(one - other)[finite].max() <= limit


def unpacked(result):
    return [result[0], *result[1]] if isinstance(result, tuple) else [result]


def labels_of(n):
    return np.random.default_rng(n).integers(0, max(1, n // 3), n)
