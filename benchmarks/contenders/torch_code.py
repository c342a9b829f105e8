"""The obvious torch code, written well: centred columns, one product per matrix, in place if possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from ..problems import Problem
from .features import feature_cka, feature_sweep


def torch_median(values: Any) -> Any:
    """The median of a flat tensor; an even count averages the middle two."""
    low = values.median()
    if values.numel() % 2 or (values <= low).sum() > values.numel() // 2:
        return low
    return (low + values[values > low].min()) / 2


def torch_distance2(x: Any) -> Any:
    x = x - x.mean(0)
    norm2 = (x * x).sum(1)
    distance2 = torch.addmm(norm2[None, :], x, x.T, alpha=-2).add_(norm2[:, None]).clamp_(min=0)
    return distance2.fill_diagonal_(0)


def torch_pairs(distance2: Any) -> Any:
    return distance2[torch.ones_like(distance2, dtype=torch.bool).triu_(1)]


def torch_rbf(problem: Problem, x: Any, sigma: Any) -> Any:
    distance2 = torch_distance2(x)
    if problem.bandwidth == "given":
        sigma2 = sigma**2
    elif problem.bandwidth == "kornblith":
        sigma2 = 0.25 * torch_median(distance2.view(-1))
    else:
        sigma2 = torch_median(torch_pairs(distance2))
    return distance2.mul_(-0.5 / sigma2).exp_()


def torch_unbiased(k: Any, l: Any) -> Any:
    """Unbiased HSIC from Gram matrices with zero diagonals; `torch.dot` needs no third matrix."""
    n = len(k)
    r, s = k.sum(1), l.sum(1)
    total = k.view(-1).dot(l.view(-1)) + r.sum() * s.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * r.dot(s)
    return total / (n * (n - 3))


def torch_biased(k: Any, l: Any) -> Any:
    n = len(k)
    r, s = k.sum(1), l.sum(1)
    return (k.view(-1).dot(l.view(-1)) - 2 / n * r.dot(s) + r.sum() * s.sum() / n**2) / (n - 1) ** 2


def gram_cka(problem: Problem, k: Any, l: Any) -> Any:
    """CKA from Gram matrices, whose diagonals are overwritten if the estimator leaves them out."""
    if problem.estimator == "unbiased":
        k.fill_diagonal_(0)
        l.fill_diagonal_(0)
    hsic = torch_unbiased if problem.estimator == "unbiased" else torch_biased
    return hsic(k, l) / (hsic(k, k) * hsic(l, l)).sqrt()


def torch_neighbors(x: Any, k: int = 10) -> Any:
    """The 0-1 matrix of the nearest rows by cosine."""
    unit = torch.nn.functional.normalize(x)
    similar = (unit @ unit.T).fill_diagonal_(-2)
    nearest = similar.topk(k, dim=1).indices
    return similar.zero_().scatter_(1, nearest, 1)


def run(problem: Problem, xs: Sequence[Any]) -> Any:
    if problem.kind == "mutual_knn":
        of_x, of_y = map(torch_neighbors, xs[:2])
        return (of_x * of_y).sum() / of_x.sum()
    if problem.kind == "median":
        return torch_median(torch_pairs(torch_distance2(xs[0]))).sqrt()
    if problem.kind == "sweep":
        return feature_sweep(torch, torch.cat(list(xs), dim=1), [x.shape[1] for x in xs])
    if problem.kernel == "linear":
        return feature_cka(xs)
    return gram_cka(problem, *(torch_rbf(problem, x, problem.sigma) for x in xs))


def _gram(problem: Problem, x: Any, sigma: Any) -> Any:
    if problem.kernel == "linear":
        x = x - x.mean(0)
        return x @ x.T
    return torch_rbf(problem, x, sigma)


def _centered(problem: Problem, k: Any) -> Any:
    """The centred matrix, as in `center_gram` of the code published with Kornblith et al. 2019."""
    n = len(k)
    if problem.estimator == "biased":
        means = k.mean(0)
        means = means - means.mean() / 2
        return k - means[:, None] - means
    hollow = 1 - torch.eye(n, dtype=k.dtype)
    k = k * hollow
    means = k.sum(0) / (n - 2)
    means = means - means.sum() / (2 * (n - 1))
    return (k - means[:, None] - means) * hollow


def centered_cka(problem: Problem, x: Any, y: Any, sigma: Any) -> Any:
    """CKA from centred Gram matrices."""
    k = _centered(problem, _gram(problem, x, sigma)).reshape(-1)
    l = _centered(problem, _gram(problem, y, sigma)).reshape(-1)
    return k.dot(l) / (torch.linalg.vector_norm(k) * torch.linalg.vector_norm(l))


def centered_run(problem: Problem, xs: Sequence[Any]) -> Any:
    if problem.kind == "pair":
        return centered_cka(problem, xs[0], xs[1], problem.sigma)
    grams = torch.stack([_centered(problem, _gram(problem, x, problem.sigma)).reshape(-1) for x in xs])
    hsic = grams @ grams.T
    scale = hsic.diagonal().sqrt()
    return hsic / (scale[:, None] * scale)


@cache
def _compiled(problem: Problem) -> Any:
    """Compiled for this shape only, because code for varying shapes is slower."""
    torch._dynamo.reset()
    return torch.compile(lambda x, y, sigma: centered_cka(problem, x, y, sigma), dynamic=False)


def compiled_run(problem: Problem, xs: Sequence[Any]) -> Any:
    same = replace(problem, name="", data="relu", sigma=0.0, only=(), threads=())
    return _compiled(same)(xs[0], xs[1], torch.tensor(problem.sigma))
