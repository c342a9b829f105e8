"""The obvious code, written well: columns centred, one product per matrix, in place where that is natural."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from .problems import Problem


def torch_median(values: Any) -> Any:
    """The median of a flat tensor, the middle two averaged where the count is even."""
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


def torch_rbf(problem: Problem, x: Any) -> Any:
    if problem.bandwidth == "given":
        return torch_distance2(x).mul_(-0.5 / problem.sigma**2).exp_()
    distance2 = torch_distance2(x)
    if problem.bandwidth == "kornblith":
        sigma2 = 0.25 * torch_median(distance2.view(-1))
    else:
        sigma2 = torch_median(torch_pairs(distance2))
    return distance2.mul_(-0.5 / sigma2).exp_()


def torch_unbiased(k: Any, l: Any) -> Any:
    """From Gram matrices whose diagonals are 0; `torch.dot` needs no third matrix."""
    n = len(k)
    r, s = k.sum(1), l.sum(1)
    total = k.view(-1).dot(l.view(-1)) + r.sum() * s.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * r.dot(s)
    return total / (n * (n - 3))


def torch_biased(k: Any, l: Any) -> Any:
    n = len(k)
    r, s = k.sum(1), l.sum(1)
    return (k.view(-1).dot(l.view(-1)) - 2 / n * r.dot(s) + r.sum() * s.sum() / n**2) / (n - 1) ** 2


def gram_cka(problem: Problem, k: Any, l: Any) -> Any:
    """From Gram matrices, whose diagonals are overwritten where the estimator leaves them out."""
    if problem.estimator == "unbiased":
        k.fill_diagonal_(0)
        l.fill_diagonal_(0)
    hsic = torch_unbiased if problem.estimator == "unbiased" else torch_biased
    return hsic(k, l) / (hsic(k, k) * hsic(l, l)).sqrt()


def torch_gram_cka(problem: Problem, xs: Sequence[Any]) -> Any:
    return gram_cka(problem, torch_rbf(problem, xs[0]), torch_rbf(problem, xs[1]))


def feature_cka(problem: Problem, xs: Sequence[Any]) -> Any:
    """Linear CKA from three d x d products: numpy or torch, whichever the inputs are."""
    n = len(xs[0])
    x, y = xs[0] - xs[0].mean(0), xs[1] - xs[1].mean(0)
    a, b = (x * x).sum(1), (y * y).sum(1)

    def hsic(x: Any, y: Any, a: Any, b: Any) -> Any:
        c = (x.T @ y).reshape(-1)
        return c @ c - n / (n - 2) * (a @ b) + a.sum() * b.sum() / ((n - 1) * (n - 2))

    return hsic(x, y, a, b) / math.sqrt(hsic(x, x, a, a) * hsic(y, y, b, b))


def torch_run(problem: Problem, xs: Sequence[Any]) -> Any:
    if problem.kind == "median":
        return torch_median(torch_pairs(torch_distance2(xs[0]))).sqrt()
    if problem.kernel == "linear":
        return feature_cka(problem, xs)
    return torch_gram_cka(problem, xs)


@cache
def _compiled() -> Any:
    return torch.compile(torch_gram_cka)


def compiled_run(problem: Problem, xs: Sequence[Any]) -> Any:
    return _compiled()(problem, xs)


def numpy_median_run(problem: Problem, xs: Sequence[Any]) -> Any:
    x = xs[0] - xs[0].mean(0)
    norm2 = (x * x).sum(1)
    distance2 = x @ x.T
    distance2 *= -2
    distance2 += norm2
    distance2 += norm2[:, None]
    return math.sqrt(max(np.median(distance2[np.tri(len(x), k=-1, dtype=bool)]), 0))
