"""The n x n code, in torch, for what the CUDA kernels compute: the true value in float64, and the result of a
library in the dtype of the inputs.

`low` rounds rows to the dtype of the inputs before they are multiplied; for the true value it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Low = Callable[[Tensor], Tensor]
TEMPERATURE, TEACHER, LEFT_OUT = 0.1, 0.05, 0.1


def unit(x: Tensor, low: Low) -> Tensor:
    return low(torch.nn.functional.normalize(x, dim=1, eps=1e-12))


def eye(s: Tensor) -> Tensor:
    return torch.eye(len(s), dtype=torch.bool, device=s.device)


def self_logits(z: Tensor) -> Tensor:
    """The logits of every row with every other row; those of rows with themselves are -inf."""
    s = z @ z.T / TEMPERATURE
    return s.masked_fill(eye(s), -torch.inf)


def views(x: Tensor, y: Tensor, low: Low) -> tuple[Tensor, Tensor]:
    """Logits (2n, 2n), and which of them are of positives."""
    s = self_logits(unit(torch.cat([x, y]), low))
    return s, eye(s).roll(len(x), 0)


def nt_xent(x: Tensor, y: Tensor, low: Low) -> Tensor:
    s, positive = views(x, y, low)
    return (s.logsumexp(1) - s[positive]).mean()


def dcl(x: Tensor, y: Tensor, low: Low) -> Tensor:
    s, positive = views(x, y, low)
    return (s.masked_fill(positive, -torch.inf).logsumexp(1) - s[positive]).mean()


def nt_xent_without_hardest(x: Tensor, y: Tensor, low: Low) -> Tensor:
    s, positive = views(x, y, low)
    negatives = s.masked_fill(positive, -torch.inf)
    count = int(LEFT_OUT * (len(s) - 2))
    if count > 0:
        limit = negatives.topk(count, dim=1).values[:, -1:]
        s = s.masked_fill((negatives >= limit) & ~positive, -torch.inf)
    return (s.logsumexp(1) - s[positive]).mean()


def nt_xent_below(x: Tensor, y: Tensor, low: Low, limit: float) -> Tensor:
    s, positive = views(x, y, low)
    s = s.masked_fill((s > limit / TEMPERATURE) & ~positive, -torch.inf)
    return (s.logsumexp(1) - s[positive]).mean()


def sup_con(z: Tensor, labels: Tensor, low: Low) -> Tensor:
    s = self_logits(unit(z, low))
    positive = (labels[:, None] == labels) & ~eye(s)
    count = positive.sum(1)
    of_positives = torch.where(positive, s, torch.zeros_like(s)).sum(1)
    losses = s.logsumexp(1) - of_positives / count.clamp(min=1)
    return losses[count > 0].mean()


def info_nce(x: Tensor, y: Tensor, queue: Tensor, low: Low) -> Tensor:
    s = unit(x, low) @ torch.cat([unit(y, low), unit(queue, low)]).T / TEMPERATURE
    return (s.logsumexp(1) - s.diagonal()).mean()


def clip(x: Tensor, y: Tensor, low: Low) -> Tensor:
    s = unit(x, low) @ unit(y, low).T / TEMPERATURE
    return ((s.logsumexp(1) + s.logsumexp(0)) / 2 - s.diagonal()).mean()


def moco(q: Tensor, k: Tensor, queue: Tensor, low: Low) -> Tensor:
    positive = (unit(q, lambda x: x) * unit(k, lambda x: x)).sum(1) / TEMPERATURE
    s = unit(q, low) @ unit(queue, low).T / TEMPERATURE
    return (torch.logaddexp(positive, s.logsumexp(1)) - positive).mean()


def log_sum_exp(x: Tensor, y: Tensor, low: Low) -> Tensor:
    return (unit(x, low) @ unit(y, low).T / TEMPERATURE).logsumexp(1).sum()


def distillation(student: Tensor, teacher: Tensor, queue: Tensor, low: Low) -> Tensor:
    """float16 and bfloat16 are computed in float32 here, so that `low` is not needed."""
    del low
    z, t, of_queue = (unit(x, lambda x: x) for x in (student, teacher, queue))
    log_q = (z @ of_queue.T / TEMPERATURE).log_softmax(1)
    return -((t @ of_queue.T / TEACHER).softmax(1).detach() * log_q).sum(1).mean()


def distances2(x: Tensor, low: Low) -> Tensor:
    x = low(x - x.mean(0))
    norms = (x * x).sum(1)
    found = (norms[:, None] + norms - 2 * (x @ x.T)).clamp(min=0)
    return found.masked_fill(eye(found), 0)


def gram(x: Tensor, low: Low, kernel: str, sigma: float) -> Tensor:
    if kernel == "linear":
        x = low(x - x.mean(0))
        return x @ x.T
    if kernel == "laplace":
        return torch.exp(-distances2(x, low).sqrt() / sigma)
    return torch.exp(-distances2(x, low) / (2 * sigma**2))


def biased(k: Tensor, l: Tensor) -> Tensor:
    n = len(k)
    r, s = k.sum(1), l.sum(1)
    return ((k * l).sum() - 2 / n * (r * s).sum() + r.sum() * s.sum() / n**2) / (n - 1) ** 2


def unbiased(k: Tensor, l: Tensor) -> Tensor:
    n = len(k)
    k, l = (m.masked_fill(eye(m), 0) for m in (k, l))
    r, s = k.sum(1), l.sum(1)
    total = (k * l).sum() + r.sum() * s.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (r * s).sum()
    return total / (n * (n - 3))


def cka(x: Tensor, y: Tensor, low: Low, kernel: str, sigma: float, estimator: str = "unbiased") -> Tensor:
    k, l = (gram(m, low, kernel, sigma) for m in (x, y))
    hsic = unbiased if estimator == "unbiased" else biased
    return hsic(k, l) / (hsic(k, k) * hsic(l, l)).sqrt()


def hsic_matrix(xs: tuple[Tensor, ...], low: Low, kernel: str, sigma: float) -> Tensor:
    grams = [gram(x, low, kernel, sigma) for x in xs]
    return torch.stack([unbiased(k, l) for k in grams for l in grams])


def cka_matrix(xs: tuple[Tensor, ...], low: Low, kernel: str, sigma: float) -> Tensor:
    values = hsic_matrix(xs, low, kernel, sigma).reshape(len(xs), len(xs))
    own = values.diagonal().sqrt()
    return (values / own[:, None] / own).flatten()


def mmd(x: Tensor, y: Tensor, low: Low, kernel: str, sigma: float) -> Tensor:
    n, m = len(x), len(y)
    k = gram(torch.cat([x, y]), low, kernel, sigma)
    k = k.masked_fill(eye(k), 0)
    return k[:n, :n].sum() / (n * (n - 1)) + k[n:, n:].sum() / (m * (m - 1)) - 2 * k[:n, n:].mean()


def median_distance(x: Tensor, low: Low) -> Tensor:
    found = distances2(x, low)
    pairs = found[torch.ones_like(found, dtype=torch.bool).triu_(1)].sort().values
    return ((pairs[(len(pairs) - 1) // 2] + pairs[len(pairs) // 2]) / 2).sqrt()
