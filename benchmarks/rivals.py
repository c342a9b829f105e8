"""Who is measured: gramless, the obvious code written well, and the peers that are installed.

A rival receives its inputs in the form it likes best, prepared outside the clock.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gramless as gl
import torch

from .losses import (
    Loss,
    as_leaves,
    forward_and_backward,
    gramless_loss,
    info_nce_pytorch_loss,
    infonce_loss,
    lightly_loss,
    optax_run,
    pml_loss,
    reference_loss,
    torch_loss,
)
from .obvious import compiled_run, feature_cka, numpy_median_run, torch_run
from .peers import (
    ckatorch_run,
    hyppo_run,
    keops_run,
    pytorch_cka_run,
    repsim_run,
    scipy_run,
    sklearn_run,
    thingsvision_run,
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

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    def wanted(self, problem: Problem) -> bool:
        """Whether it is asked for, and able; it may not be installed."""
        return (not problem.only or self.name in problem.only) and self.can(problem)

    def takes(self, problem: Problem) -> bool:
        return self.installed and self.wanted(problem)


def trained(problem: Problem) -> bool:
    """Whether it is measured forward and backward."""
    return problem.kind in ("nt_xent", "info_nce", "cka_grad")


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
    return [torch.from_numpy(x) for x in arrays]


def _unbiased_linear(problem: Problem) -> bool:
    return (
        problem.kernel == "linear" and problem.estimator == "unbiased" and problem.kind in ("pair", "sweep")
    )


def _small(problem: Problem) -> bool:
    return problem.n <= 512 and problem.kind == "pair"


def _given_rbf(problem: Problem) -> bool:
    """A pair with a bandwidth, at sizes where n x n code that is slow ends in seconds."""
    return problem.group == "field" and problem.kind == "pair" and problem.kernel == "rbf"


def _loss(name: str, package: str, can: Callable[[Problem], bool], loss: Loss) -> Rival:
    def run(problem: Problem, xs: Sequence[Any]) -> Any:
        return forward_and_backward(loss, problem, xs)

    return Rival(name, package, can, run, as_leaves)


def _nt_xent(largest: int) -> Callable[[Problem], bool]:
    return lambda problem: problem.kind == "nt_xent" and problem.n <= largest


OBVIOUS = [
    Rival("gramless", "gramless", lambda problem: True, gramless_run),
    Rival("gramless.reference", "gramless", lambda p: _small(p) and p.kernel == "rbf", reference_run),
    Rival("torch eager", "torch", lambda p: p.kind in ("pair", "median"), torch_run, as_tensors),
    Rival(
        "torch.compile",
        "torch",
        lambda p: p.name == "rbf-8192-512" and p.n == 8192,
        compiled_run,
        as_tensors,
    ),
    Rival("numpy", "numpy", lambda p: p.kind == "pair" and p.kernel == "linear", feature_cka),
    Rival("numpy", "numpy", lambda p: p.kind == "median", numpy_median_run),
    _loss("torch eager", "torch", trained, torch_loss),
]
SIMILARITIES = [
    Rival(
        "pytorch-cka",
        "cka",
        lambda p: _unbiased_linear(p) and p.group in ("peers", "linear", "field"),
        pytorch_cka_run,
        as_tensors,
    ),
    Rival(
        "thingsvision",
        "thingsvision",
        lambda p: _given_rbf(p) or (_unbiased_linear(p) and p.kind == "pair" and p.group != "overhead"),
        thingsvision_run,
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
    Rival("hyppo", "hyppo", lambda p: p.kind == "pvalue", hyppo_run),
    Rival("scikit-learn", "sklearn", _given_rbf, sklearn_run),
    Rival(
        "scipy",
        "scipy",
        lambda p: _given_rbf(p) or (p.kind == "median" and p.group == "field"),
        scipy_run,
    ),
    Rival("pykeops", "pykeops", _given_rbf, keops_run, as_tensors),
]
LOSSES = [
    _loss("lightly", "lightly", _nt_xent(8192), lightly_loss),
    _loss("infonce", "infonce", _nt_xent(8192), infonce_loss),
    _loss("pytorch-metric-learning", "pytorch_metric_learning", _nt_xent(128), pml_loss),  # cubic memory
    Rival("optax", "optax", _nt_xent(512), optax_run),  # n^2 D memory
    _loss("info-nce-pytorch", "info_nce", lambda p: p.kind == "info_nce", info_nce_pytorch_loss),
]
RIVALS = [*OBVIOUS, *SIMILARITIES, *LOSSES]
