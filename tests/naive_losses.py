"""Naive contrastive losses: n x n, in one dtype, positives in the sum."""

from __future__ import annotations

import numpy as np


def unit(u, normalize):
    """Rows of length 1, and their lengths."""
    if not normalize:
        return u, np.ones((len(u), 1), u.dtype)
    length = np.maximum(np.sqrt(np.sum(u * u, axis=1, keepdims=True)), u.dtype.type(1e-12))
    return u / length, length


def through_unit(z, length, dz, normalize):
    return (dz - np.sum(dz * z, axis=1, keepdims=True) * z) / length if normalize else dz


def log_softmax(s, which):
    s = np.where(which, s, -np.inf)
    top = np.max(s, axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(s.dtype)
    total = np.log(np.sum(np.exp(s - top), axis=1, keepdims=True)) + top
    return total, np.where(which, np.exp(s - total), 0)


def softmax_loss(s, positive, which):
    """Losses, and their derivatives with respect to s: log sum over `which` - mean over `positive`."""
    count = np.maximum(positive.sum(1, keepdims=True), 1).astype(s.dtype)
    total, p = log_softmax(s, which)
    share = positive / count
    losses = total[:, 0] - np.sum(np.where(positive, s, 0) / count, axis=1)
    some = positive.any(axis=1)
    return np.where(some, losses, 0), np.where(some[:, None], p - share, 0), some


def result(losses, ds, s, zs, lengths, tau, normalize):
    """(loss, [gradients], gradient of the temperature) from weighted ds; zs are anchors and keys."""
    a, k = zs
    da, dk = ds @ k / tau, ds.T @ a / tau
    grads = [
        through_unit(z, length, dz, normalize) for z, length, dz in zip(zs, lengths, (da, dk), strict=True)
    ]
    return np.sum(losses), grads, -np.sum(ds * s) / tau


def self_loss(z, groups, tau, normalize, decoupled=False):
    z, length = unit(z, normalize)
    s = z @ z.T / tau
    same = groups[:, None] == groups
    others = ~np.eye(len(z), dtype=bool)
    losses, ds, some = softmax_loss(s, same & others, ~same if decoupled else others)
    weight = s.dtype.type(1 / max(some.sum(), 1))
    loss, (da, dk), by_tau = result(losses * weight, ds * weight, s, (z, z), (length, length), tau, normalize)
    return loss, da + dk, by_tau


def nt_xent(a, b, tau, normalize, decoupled=False):
    loss, grad, by_tau = self_loss(
        np.concatenate([a, b]), np.tile(np.arange(len(a)), 2), tau, normalize, decoupled
    )
    return loss, np.split(grad, 2), by_tau


def dcl(a, b, tau, normalize):
    return nt_xent(a, b, tau, normalize, decoupled=True)


def sup_con(z, labels, tau, normalize):
    loss, grad, by_tau = self_loss(z, labels, tau, normalize)
    return loss, [grad], by_tau


def info_nce(a, keys, queue, tau, normalize, symmetric=False):
    n = len(a)
    a, length_a = unit(a, normalize)
    k, length_k = unit(keys if queue is None else np.concatenate([keys, queue]), normalize)
    s = a @ k.T / tau
    own = np.eye(n, len(k), dtype=bool)
    weight = s.dtype.type((0.5 if symmetric else 1) / n)
    losses, ds, _ = softmax_loss(s, own, np.ones_like(own))
    total, ds = np.sum(losses * weight), ds * weight
    if symmetric:
        losses, back, _ = softmax_loss(s[:, :n].T, own[:, :n], np.ones((n, n), bool))
        total += np.sum(losses * weight)
        ds[:, :n] += back.T * weight
    _, (da, dk), by_tau = result(losses, ds, s, (a, k), (length_a, length_k), tau, normalize)
    return total, [da, dk[:n]], by_tau


def moco(q, k, queue, tau, normalize):
    n = len(q)
    q, length_q = unit(q, normalize)
    keys, length_k = unit(np.concatenate([k, queue]), normalize)
    s = q @ keys.T / tau
    own = np.eye(n, len(keys), dtype=bool)
    losses, ds, _ = softmax_loss(s, own, own | (np.arange(len(keys)) >= n))
    weight = s.dtype.type(1 / n)
    lengths = length_q, length_k
    loss, (dq, dk), by_tau = result(losses * weight, ds * weight, s, (q, keys), lengths, tau, normalize)
    return loss, [dq, dk[:n], by_tau]


def row_log_sum_exp(x, y, tau, normalize, exclude_self=False):
    zx, length_x = unit(x, normalize)
    zy, length_y = (zx, length_x) if y is None else unit(y, normalize)
    s = zx @ zy.T / tau
    which = ~np.eye(len(s), dtype=bool) if exclude_self else np.ones(s.shape, bool)
    values, ds = log_softmax(s, which)
    _, (dx, dy), by_tau = result(values, ds, s, (zx, zy), (length_x, length_y), tau, normalize)
    return values[:, 0], [dx + dy] if y is None else [dx, dy], by_tau


def similarity_distillation(student, teacher, queue, queue_teacher, tau, normalize, teacher_tau):
    z, length = unit(student, normalize)
    k, t, kt = (
        unit(u, normalize)[0] for u in (queue, teacher, queue if queue_teacher is None else queue_teacher)
    )
    s, st = z @ k.T / tau, t @ kt.T / teacher_tau
    everywhere = np.ones(s.shape, bool)
    log_total, q = log_softmax(s, everywhere)
    _, p = log_softmax(st, everywhere)
    weight = s.dtype.type(1 / len(s))
    losses = np.sum(p * (log_total - s), axis=1)
    ds = (q - p) * weight
    dz = through_unit(z, length, ds @ k / tau, normalize)
    return np.sum(losses * weight), [dz], -np.sum(ds * s) / tau
