"""Functions of other packages, called as in their documentation, with the best form of inputs for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..parts import part
from ..problems import Problem


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


def thingsvision_run(problem: Problem, xs: Sequence[Any]) -> Any:
    cka = part("thingsvision.core.cka.cka_torch").CKATorch
    options = {"unbiased": problem.estimator == "unbiased", "sigma": problem.sigma}
    return cka(m=problem.n, kernel=problem.kernel, **options).compare(xs[0], xs[1])


def _unbiased_cka(k: Any, l: Any) -> Any:
    """Unbiased CKA in numpy, from Gram matrices whose diagonals may be overwritten."""
    n = len(k)

    def hsic(k: Any, l: Any) -> Any:
        r, s = k.sum(1), l.sum(1)
        return np.vdot(k, l) + r.sum() * s.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (r @ s)

    for matrix in (k, l):
        np.fill_diagonal(matrix, 0)
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def sklearn_run(problem: Problem, xs: Sequence[Any]) -> Any:
    """scikit-learn computes the Gram matrices only."""
    from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

    if problem.kind == "mmd":
        n, rows = len(xs[0]), np.concatenate(xs[:2])
        cubic = problem.kernel == "polynomial"
        k = polynomial_kernel(rows) if cubic else rbf_kernel(rows, gamma=0.5 / problem.sigma**2)
        of_x, of_y = ((part.sum() - np.trace(part)) / (n * (n - 1)) for part in (k[:n, :n], k[n:, n:]))
        return of_x + of_y - 2 * k[:n, n:].mean()
    return _unbiased_cka(*(rbf_kernel(x, gamma=0.5 / problem.sigma**2) for x in xs))


def scipy_run(problem: Problem, xs: Sequence[Any]) -> Any:
    """scipy computes the distances only, in float64."""
    from scipy.spatial.distance import pdist, squareform

    if problem.kind == "median":
        return np.median(pdist(xs[0]))
    if problem.kind == "rsa":
        return np.corrcoef(pdist(xs[0], "sqeuclidean"), pdist(xs[1], "sqeuclidean"))[0, 1]
    pairs = [np.exp(-0.5 / problem.sigma**2 * pdist(x, "sqeuclidean")) for x in xs]
    return _unbiased_cka(*map(squareform, pairs))


def dcor_run(problem: Problem, xs: Sequence[Any]) -> Any:
    import dcor

    return dcor.u_distance_correlation_sqr(*xs[:2])


def keops_run(problem: Problem, xs: Sequence[Any]) -> Any:
    """Unbiased, from row sums without the diagonal; every reduction evaluates its kernels again."""
    from pykeops.torch import LazyTensor

    n = problem.n

    def gram(x: Any) -> Any:
        difference = LazyTensor(x[:, None, :]) - LazyTensor(x[None, :, :])
        return (-0.5 / problem.sigma**2 * (difference**2).sum(-1)).exp()

    def hsic(k: Any, l: Any, r: Any, s: Any) -> Any:
        inner = (k * l).sum(1).sum() - n
        return inner + r.sum() * s.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (r * s).sum()

    k, l = gram(xs[0]), gram(xs[1])
    r, s = k.sum(1) - 1, l.sum(1) - 1
    return hsic(k, l, r, s) / (hsic(k, k, r, r) * hsic(l, l, s, s)).sqrt()
