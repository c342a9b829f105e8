"""The one tolerance rule: error(ours) <= 2 * error(naive in the same dtype) + floor(dtype)."""

from __future__ import annotations

import warnings

import numpy as np
from gramless.kernels import RBF, Linear, as_kernel
from gramless.reference.hsic import ESTIMATORS

# Four units in the last place of 1 in float32, which has float64 behind its sums; float64 has nothing wider.
FLOOR = {np.dtype(np.float32): 5e-7, np.dtype(np.float64): 1e-14}
MORE_DIGITS = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}


def distances_of(x):  # centred (n, p)
    """|x_i - x_j|^2 as in n x n code: from the dot products."""
    norms = np.sum(x * x, axis=1)
    distance2 = np.maximum(norms[:, None] + norms - 2 * (x @ x.T), 0)
    np.fill_diagonal(distance2, 0)
    return distance2


def gram_of(x, kernel, dtype):
    """The Gram matrix in `dtype` throughout, columns centred, computed naively."""
    x, kernel = np.asarray(x).astype(dtype), as_kernel(kernel, "gram_of")
    x = x - x.mean(axis=0)
    if isinstance(kernel, Linear):
        return x @ x.T
    assert isinstance(kernel, RBF)
    distance2 = distances_of(x)
    chosen = distance2 if kernel.include_diagonal else distance2[~np.eye(len(x), dtype=bool)]
    sigma2 = kernel.scale**2 * np.median(chosen) if kernel.sigma is None else kernel.sigma**2
    return np.exp(-distance2 / np.asarray(2 * sigma2, dtype))


def naive_biased(k, l):
    n = len(k)
    total = np.sum(k * l) - 2 / n * np.sum(k.sum(0) * l.sum(0)) + k.sum() * l.sum() / n**2
    return total / (n - 1) ** 2


def naive_unbiased(k, l):
    n = len(k)
    k, l = (np.where(np.eye(n, dtype=bool), 0, m).astype(m.dtype) for m in (k, l))
    mean_products = k.sum() * l.sum() / ((n - 1) * (n - 2))
    total = np.sum(k * l) + mean_products - 2 / (n - 2) * np.sum(k.sum(0) * l.sum(0))
    return total / (n * (n - 3))


NAIVE = {"biased": naive_biased, "unbiased": naive_unbiased}


def cka_of(k, l, estimator, hsic):
    h = hsic[estimator]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(h(k, l) / np.sqrt(h(k, k)) / np.sqrt(h(l, l)))


def true_biased(k, l):
    """Centred entry by entry, so that nothing cancels; any dtype."""
    k, l = (m - m.mean(axis=0) - m.mean(axis=1)[:, None] + m.mean() for m in (k, l))
    return np.sum(k * l) / (len(k) - 1) ** 2


def true_unbiased(k, l):
    """The U-centred form of Szekely and Rizzo 2014; any dtype."""
    n = len(k)

    def u_centre(k):
        k = np.where(np.eye(n, dtype=bool), 0, k - k[0, 1])
        k = k - k.sum(0) / (n - 2) - k.sum(1)[:, None] / (n - 2) + k.sum() / ((n - 1) * (n - 2))
        return np.where(np.eye(n, dtype=bool), 0, k)

    return np.sum(u_centre(k) * u_centre(l)) / (n * (n - 3))


TRUE = {"biased": true_biased, "unbiased": true_unbiased}


def true_cka(x, y, kernel, estimator, dtype):
    """With the digits of `MORE_DIGITS[dtype]`."""
    digits = MORE_DIGITS[np.dtype(dtype)]
    return cka_of(gram_of(x, kernel, digits), gram_of(y, kernel, digits), estimator, TRUE)


def naive_cka(x, y, kernel, estimator, dtype):
    return cka_of(gram_of(x, kernel, dtype), gram_of(y, kernel, dtype), estimator, NAIVE)


def assert_as_accurate(ours, naive, truth, dtype):
    """Results over many inputs: the worst error counts, for one naive result may be exact by chance."""
    ours, naive, truth = (np.asarray(values, np.float64) for values in (ours, naive, truth))
    error, allowed = (
        np.max(np.abs(ours - truth)),
        2 * np.nanmax(np.abs(naive - truth)) + FLOOR[np.dtype(dtype)],
    )
    assert error <= allowed, f"error {error:.2e} but {allowed:.2e} allowed"


def hsic_in_float64(k, l, estimator):
    """The reference's HSIC of two float64 Gram matrices."""
    return ESTIMATORS[estimator](k, l)
