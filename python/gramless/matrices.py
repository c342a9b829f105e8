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

    Every layer's Gram tile is computed once and the tiles' inner products give all pairs; narrow linear
    layers are compared in feature space instead, whichever costs less. Memory is O(n + tiles) for each layer
    and a workspace (`set_workspace_limit`), never n x n. `estimate` says how long it takes.

    Parameters
    ----------
    {layers}
    {kernel}
    {estimator}
    {sweep}

    Returns
    -------
    array (len(xs), len(ys)), or LayerMatrix for a mapping
        numpy's for arrays of numpy, else where the layers live. NaN and inf in the data propagate.

    Raises
    ------
    {errors}

    Notes
    -----
    With a checkpoint or a process group, for any number of processes and threads, the answer is bitwise that
    without, given CPUs of one instruction set. Gradients need a sweep without. The formula is that of `hsic`.

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

    The formula is that of `cka` (Kornblith et al. 2019); sweeps over whole networks are those of Nguyen et
    al. 2021. Memory is O(n + tiles) for each layer and a workspace, never n x n; `estimate` says how long it
    takes.

    Parameters
    ----------
    {layers}
    {kernel}
    {estimator}
    {sweep}

    Returns
    -------
    array (len(xs), len(ys)), or LayerMatrix for a mapping
        numpy's for arrays of numpy, else where the layers live. Rows and columns of degenerate layers, such
        as constant ones, are NaN, with one RuntimeWarning for all of them.

    Raises
    ------
    {errors}

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, arXiv:1905.00414. Nguyen, Raghu and Kornblith 2021,
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
    """sweep: progress, checkpoint and process_group."""
    function = f"{form}_matrix"
    if is_mapping(xs) or is_mapping(ys):
        return named_call(function, xs, ys, kernel, estimator, form.upper(), *sweep)
    return described(function, xs, ys, kernel, estimator, form, *sweep)


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
    """CKA, or mutual kNN, of every layer in xs with every layer in ys, with names, and what chance gives.

    The matrix is that of `cka_matrix` or `mutual_knn_matrix`, in O(n) memory beyond a workspace.

    Parameters
    ----------
    xs : mapping or sequence of arrays
        The layers of one model: {name: array}, also as tools that record activations return them (dicts of
        tensors, objects with keys), or a sequence, such as the tuple of hidden states of a transformer; the
        arrays of a tuple in a mapping are layers name[0], name[1], ... Each array is (n, features), or
        (n, tokens, features) with `pool` or `rows`; of numpy, torch or a GPU, as in `cka`.
    ys : mapping or sequence of arrays, optional
        Those of the other model for the same examples. None compares xs with itself.
    names : sequence of str, or a pair of them, optional
        Names of the layers of sequences: of xs where ys is None, else of xs and of ys. Numbers by default.
    statistic : {"cka", "mutual_knn"}
        "mutual_knn" compares nearest neighbours. It has no kernel, estimator, level, checkpoint and process
        group; z is by its exact mean k / (n - 1) and variance over all orders of the rows. p-values are by
        permutation, which costs O(n k) for each cell and order, or None.
    kernel, estimator
        As in `cka`; every layer has a bandwidth of its own.
    k : int
        Neighbours of each row, as in `mutual_knn`.
    pool : {"mean", "last", "class"} or callable, optional
        One row for each example of (n, tokens, features): the mean of its tokens, the last or the first one,
        valid ones where there is a mask. A callable takes an array and returns (rows, features); it also gets
        those of `name` and `mask` that it has parameters for. Layers (n, features) stay as they are.
    rows : {"examples", "tokens"}
        "tokens" makes every valid token of (n, tokens, features) a row. Tokens of one example are not
        independent, so p-values are then too small; permutations are of tokens.
    mask, mask_y : array (n, tokens), optional
        1 (True) for valid tokens, 0 for padding; mask_y is that of ys where it differs.
    pvalue : {"auto", "chi2", "t", "gamma", "permutation"} or None
        How `pvalue` and `pvalue_corrected` of the result are computed; None computes neither.
        "auto" permutes below 40 rows and, on the CPU, up to 1,000 rows and 10 for each cell where the kernel
        is not bounded and one row has more than a third of the squared length of a layer on both sides. Else
        it takes "chi2" or, for the biased estimator, "gamma", and nothing where scipy is not installed. The
        documentation ("Is it chance?") has measured levels.
        "chi2": P(chi^2_1 > n CKA + 1), Shen et al. 2021. "t": Student's, for wide layers, Szekely and Rizzo
        2013; needs scipy. "gamma": for the biased estimator, with its exact mean and variance; needs scipy.
        "permutation": rows of all ys in `n_resamples` random orders, the same for all ys, and all orders of 7
        rows or fewer; valid for any data. It takes about n_resamples times as long as the matrix itself,
        or less; `progress` shows the estimate before it starts.
    n_resamples : int
        Permutations. The smallest p-value is 1 / (n_resamples + 1).
    rng : int, numpy.random.Generator or None
        Of the permutations; an int gives the same p-values every time.
    level : float, optional
        Such as 0.95: every cell gets an interval that holds the CKA of the population with that probability,
        as `gramless.analysis.cka_interval` without groups computes it. At least 5 rows; n^2 (features of all
        layers + 3 cells) operations of float64 on the CPU, 16 n bytes for each cell, and the layers copied to
        its memory in float64.
    digests : bool
        True adds SHA-256 of the rows of each layer to the record.
    progress, checkpoint, process_group
        As in `cka_matrix`. Permutations and intervals are neither kept in the checkpoint nor shared among
        processes.

    Returns
    -------
    LayerMatrix
        matrix, names, z, pvalue, pvalue_corrected, low, high, standard_error, n, settings, record; plot,
        to_csv, to_dataframe, save, load.

    Raises
    ------
    ValueError
        Where shapes, names, masks or options do not fit, a layer (n, tokens, features) comes without `pool`
        and `rows`, or the estimator has no such p-values.
    TypeError
        Where types do not fit.
    ImportError
        Where a method needs scipy, which is not installed (`pip install scipy`).

    Warns
    -----
    RuntimeWarning
        For layers without a CKA and, with `level`, for layers whose HSIC with itself a few examples carry:
        see `gramless.analysis.cka_interval`.

    References
    ----------
    Kornblith, Norouzi, Lee and Hinton 2019, arXiv:1905.00414. Szekely and Rizzo 2013, "The distance
    correlation t-test of independence in high dimension". Kazi-Aoual et al. 1995, "Refined approximations to
    permutation tests for multivariate inference". Shen, Panda and Vogelstein 2021, arXiv:1912.12150.

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
