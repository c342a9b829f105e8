"""Representational similarity analysis: whether distances between rows agree in two representations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

from ._arrays import checks
from ._evaluate import Call, differentiable
from ._layer_calls import call_of_layers, checked_layers
from ._problems.hsic import Hsic
from ._progress import ProgressLike
from .kernels import Encoded, Linear, encode

__all__ = ["rsa", "rsa_matrix"]

Metric: TypeAlias = Literal["sqeuclidean", "cosine", "correlation"]
Comparison: TypeAlias = Literal["pearson", "cosine"]

# Kernels whose squared distances are the metric's, or twice those: of rows of length 1 for the last two.
_KERNELS: dict[str, Encoded] = {
    "sqeuclidean": encode(Linear()),
    "cosine": ("cosine distance", None, 1.0, False, None, ()),
    "correlation": ("correlation", None, 1.0, False, None, ()),
}
_OF_RANKS = ("spearman", "kendall", "tau-a", "tau-b", "rho-a")


@differentiable
def rsa(x: Any, y: Any, *, metric: Metric = "sqeuclidean", comparison: Comparison = "pearson") -> Call:
    """Representational similarity analysis: how alike distances between rows of x (n, p) and of y (n, q) are.

    D_ij = |x_i - x_j|^2 and E_ij = |y_i - y_j|^2, or those of another metric, over the n (n - 1) / 2 pairs
    i < j, are the representational dissimilarity matrices of both:

    pearson: sum (D - mean D) (E - mean E) / sqrt(sum (D - mean D)^2 sum (E - mean E)^2)
    cosine: sum D E / sqrt(sum D^2 sum E^2)

    Both follow from the sums of an unbiased HSIC with linear kernels and from the squared distances p_i, q_i
    of the rows to the mean rows: over all pairs, sum (D - mean D) (E - mean E) = 2 n (n - 3) HSIC +
    n^2 / (n - 2) sum_i (p_i - mean p) (q_i - mean q). So it takes the time of a linear `cka`, over features
    where they are fewer than rows, and O(n) memory beyond the workspace.

    Parameters
    ----------
    x, y : arrays (n, p) and (n, q)
        Of numpy or torch, in the CPU's memory, as in `cka`; n >= 3.
    metric : {"sqeuclidean", "cosine", "correlation"}
        The distance, as scipy's `pdist` names it: |x_i - x_j|^2, 1 less the cosine of two rows, or 1 less
        their correlation. The last two are half the squared distances of rows of length 1; rows are scaled as
        they are read, not copied. A row of zeros (correlation: of equal numbers) gives NaN.
    comparison : {"pearson", "cosine"}
        Comparisons of ranks (Spearman, Kendall) need all distances at once; `rsatoolbox.rdm.compare`, or
        `scipy.stats.spearmanr` of two `pdist`, have them.

    Returns
    -------
    float, or for tensors a 0-d one
        From -1 to 1. Differentiable with respect to x and y, for tensors and by `value_and_grad`. NaN, with
        one RuntimeWarning, where all distances of a representation are equal (comparison "cosine": 0).

    Raises
    ------
    ValueError
        Where x and y differ in their number of rows, have fewer than 3, or an option is not one of the above.
    TypeError
        Where types do not fit.
    NotImplementedError
        Where x and y are on a GPU.

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
def rsa_matrix(
    xs: Sequence[Any],
    ys: Sequence[Any] | None = None,
    *,
    metric: Metric = "sqeuclidean",
    comparison: Comparison = "pearson",
    progress: ProgressLike = False,
) -> Call:
    """`rsa` of every layer in xs with every layer in ys, in one pass: matrix (len(xs), len(ys)).

    Parameters
    ----------
    xs, ys : sequences of arrays (n, d)
        d as each layer has it; None for ys compares xs with itself. In the CPU's memory.
    metric, comparison
        As in `rsa`.
    progress
        True shows a progress bar, a callable receives (done, total).

    Returns
    -------
    array (len(xs), len(ys))
        float64, or a tensor for tensors. Rows and columns of layers whose distances do not vary are NaN, with
        one RuntimeWarning for all of them.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As `rsa` does.

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
            f"{function}: comparison {comparison!r} needs the ranks of all distances, which are not stored "
            "here; use rsatoolbox.rdm.compare, or scipy.stats with scipy.spatial.distance.pdist"
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
