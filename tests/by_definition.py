"""CKA by its definition, in float64, independent of gramless."""

from __future__ import annotations

import numpy as np


def debiased_cka(x, y):
    """Linear kernels, the estimator of Song et al. 2012, equation 5."""
    k, l = (np.asarray(z, np.float64) @ np.asarray(z, np.float64).T for z in (x, y))
    n = len(k)
    for gram in (k, l):
        np.fill_diagonal(gram, 0)

    def hsic(a, b):
        cross = a.sum(0) @ b.sum(0)
        return (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * cross

    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))
