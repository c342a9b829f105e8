"""Whether rows have the same nearest neighbours in two representations: mutual kNN and CKNNA."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ._arrays import checks
from ._arrays.namespaces import computed_in
from ._layer_calls import checked_layers
from ._neighbors import cknna_of
from ._progress import ProgressLike
from ._tokens import is_mapping
from .neighbor_layers import compared_neighbors, find_neighbors, neighbor_count, shared_fractions

__all__ = ["cknna", "mutual_knn", "mutual_knn_matrix"]


def mutual_knn(x: Any, y: Any, k: int = 10, *, progress: ProgressLike = False) -> Any:
    """The share of their k nearest rows, by cosine, that rows have in common in x (n, p) and y (n, q).

    mean_i |N_x(i) and N_y(i)| / k, where N_x(i) are the k rows j != i with the largest cosine
    <x_i, x_j> / (|x_i| |x_j|); of equal cosines the smaller j comes first. Between unrelated representations
    it is k / (n - 1) on average; `mutual_knn_test` says whether a value is more than that.

    Neighbours are those by float64 of the numbers as they are given, for every dtype: tiles find candidates
    in float32, and those that its rounding could exchange are compared once more. Memory is O(n k).

    Parameters
    ----------
    x, y : arrays (n, p) and (n, q)
        Of numpy or torch, any layout and real dtype, memory-mapped ones included, in the CPU's memory. A row
        of zeros has cosine 0 with every row; numbers below 1e-301 count as that.
    k : int
        Neighbours of each row, from 1 to n - 1.
    progress : bool or callable
        True shows a progress bar, a callable receives (done, total).

    Returns
    -------
    float, or for tensors a 0-d one
        From 0 to 1. It is no smooth function of x and y and has no gradient: tensors that require one count
        as detached. NaN where a row holds NaN or infinity.

    Raises
    ------
    ValueError
        Where x and y differ in their number of rows, or k is not from 1 to n - 1.
    TypeError
        Where types do not fit.
    NotImplementedError
        Where x and y are on a GPU.

    References
    ----------
    Huh, Cheung, Wang and Isola 2024, "The platonic representation hypothesis", ICML, arXiv:2405.07987.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((200, 8))
    >>> mutual_knn(x, 3 * x[:, ::-1])  # neither rotations nor lengths change a cosine
    1.0
    >>> mutual_knn([[1, 0], [1, 1], [0, 1]], [[1, 0], [1, 2], [0, 1]], k=1)
    0.6666666666666666
    """
    function = "mutual_knn"
    library, (x, y), k = checked_pair(function, x, y, k)
    ((value,),) = shared_fractions(function, library, [x], [y], k, progress)
    return library.result(float(value), computed_in(library, [x, y]))


def mutual_knn_matrix(
    xs: Sequence[Any] | Mapping[str, Any],
    ys: Sequence[Any] | Mapping[str, Any] | None = None,
    k: int = 10,
    *,
    progress: ProgressLike = False,
) -> Any:
    """`mutual_knn` of every layer in xs with every layer in ys: matrix (len(xs), len(ys)).

    The neighbours of each layer are found once, those of many layers in one walk over tiles. Memory is
    O(n k) for each layer.

    Parameters
    ----------
    xs, ys : sequences or mappings of arrays (n, d)
        d as each layer has it; None for ys compares xs with itself. Arrays as in `mutual_knn`. A mapping of
        names to layers gives a `LayerMatrix`, as `layer_matrix(..., statistic="mutual_knn")` does.
    k : int
        Neighbours of each row, from 1 to n - 1.
    progress : bool or callable
        True shows a progress bar, a callable receives (done, total).

    Returns
    -------
    array (len(xs), len(ys)), or LayerMatrix for a mapping
        float64, or a tensor for tensors. Rows and columns of layers with NaN or infinity are NaN. Without
        gradients.

    Raises
    ------
    ValueError, TypeError, NotImplementedError
        As `mutual_knn` does.

    References
    ----------
    Huh, Cheung, Wang and Isola 2024, "The platonic representation hypothesis", ICML, arXiv:2405.07987.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> mutual_knn_matrix([x, 2 * x], k=5)
    array([[1., 1.],
           [1., 1.]])
    """
    function = "mutual_knn_matrix"
    if is_mapping(xs) or is_mapping(ys):
        return compared_neighbors(function, xs, ys, {}, k, progress=progress)
    count, library, layers, labels = checked_layers(function, xs, ys)
    k = neighbor_count(function, k, labels[0], layers[0])
    values = shared_fractions(function, library, layers[:count], layers[count:], k, progress)
    return library.result(values, computed_in(library, layers))


def cknna(x: Any, y: Any, k: int = 10, *, progress: ProgressLike = False) -> Any:
    """CKNNA, the centred kernel alignment of nearest neighbours, of x (n, p) and y (n, q).

    h(K, L) / sqrt(h(K, K) h(L, L)), K and L the cosines between rows of x and of y, each h the unbiased HSIC
    of the two matrices where both representations it compares have j among the k nearest rows of i, and 0
    elsewhere: in h(K, K) and h(L, L) that is one representation. With M = A B, A and B the 0-1 matrices of
    neighbours of `mutual_knn`, K' = M K and L' = M L by entries:

    n (n - 3) h = sum_ij K'_ij L'_ji + (sum K') (sum L') / ((n - 1) (n - 2)) - 2 / (n - 2) sum_l c_l r_l,

    c the column sums of K' and r the row sums of L'. M is not symmetric, so that exchanging x and y changes
    the value a little. The code published with the paper is this for rows of length 1, but adds 1e-6 to the
    denominator, which lowers its values; here nothing is added. Memory is O(n k).

    Parameters
    ----------
    x, y : arrays (n, p) and (n, q), n >= 4
        As in `mutual_knn`.
    k : int
        Neighbours of each row, from 2 to n - 1.
    progress : bool or callable
        True shows a progress bar, a callable receives (done, total).

    Returns
    -------
    float, or for tensors a 0-d one
        At most about 1. Without gradients, as `mutual_knn`. NaN where a row holds NaN or infinity, and where
        h(K, K) or h(L, L) is not positive.

    Raises
    ------
    ValueError
        Where x and y differ in their number of rows or have fewer than 4, or k is not from 2 to n - 1.
    TypeError
        Where types do not fit.
    NotImplementedError
        Where x and y are on a GPU.

    References
    ----------
    Huh, Cheung, Wang and Isola 2024, "The platonic representation hypothesis", ICML, arXiv:2405.07987,
    appendix A. Song, Smola, Gretton, Bedo and Borgwardt 2012, "Feature selection via dependence
    maximization", JMLR 13.

    Examples
    --------
    >>> import numpy as np
    >>> x, noise = np.random.default_rng(0).standard_normal((2, 300, 8))
    >>> round(cknna(x, 2 * x), 6), cknna(x, noise) < 0.1
    (1.0, True)
    """
    function = "cknna"
    library, (x, y), k = checked_pair(function, x, y, k, least=2)
    if x.shape[0] < 4:
        raise ValueError(f"{function}: at least 4 rows are needed but x has {x.shape[0]}")
    _, ((of_x, cosines_x), (of_y, cosines_y)) = find_neighbors(function, library, [x, y], k, True, progress)
    value = math.nan if of_x is None or of_y is None else cknna_of(of_x, of_y, cosines_x, cosines_y)
    return library.result(value, computed_in(library, [x, y]))


def checked_pair(function: str, x: Any, y: Any, k: Any, least: int = 1) -> tuple[Any, list[Any], int]:
    """The library of x and y, both as its arrays, and k."""
    library, layers = checks.read(function, [("x", x), ("y", y)])
    checks.same_examples(function, "x", layers[0], "y", layers[1])
    return library, layers, neighbor_count(function, k, "x", layers[0], least)
