"""gramless on numpy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gramless as gl
import numpy as np

from ..problems import Problem


def kernel_of(problem: Problem) -> gl.Linear | gl.RBF | gl.Distance | gl.Polynomial:
    if problem.kernel == "linear":
        return gl.Linear()
    if problem.kernel == "distance":
        return gl.Distance()
    if problem.kernel == "polynomial":
        return gl.Polynomial()
    if problem.bandwidth == "given":
        return gl.RBF(sigma=problem.sigma)
    if problem.bandwidth == "kornblith":
        return gl.RBF(scale=0.5, include_diagonal=True)
    return gl.RBF()


def run(problem: Problem, xs: Sequence[Any]) -> Any:
    kernel, estimator = kernel_of(problem), problem.estimator
    if problem.kind == "pair":
        return gl.cka(xs[0], xs[1], kernel=kernel, estimator=estimator)
    if problem.kind == "sweep":
        return gl.cka_matrix(xs, kernel=kernel, estimator=estimator)
    if problem.kind == "median":
        return gl.median_distance(xs[0])
    if problem.kind == "distances":  # one RBF pass: for every pair its distance, exp and sums
        return gl.hsic_matrix([xs[0]], kernel=kernel)[0, 0]
    if problem.kind == "mmd":
        return gl.mmd(xs[0], xs[1], kernel=kernel, estimator=estimator)
    if problem.kind == "rsa":
        return gl.rsa(xs[0], xs[1])
    if problem.kind == "mutual_knn":
        return gl.mutual_knn(xs[0], xs[1])
    return gl.independence_test(xs[0], xs[1], kernel=kernel, method="chi2").pvalue


def in_float64(problem: Problem, xs: Sequence[Any]) -> Any:
    """The true value at sizes that are too large for the reference."""
    return run(problem, [np.asarray(x, dtype=np.float64) for x in xs])


def reference_run(problem: Problem, xs: Sequence[Any]) -> Any:
    """The n x n code of `gramless.reference`, in float64."""
    kernel, estimator = kernel_of(problem), problem.estimator
    if problem.kind == "pair":
        return gl.reference.cka(xs[0], xs[1], kernel=kernel, estimator=estimator)
    if problem.kind == "sweep":
        return gl.reference.cka_matrix(xs, kernel=kernel, estimator=estimator)
    if problem.kind == "median":
        return gl.reference.median_distance(xs[0])
    if problem.kind == "distances":
        return gl.reference.hsic_matrix([xs[0]], kernel=kernel)[0, 0]
    if problem.kind == "mmd":
        return gl.reference.mmd(xs[0], xs[1], kernel=kernel, estimator=estimator)
    if problem.kind == "rsa":
        return gl.reference.rsa(xs[0], xs[1])
    if problem.kind == "mutual_knn":
        return gl.reference.mutual_knn(xs[0], xs[1])
    return gl.reference.independence_test(xs[0], xs[1], kernel=kernel, method="chi2").pvalue
