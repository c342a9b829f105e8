"""Representational similarity analysis: agreement of the distances between rows of two representations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

from ._arrays import checks
from ._docs import documented
from ._evaluate import Call, differentiable
from ._layer_calls import call_of_layers, checked_layers
from ._problems.hsic import Hsic
from ._progress import ProgressLike
from .kernels import Encoded, Linear, encode

__all__ = ["rsa", "rsa_matrix"]

Metric: TypeAlias = Literal["sqeuclidean", "cosine", "correlation"]
Comparison: TypeAlias = Literal["pearson", "cosine"]

# Kernels whose squared distances are those of the metric; for the last two twice those (of rows of length 1).
_KERNELS: dict[str, Encoded] = {
    "sqeuclidean": encode(Linear()),
    "cosine": ("cosine distance", None, 1.0, False, None, ()),
    "correlation": ("correlation", None, 1.0, False, None, ()),
}
_OF_RANKS = ("spearman", "kendall", "tau-a", "tau-b", "rho-a")


@differentiable
@documented
def rsa(x: Any, y: Any, *, metric: Metric = "sqeuclidean", comparison: Comparison = "pearson") -> Call:
    """Representational similarity analysis: agreement of distances between rows of x (n, p) and y (n, q).

    The representational dissimilarity matrices are D_ij = |x_i - x_j|^2 and E_ij = |y_i - y_j|^2, or those of
    another metric, over the n (n - 1) / 2 pairs i < j. The comparison of both is

    pearson: sum (D - mean D) (E - mean E) / sqrt(sum (D - mean D)^2 sum (E - mean E)^2)
    cosine: sum D E / sqrt(sum D^2 sum E^2)

    Both follow from the sums of an unbiased HSIC with linear kernels and from the squared distances p_i, q_i
    of the rows to the mean rows: over all pairs, sum (D - mean D) (E - mean E) = 2 n (n - 3) HSIC +
    n^2 / (n - 2) sum_i (p_i - mean p) (q_i - mean q). It therefore takes the time of a linear `cka`, and O(n)
    memory beyond the workspace.

    Parameters
    ----------
    x, y : array (n, p) and (n, q), n >= 3
        {host_arrays}
    metric : {"sqeuclidean", "cosine", "correlation"}
        The distance, named as in scipy's `pdist`: |x_i - x_j|^2, 1 minus the cosine of two rows, or 1 minus
        their correlation. The last two are half the squared distances of (centred) rows scaled to length 1;
        rows are scaled when they are read, without a copy. A row of zeros (for "correlation", a row of equal
        numbers) gives NaN.
    comparison : {"pearson", "cosine"}
        Comparisons of ranks (Spearman, Kendall) are not supported, because they need all distances at once;
        use `rsatoolbox.rdm.compare`, or `scipy.stats.spearmanr` of two `pdist`.

    Returns
    -------
    {host_scalar}
        From -1 to 1. Differentiable with respect to x and y, for tensors and by `value_and_grad`. NaN, with
        one RuntimeWarning, if all distances of a representation are equal (for comparison "cosine", 0).

    Raises
    ------
    {host_errors}

    References
    ----------
    Kriegeskorte, Mur and Bandettini 2008, "Representational similarity analysis - connecting the branches of
    systems neuroscience", Frontiers in Systems Neuroscience 2:4. Walther et al. 2016, "Reliability of
    dissimilarity measures for multi-voxel pattern analysis", NeuroImage 137.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> y = rng.randn(100, 10) + x
    >>> round(rsa(x, y), 9)
    0.506232112
    >>> round(rsa(x, 3 * x[:, ::-1] + 1), 9)  # rotated, scaled and moved
    1.0
    """
    function = "rsa"
    kernel, estimator = _options(function, metric, comparison)
    library, (x, y) = checks.read(function, [("x", x), ("y", y)])
    checks.same_examples(function, "x", x, "y", y)
    _enough_rows(function, "x", x)
    return Call(library, Hsic(function, 1, 2, (kernel, kernel), estimator, "rsa", False), (x, y), ("x", "y"))


@differentiable
@documented
def rsa_matrix(
    xs: Sequence[Any],
    ys: Sequence[Any] | None = None,
    *,
    metric: Metric = "sqeuclidean",
    comparison: Comparison = "pearson",
    progress: ProgressLike = False,
) -> Call:
    """`rsa` of every layer in xs with every layer in ys, in one pass: a matrix (len(xs), len(ys)).

    Parameters
    ----------
    xs : sequence of arrays
        The layers of one model, each (n, d), n >= 3; d may differ between layers.
        {host_arrays}
    ys : sequence of arrays, optional
        The layers of the other model for the same n examples. None (default) compares xs with itself.
    metric : {"sqeuclidean", "cosine", "correlation"}
        The distance between rows: |x_i - x_j|^2, 1 minus their cosine, or 1 minus their correlation.
    comparison : {"pearson", "cosine"}
        The correlation or the cosine of the distances of two layers.
    {progress}

    Returns
    -------
    array (len(xs), len(ys))
        A numpy array of float64, or a tensor for tensors. Rows and columns of layers whose distances do not
        vary are NaN, with one RuntimeWarning for all of them.

    Raises
    ------
    {host_errors}

    References
    ----------
    Kriegeskorte, Mur and Bandettini 2008, "Representational similarity analysis - connecting the branches of
    systems neuroscience", Frontiers in Systems Neuroscience 2:4.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> rsa_matrix([x, x[:, ::-1]]).round(6)
    array([[1., 1.],
           [1., 1.]])
    """
    function = "rsa_matrix"
    kernel, estimator = _options(function, metric, comparison)
    count, library, layers, labels = checked_layers(function, xs, ys)
    _enough_rows(function, labels[0], layers[0])
    problem = Hsic(function, count, len(layers), (kernel, kernel), estimator, "rsa", True)
    return call_of_layers(library, problem, layers, progress, labels)


def _options(function: str, metric: object, comparison: object) -> tuple[Encoded, str]:
    """The kernel and the estimator of a metric and a comparison."""
    if comparison in _OF_RANKS:
        raise ValueError(
            f"{function}: comparison {comparison!r} needs the ranks of all distances, which are not stored; "
            "use rsatoolbox.rdm.compare, or scipy.stats with scipy.spatial.distance.pdist"
        )
    for name, value, allowed in (
        ("metric", metric, tuple(_KERNELS)),
        ("comparison", comparison, get_args(Comparison)),
    ):
        if not isinstance(value, str) or value not in allowed:
            *most, last = (f'"{one}"' for one in allowed)
            choices = f"{', '.join(most)} or {last}"
            raise ValueError(f"{function}: {name} must be {choices} but is {value!r}")
    return _KERNELS[str(metric)], f"rsa_{comparison}"


def _enough_rows(function: str, name: str, x: Any) -> None:
    if x.shape[0] < 3:
        raise ValueError(f"{function}: at least 3 rows are needed but {name} has {x.shape[0]}")
