"""The losses and their gradients in plain torch, with every similarity in memory."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, normalize


def similarities(z, temperature):
    """<z_i, z_j> / temperature of normalised rows, i = j left out."""
    z = normalize(z)
    alone = torch.eye(len(z), dtype=torch.bool)
    return (z @ z.T / temperature).masked_fill(alone, -torch.inf)


def other_view(n):
    return torch.cat([torch.arange(n) + n, torch.arange(n)])


def nt_xent(z_a, z_b, temperature):
    return cross_entropy(similarities(torch.cat([z_a, z_b]), temperature), other_view(len(z_a)))


def dcl(z_a, z_b, temperature):
    s, p = similarities(torch.cat([z_a, z_b]), temperature), other_view(len(z_a))
    rows = torch.arange(len(s))
    negatives = torch.zeros_like(s).index_put((rows, p), torch.tensor(-torch.inf, dtype=s.dtype)) + s
    return (negatives.logsumexp(1) - s[rows, p]).mean()


def sup_con(z, labels, temperature):
    s = similarities(z, temperature)
    positive = (labels[:, None] == labels) & ~torch.eye(len(z), dtype=torch.bool)
    of_positives = torch.where(positive, s.log_softmax(1), 0.0).sum(1)
    count = positive.sum(1)
    return -(of_positives[count > 0] / count[count > 0]).mean()


def clip(a, b, temperature):
    s, own = normalize(a) @ normalize(b).T / temperature, torch.arange(len(a))
    return (cross_entropy(s, own) + cross_entropy(s.T, own)) / 2


def moco(a, b, bank, temperature):
    a, b = normalize(a), normalize(b)
    s = torch.cat([(a * b).sum(1, keepdim=True), a @ bank.T], 1) / temperature
    return cross_entropy(s, torch.zeros(len(a), dtype=torch.long))


def gram(x, sigma=None):
    if sigma is None:
        x = x - x.mean(0)
        return x @ x.T
    return torch.exp(-((x[:, None] - x) ** 2).sum(-1) / (2 * sigma**2))


def hsic(k, l, estimator):
    n = len(k)
    if estimator == "biased":
        centring = torch.eye(n, dtype=k.dtype) - 1 / n
        return torch.trace(k @ centring @ l @ centring) / (n - 1) ** 2
    off = 1 - torch.eye(n, dtype=k.dtype)
    k, l = k * off, l * off
    total = (k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * (k.sum(1) @ l.sum(1))) / (n * (n - 3))


def cka(k, l, estimator):
    return hsic(k, l, estimator) / (hsic(k, k, estimator) * hsic(l, l, estimator)).sqrt()


def leaves(n=6, d=5, temperature=0.3, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a, noise = torch.randn(2, n, d, dtype=torch.float64, generator=generator)
    views = [a.to(dtype), (a + noise).to(dtype)]
    return [x.requires_grad_() for x in (*views, torch.tensor(temperature, dtype=dtype))]


def value_and_grads(loss, *inputs):
    value = loss(*inputs)
    return value, *torch.autograd.grad(value, inputs)
