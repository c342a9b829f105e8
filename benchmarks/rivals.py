"""Who is measured: gramless, the obvious code written well, and the peers that are installed.

A rival receives its inputs in the form it likes best, prepared outside the clock. The obvious code is the
same definition: columns centred, one product per matrix, in place where that is natural.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gramless as gl
import numpy as np

from .losses import (
    as_leaves,
    forward_and_backward,
    gramless_loss,
    lightly_loss,
    pml_loss,
    reference_loss,
    torch_loss,
)
from .problems import Array, Problem

Prepare = Callable[[list[Array]], Sequence[Any]]
Run = Callable[[Problem, Sequence[Any]], Any]


@dataclass(frozen=True)
class Rival:
    name: str
    package: str  # what must be installed
    can: Callable[[Problem], bool]
    run: Run
    prepare: Prepare = lambda arrays: arrays

    def takes(self, problem: Problem) -> bool:
        """Whether it is installed, wanted, and able."""
        installed = importlib.util.find_spec(self.package) is not None
        return installed and (not problem.only or self.name in problem.only) and self.can(problem)


def trained(problem: Problem) -> bool:
    """Whether it is measured forward and backward."""
    return problem.kind in ("nt_xent", "cka_grad")


def gramless_run(problem: Problem, xs: Sequence[Any]) -> Any:
    kernel, estimator = problem.gramless_kernel, problem.estimator
    if trained(problem):
        return forward_and_backward(gramless_loss, problem, xs)
    if problem.kind == "pair":
        return gl.cka(xs[0], xs[1], kernel=kernel, estimator=estimator)
    if problem.kind == "sweep":
        return gl.cka_matrix(xs, kernel=kernel, estimator=estimator)
    if problem.kind == "median":
        return gl.median_distance(xs[0])
    if problem.kind == "distances":  # every pair once, its distance, exp and sums: the work of one RBF pass
        return gl.hsic_matrix([xs[0]], kernel=kernel)[0, 0]
    return gl.independence_test(xs[0], xs[1], kernel=kernel, method="chi2").pvalue


def reference_run(problem: Problem, xs: Sequence[Any]) -> Any:
    kernel, estimator = problem.gramless_kernel, problem.estimator
    if trained(problem):
        return reference_loss(problem, xs)
    if problem.kind == "pair":
        return gl.reference.cka(xs[0], xs[1], kernel=kernel, estimator=estimator)
    if problem.kind == "sweep":
        return gl.reference.cka_matrix(xs, kernel=kernel, estimator=estimator)
    if problem.kind == "median":
        return gl.reference.median_distance(xs[0])
    if problem.kind == "distances":
        return gl.reference.hsic_matrix([xs[0]], kernel=kernel)[0, 0]
    return gl.reference.independence_test(xs[0], xs[1], kernel=kernel, method="chi2").pvalue


def as_tensors(arrays: list[Array]) -> list[Any]:
    import torch

    return [torch.from_numpy(x) for x in arrays]


def torch_median(values: Any) -> Any:
    """The median of a flat tensor, the middle two averaged where the count is even."""
    low = values.median()
    if values.numel() % 2 or (values <= low).sum() > values.numel() // 2:
        return low
    return (low + values[values > low].min()) / 2


def torch_distance2(x: Any) -> Any:
    import torch

    x = x - x.mean(0)
    norm2 = (x * x).sum(1)
    distance2 = torch.addmm(norm2[None, :], x, x.T, alpha=-2).add_(norm2[:, None]).clamp_(min=0)
    return distance2.fill_diagonal_(0)


def torch_pairs(distance2: Any) -> Any:
    import torch

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


def torch_gram_cka(problem: Problem, xs: Sequence[Any]) -> Any:
    hsic = torch_unbiased if problem.estimator == "unbiased" else torch_biased
    k, l = torch_rbf(problem, xs[0]), torch_rbf(problem, xs[1])
    if problem.estimator == "unbiased":
        k.fill_diagonal_(0)
        l.fill_diagonal_(0)
    return hsic(k, l) / (hsic(k, k) * hsic(l, l)).sqrt()


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
    import torch

    return torch.compile(torch_gram_cka)


def numpy_median_run(problem: Problem, xs: Sequence[Any]) -> Any:
    x = xs[0] - xs[0].mean(0)
    norm2 = (x * x).sum(1)
    distance2 = x @ x.T
    distance2 *= -2
    distance2 += norm2
    distance2 += norm2[:, None]
    return math.sqrt(max(np.median(distance2[np.tri(len(x), k=-1, dtype=bool)]), 0))


def pytorch_cka_run(problem: Problem, xs: Sequence[Any]) -> Any:
    from cka import cka_from_features

    if problem.kind == "pair":
        return cka_from_features(xs[0], xs[1])[0, 0]
    return cka_from_features(xs, xs)


def ckatorch_run(problem: Problem, xs: Sequence[Any]) -> Any:
    from ckatorch import cka_base

    options = {"kernel": problem.kernel, "unbiased": problem.estimator == "unbiased", "threshold": 0.5}
    if problem.kind == "pair":
        return cka_base(xs[0], xs[1], **options)
    return np.array([[float(cka_base(x, y, **options)) for y in xs] for x in xs])


def repsim_run(problem: Problem, xs: Sequence[Any]) -> Any:
    import repsim

    return repsim.cka(xs, kernel_type="linear", estimator="song")


def hyppo_run(problem: Problem, xs: Sequence[Any]) -> Any:
    from hyppo.independence import Hsic

    return Hsic().test(xs[0], xs[1], auto=True).pvalue


def _unbiased_linear(problem: Problem) -> bool:
    return (
        problem.kernel == "linear" and problem.estimator == "unbiased" and problem.kind in ("pair", "sweep")
    )


def _small(problem: Problem) -> bool:
    return problem.n <= 512 and problem.kind == "pair"


RIVALS = [
    Rival("gramless", "gramless", lambda problem: True, gramless_run),
    Rival("gramless.reference", "gramless", lambda p: _small(p) and p.kernel == "rbf", reference_run),
    Rival("torch eager", "torch", lambda p: p.kind in ("pair", "median"), torch_run, as_tensors),
    Rival(
        "torch.compile",
        "torch",
        lambda p: p.name == "rbf-8192-512" and p.n == 8192,
        lambda problem, xs: _compiled()(problem, xs),
        as_tensors,
    ),
    Rival("numpy", "numpy", lambda p: p.kind == "pair" and p.kernel == "linear", feature_cka),
    Rival("numpy", "numpy", lambda p: p.kind == "median", numpy_median_run),
    Rival(
        "pytorch-cka",
        "cka",
        lambda p: _unbiased_linear(p) and p.group in ("peers", "linear"),
        pytorch_cka_run,
        as_tensors,
    ),
    Rival(
        "ckatorch",
        "ckatorch",
        lambda p: p.bandwidth == "kornblith" or (p.kind == "sweep" and p.n * p.layers**2 <= 16_000),
        ckatorch_run,
        as_tensors,
    ),
    Rival("repsim", "repsim", lambda p: p.kind == "sweep" and p.n * p.layers**2 <= 16_000, repsim_run),
    Rival(
        "torch eager",
        "torch",
        trained,
        lambda problem, xs: forward_and_backward(torch_loss, problem, xs),
        as_leaves,
    ),
    Rival(
        "lightly",
        "lightly",
        lambda p: p.kind == "nt_xent",
        lambda problem, xs: forward_and_backward(lightly_loss, problem, xs),
        as_leaves,
    ),
    Rival(
        "pytorch-metric-learning",
        "pytorch_metric_learning",
        lambda p: p.kind == "nt_xent" and p.n <= 128,  # cubic memory
        lambda problem, xs: forward_and_backward(pml_loss, problem, xs),
        as_leaves,
    ),
    Rival("hyppo", "hyppo", lambda p: p.kind == "pvalue", hyppo_run),
]
