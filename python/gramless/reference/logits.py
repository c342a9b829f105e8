"""From embeddings to logits to the losses of anchors, and their gradients. Callers choose the positives.

Positives and negatives are summed separately. With the positive in the sum, 1 - P(positive) would cancel late
in training, and with it the gradient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._losses import EPSILON, TIE, excluded_count
from .gram import Array, as_rows
from .options import ContrastOptions, ScalarReduction

Mask = npt.NDArray[np.bool_]


def as_embeddings(function: str, named: dict[str, npt.ArrayLike]) -> list[Array]:
    """Every input as float64 rows; raises unless none is empty and all have the same number of columns."""
    arrays = {name: as_rows(function, name, z) for name, z in named.items()}
    first, width = next((name, z.shape[1]) for name, z in arrays.items())
    for name, z in arrays.items():
        if 0 in z.shape:
            raise ValueError(f"{function}: {name} is empty, its shape is {z.shape}")
        if z.shape[1] != width:
            raise ValueError(f"{function}: {first} has {width} columns but {name} has {z.shape[1]}")
    return list(arrays.values())


def check_rows(function: str, name_a: str, a: Array, name_b: str, b: Array) -> None:
    """Raises ValueError unless both have the same number of rows."""
    if len(a) != len(b):
        raise ValueError(f"{function}: {name_a} has {len(a)} rows but {name_b} has {len(b)}")


def lengths(u: Array) -> Array:  # (n, d)
    """max(|u_i|, 1e-12), as (n, 1)."""
    return np.asarray(np.maximum(np.sqrt(np.sum(u * u, axis=1, keepdims=True)), EPSILON))


def unit_rows(u: Array) -> Array:  # (n, d)
    """z_i = u_i / max(|u_i|, 1e-12)."""
    with np.errstate(invalid="ignore"):  # inf / inf
        return np.asarray(u / lengths(u))


def unit_rows_backward(u: Array, dz: Array) -> Array:  # (n, d), (n, d)
    """du_i = (dz_i - <dz_i, z_i> z_i) / |u_i|, or dz_i / 1e-12 for rows shorter than 1e-12."""
    with np.errstate(invalid="ignore"):
        z, length = unit_rows(u), lengths(u)
        along = np.sum(dz * z, axis=1, keepdims=True) * z
        return np.asarray((dz - np.where(length == EPSILON, 0, along)) / length)


def log_sum_exp(s: Array, which: Mask) -> Array:  # (n, m), (n, m)
    """log of the sum over j in `which` of exp(s_ij), as (n, 1); -inf for an empty sum."""
    s = np.where(which, s, -np.inf)
    top = np.max(s, axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", over="ignore"):  # NaN keeps `top` at 0
        return np.asarray(top + np.log(np.sum(np.exp(s - top), axis=1, keepdims=True)))


def row_losses(s: Array, positive: Mask, negative: Mask, decoupled: bool) -> tuple[Array, Array]:
    """Every anchor's loss (n,) and its derivative with respect to every logit (n, m), from logits s (n, m).

    With P_i the positives of anchor i and N_i its negatives, the loss is the mean over p in P_i of

        log sum_{j in N_i and P_i} exp(s_ij) - s_ip,  or if decoupled  log sum_{j in N_i} exp(s_ij) - s_ip.

    Without a positive it is 0. With an infinite logit the softmax is not defined, and the loss is NaN.
    """
    count = np.sum(positive, axis=1, keepdims=True)
    any_positive = count > 0
    count = np.maximum(count, 1)
    log_n, log_p = log_sum_exp(s, negative), log_sum_exp(s, positive)
    with np.errstate(invalid="ignore", over="ignore"):  # -inf + inf, of rows without a positive or a negative
        mean_p = np.sum(np.where(positive, s, 0), axis=1, keepdims=True) / count
        if decoupled:
            losses = log_n - mean_p
            slopes = np.where(negative, np.exp(s - log_n), 0) - positive / count
        else:
            log_all = np.logaddexp(log_n, log_p)
            log_all = np.where(log_all == np.inf, np.nan, log_all)
            losses = np.where(np.isfinite(mean_p), np.logaddexp(0, log_n - log_p) + (log_p - mean_p), -mean_p)
            losses = np.where(np.isnan(log_all) | np.isneginf(log_all), log_all - mean_p, losses)
            q = np.exp(log_n - log_all)  # the negatives' share of the sum
            within = np.where(np.isneginf(log_p), 0, np.exp(s - log_p))  # each one's share of the positives
            pull = (1 - q) * (within - 1 / count) - q / count
            slopes = np.where(negative, np.exp(s - log_all), np.where(positive, pull, 0))
    return np.where(any_positive, losses, 0)[:, 0], np.where(any_positive, slopes, 0)


def weighted_losses(s: Array, weights: Array, others: Mask) -> tuple[Array, Array]:
    """`row_losses` for weighted positives: log sum_{j in others} exp(s_ij) - weighted mean of s_ij."""
    count = np.sum(weights, axis=1, keepdims=True)
    counted = ~(count <= 0)  # also rows with NaN, which propagates
    log_all = log_sum_exp(s, others)
    log_all = np.where(log_all == np.inf, np.nan, log_all)
    with np.errstate(invalid="ignore", over="ignore"):
        share = weights / np.where(counted, count, 1)
        losses = log_all - np.sum(np.where(share != 0, share * s, 0), axis=1, keepdims=True)
        slopes = np.where(others, np.exp(s - log_all) - share, 0)
    return np.where(counted, losses, 0)[:, 0], np.where(counted, slopes, 0)


def exclude(similarity: Array, negative: Mask, options: ContrastOptions) -> Mask:  # (n, m), (n, m)
    """The negatives that stay, given the similarities <z_i, z_j> before the temperature.

    exclude_above = t leaves out those with <z_i, z_j> > t. exclude_hardest = f leaves out the most similar:
    of the m negatives of anchor i, let k = max(1, floor(f m)), or 0 for f = 0, and t_i be the k-th largest
    <z_i, z_j>. If k > 0, those with <z_i, z_j> > t_i - 1e-6 max_j |<z_i, z_j>| are left out. This leaves out
    all that tie with the k-th, so that neither the order of rows nor rounding chooses among them.
    exclude_easiest = f leaves out the least similar: with t_i the k-th smallest, those with
    <z_i, z_j> < t_i + 1e-6 max_j |<z_i, z_j>|. Both are shares of all negatives of the anchor.
    """
    kept = negative.copy()
    if options.exclude_above is not None:
        kept &= ~(similarity > options.exclude_above)
    for i in range(len(kept)):
        candidates = np.sort(similarity[i, negative[i]])
        hardest, easiest = (
            excluded_count(fraction or 0.0, len(candidates))
            for fraction in (options.exclude_hardest, options.exclude_easiest)
        )
        tie = TIE * np.max(np.abs(candidates), initial=0.0)
        if hardest > 0:
            kept[i] &= ~(similarity[i] > candidates[-hardest] - tie)
        if easiest > 0:
            kept[i] &= ~(similarity[i] < candidates[easiest - 1] + tie)
    return kept


class Contrast:
    """Anchors (n, d) against keys (m, d): `losses` (n,), which are `counted` (n,), and their gradients."""

    def __init__(
        self,
        anchors: Array,
        keys: Array,
        positive: Mask | Array,
        negative: Mask,
        options: ContrastOptions,
        weighted: bool = False,
    ) -> None:
        """weighted: `positive` holds weights, and `negative` marks all rows in the denominator."""
        self.options = options
        self.inputs = anchors, keys
        self.z = tuple(unit_rows(u) for u in self.inputs) if options.normalize else self.inputs
        with np.errstate(invalid="ignore", over="ignore"):
            similarity = self.z[0] @ self.z[1].T
            self.logits = similarity / options.temperature
        if weighted:
            self.losses, self.slopes = weighted_losses(self.logits, positive.astype(np.float64), negative)
        else:
            negative = exclude(similarity, negative, options)
            same = positive.astype(bool)
            self.losses, self.slopes = row_losses(self.logits, same, negative, options.decoupled)
        self.counted = np.asarray(positive.any(axis=1))

    def backward(self, weights: Array) -> tuple[Array, Array, float]:  # (n,)
        """The gradients of sum_i weights_i losses_i with respect to anchors, keys and temperature."""
        with np.errstate(invalid="ignore", over="ignore"):
            ds = weights[:, None] * self.slopes
            d_temperature = -np.sum(ds * self.logits) / self.options.temperature
            ds = ds / self.options.temperature
            d_anchors, d_keys = ds @ self.z[1], ds.T @ self.z[0]
        if self.options.normalize:
            d_anchors, d_keys = (
                unit_rows_backward(u, dz) for u, dz in zip(self.inputs, (d_anchors, d_keys), strict=True)
            )
        return d_anchors, d_keys, float(d_temperature)


def reduction_weights(counted: Mask, reduction: ScalarReduction) -> Array:  # (n,)
    """The weight of every anchor's loss; 0 for anchors that are not counted."""
    return counted / max(int(np.sum(counted)), 1) if reduction == "mean" else counted.astype(np.float64)
