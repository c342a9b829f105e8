"""HSIC and CKA of all pairs of layers, in one pass over tiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ._chance import PvalueMethod
from ._docs import documented
from ._evaluate import Call, differentiable
from ._layer_calls import described
from ._progress import ProgressLike
from ._tokens import is_mapping
from .kernels import Estimator, KernelLike
from .named_layers import compared, named_call
from .neighbor_layers import check_statistic, compared_neighbors
from .results import LayerMatrix

__all__ = ["cka_matrix", "hsic_matrix", "layer_matrix"]


@differentiable
@documented
def hsic_matrix(
    xs: Sequence[Any] | Mapping[str, Any],
    ys: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: ProgressLike = False,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: Any = None,
) -> Call:
    """HSIC of every layer in xs with every layer in ys, in one pass: a matrix (len(xs), len(ys)).

    Each tile of a layer's Gram matrix is computed once, and inner products of tiles give the HSIC of all
    pairs (the formula of `hsic`). Linear layers are compared through products of features if that costs less.
    The memory is O(n + tiles) for each layer and a workspace (`set_workspace_limit`), never n x n. `estimate`
    predicts the time.

    Parameters
    ----------
    {layers}
    {kernel}
    {estimator}
    {sweep}

    Returns
    -------
    array (len(xs), len(ys)), or LayerMatrix for a mapping
        A numpy array for numpy layers, otherwise a tensor or array on the device of the layers. NaN and inf
        in the data propagate.

    Raises
    ------
    {errors}

    Notes
    -----
    With a checkpoint or a process group the result is bitwise identical to that of a single call, for any
    number of processes and threads, if all CPUs use the same instruction set. Gradients are not available
    then.

    References
    ----------
    Song, Smola, Gretton, Bedo and Borgwardt 2012, "Feature selection via dependence maximization", JMLR 13.

    Examples
    --------
    >>> import numpy as np
    >>> layers = [np.random.default_rng(seed).standard_normal((50, 8)) for seed in range(3)]
    >>> hsic_matrix(layers).shape
    (3, 3)
    """
    return _all_pairs("hsic", xs, ys, kernel, estimator, progress, checkpoint, process_group)


@differentiable
@documented
def cka_matrix(
    xs: Sequence[Any] | Mapping[str, Any],
    ys: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: ProgressLike = False,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: Any = None,
) -> Call:
    """CKA of every layer in xs with every layer in ys, in one pass: a matrix (len(xs), len(ys)).

    An entry is hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)), as in `cka` (Kornblith et al. 2019); Nguyen et al.
    2021 compare all layers of networks in this way. The memory is O(n + tiles) for each layer and a workspace
    (`set_workspace_limit`), never n x n. `estimate` predicts the time.

    Parameters
    ----------
    {layers}
    {kernel}
    {estimator}
    {sweep}

    Returns
    -------
    array (len(xs), len(ys)), or LayerMatrix for a mapping
        A numpy array for numpy layers, otherwise a tensor or array on the device of the layers. Rows and
        columns of degenerate layers, such as constant ones, are NaN, with one RuntimeWarning for all of them.

    Raises
    ------
    {errors}

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited",
    arXiv:1905.00414. Nguyen, Raghu and Kornblith 2021, "Do wide and deep networks learn the same things?",
    arXiv:2010.15327.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> cka_matrix([x, x[:, ::-1]]).round(6)
    array([[1., 1.],
           [1., 1.]])
    """
    return _all_pairs("cka", xs, ys, kernel, estimator, progress, checkpoint, process_group)


def _all_pairs(form: str, xs: Any, ys: Any, kernel: Any, estimator: Any, *sweep: Any) -> Call:
    """The call of `hsic_matrix` or `cka_matrix`. sweep: progress, checkpoint and process_group."""
    function = f"{form}_matrix"
    if is_mapping(xs) or is_mapping(ys):
        return named_call(function, xs, ys, kernel, estimator, form.upper(), *sweep)
    return described(function, xs, ys, kernel, estimator, form, *sweep)


@documented
def layer_matrix(
    xs: Any,
    ys: Any = None,
    *,
    names: Any = None,
    statistic: Literal["cka", "mutual_knn"] = "cka",
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    k: int = 10,
    pool: Literal["mean", "last", "class"] | Callable[..., Any] | None = None,
    rows: Literal["examples", "tokens"] = "examples",
    mask: Any = None,
    mask_y: Any = None,
    pvalue: PvalueMethod | None = "auto",
    n_resamples: int = 199,
    rng: int | np.random.Generator | None = None,
    level: float | None = None,
    digests: bool = False,
    progress: ProgressLike = False,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: Any = None,
) -> LayerMatrix:
    """CKA, or mutual kNN, of every layer in xs with every layer in ys, with names and p-values.

    The matrix is that of `cka_matrix` or `mutual_knn_matrix`, and needs O(n) memory beyond a workspace.

    Parameters
    ----------
    xs : mapping or sequence of arrays
        The layers of one model: {name: array} or another object with keys, or a sequence, such as the tuple
        of hidden states of a transformer. A tuple in a mapping stands for the layers name[0], name[1], ...
        Each array is (n, features), or (n, tokens, features) with `pool` or `rows`.
        {similarity_arrays}
    ys : mapping or sequence of arrays, optional
        The layers of the other model for the same n examples. None (default) compares xs with itself.
    names : sequence of str, or a pair of them, optional
        Names for the layers of sequences: of xs if ys is None, otherwise a pair for xs and ys. None (default)
        names them "0", "1", ...
    statistic : {"cka", "mutual_knn"}
        "mutual_knn" is the share of common nearest neighbours. It has no kernel, estimator, level, checkpoint
        or process group. Its z uses the exact mean k / (n - 1) and variance over all permutations of the
        rows, and its p-values come from permutations, which cost O(n k) for each cell and permutation.
    {kernel}
    {estimator}
    {neighbors}
    pool : {"mean", "last", "class"} or callable, optional
        Reduces (n, tokens, features) to one row per example: the mean of its tokens, the last token or the
        first one, of the valid tokens if there is a mask. A callable receives an array, and its layer's
        `name` and the `mask` if it has such parameters, and returns (rows, features). "mean", "last" and
        "class" leave layers (n, features) unchanged.
    rows : {"examples", "tokens"}
        "tokens" makes every valid token of (n, tokens, features) a row. The tokens of one example are not
        independent, so that p-values, whose permutations then permute tokens, are too small.
    mask, mask_y : array (n, tokens), optional
        1 (True) for valid tokens and 0 for padding; mask_y is that of ys if it differs from mask.
    {pvalues}
    level : float, optional
        For example 0.95, to compute for every cell an interval that contains the CKA of the population with
        this probability, as `gramless.analysis.cka_interval` does without groups. It needs at least 5 rows,
        n^2 (features of all layers + 3 cells) float64 operations on the CPU, 16 n bytes for each cell, and
        copies of the layers in float64.
    digests : bool
        Whether to add the SHA-256 of the rows of each layer to the record.
    {sweep}
        Checkpoints do not store permutations and intervals, and processes do not share them. The matrix, the
        permutations and the intervals each have a progress of their own, from 0 to its total, in this order.

    Returns
    -------
    LayerMatrix
        With matrix, names, z, pvalue, pvalue_corrected, low, high, standard_error, n, settings and record,
        and the methods plot, to_csv, to_dataframe, save and load.

    Raises
    ------
    ValueError
        If shapes, names, masks or options do not match, a layer (n, tokens, features) has neither `pool` nor
        `rows`, or the method of p-values is not defined for the estimator.
    TypeError
        If an argument has a type or dtype that is not supported.
    ImportError
        If a method needs scipy and scipy is not installed (`pip install scipy`).

    Warns
    -----
    RuntimeWarning
        If CKA is not defined for some layers and, with `level`, if a few examples carry most of a layer's
        HSIC with itself (see `gramless.analysis.cka_interval`).

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, arXiv:1905.00414. Szekely and Rizzo 2013, "The distance
    correlation t-test of independence in high dimension". Kazi-Aoual et al. 1995, "Refined approximations to
    permutation tests for multivariate inference". Shen, Panda and Vogelstein 2021, "The chi-square test of
    distance correlation", arXiv:1912.12150. Huh et al. 2024, "The platonic representation hypothesis",
    arXiv:2405.07987.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> noise = np.random.default_rng(1).standard_normal((50, 8))
    >>> found = layer_matrix({"input": x, "relu": np.maximum(x, 0), "noise": noise})
    >>> found.names[0]
    ['input', 'relu', 'noise']
    >>> found.within_chance()
    array([[False, False,  True],
           [False, False,  True],
           [ True,  True, False]])
    """
    function = "layer_matrix"
    options: dict[str, Any] = {"pvalue": pvalue, "n_resamples": n_resamples, "rng": rng}
    options |= {"digests": digests, "progress": progress}
    of_cka: dict[str, Any] = {"kernel": kernel, "estimator": estimator, "level": level}
    of_cka |= {"checkpoint": checkpoint, "process_group": process_group}
    tokens = {"names": names, "pool": pool, "rows": rows, "mask": mask, "mask_y": mask_y}
    check_statistic(function, statistic, k, of_cka)
    if statistic == "mutual_knn":
        return compared_neighbors(function, xs, ys, tokens, k, **options)
    of_cka = {name: of_cka[name] for name in ("level", "checkpoint", "process_group")}
    return compared(function, xs, ys, tokens, kernel, estimator, "CKA", **options, **of_cka)
