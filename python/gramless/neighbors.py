"""Agreement of the nearest neighbours of rows in two representations: mutual kNN and CKNNA."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ._arrays import checks
from ._arrays.namespaces import computed_in
from ._docs import documented
from ._layer_calls import checked_layers
from ._neighbors import cknna_of
from ._progress import ProgressLike
from ._tokens import is_mapping
from .neighbor_layers import compared_neighbors, find_neighbors, neighbor_count, shared_fractions

__all__ = ["cknna", "mutual_knn", "mutual_knn_matrix"]


@documented
def mutual_knn(x: Any, y: Any, k: int = 10, *, progress: ProgressLike = False) -> Any:
    """Mean share of the k nearest rows, by cosine, that the representations x (n, p) and y (n, q) share.

    mean_i |N_x(i) and N_y(i)| / k, where N_x(i) is the set of the k rows j != i with the largest cosine
    <x_i, x_j> / (|x_i| |x_j|); of equal cosines the smaller j comes first. For unrelated representations the
    mean is k / (n - 1); `mutual_knn_test` tests whether a value exceeds it.

    Neighbours are exact in float64 for every dtype: tiles find candidates in float32, and candidates whose
    order its rounding could change are compared again in float64. The memory is O(n k).

    Parameters
    ----------
    x, y : array (n, p) and (n, q)
        {host_arrays}
        A row of zeros has cosine 0 with every row; numbers below 1e-301 count as 0.
    {neighbors}
    {progress}

    Returns
    -------
    {host_scalar}
        From 0 to 1. It is not a smooth function of x and y and has no gradient: tensors that require one are
        treated as detached. NaN if a row holds NaN or inf.

    Raises
    ------
    {host_errors}

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


@documented
def mutual_knn_matrix(
    xs: Sequence[Any] | Mapping[str, Any],
    ys: Sequence[Any] | Mapping[str, Any] | None = None,
    k: int = 10,
    *,
    progress: ProgressLike = False,
) -> Any:
    """`mutual_knn` of every layer in xs with every layer in ys: a matrix (len(xs), len(ys)).

    An entry is the mean share of the k nearest rows, by cosine, that two layers share. The neighbours of each
    layer are computed once, those of many layers in one pass over tiles. The memory is O(n k) for each layer.

    Parameters
    ----------
    xs : sequence or mapping of arrays
        The layers of one model, each (n, d); d may differ between layers. A mapping from names to layers
        returns a `LayerMatrix`, as `layer_matrix(..., statistic="mutual_knn")` does.
        {host_arrays}
    ys : sequence or mapping of arrays, optional
        The layers of the other model for the same n examples. None (default) compares xs with itself.
    {neighbors}
    {progress}

    Returns
    -------
    array (len(xs), len(ys)), or LayerMatrix for a mapping
        A numpy array of float64, or a tensor for tensors, without gradients. Rows and columns of layers with
        NaN or inf are NaN.

    Raises
    ------
    {host_errors}

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


@documented
def cknna(x: Any, y: Any, k: int = 10, *, progress: ProgressLike = False) -> Any:
    """CKNNA, the centred kernel alignment of nearest neighbours, of x (n, p) and y (n, q).

    h(K, L) / sqrt(h(K, K) h(L, L)), where K and L are the cosines between rows of x and of y, and h is the
    unbiased HSIC of the two matrices with all entries i, j set to 0 for which row j is not among the k
    nearest rows of i in both of them. Let A and B be the 0-1 matrices of neighbours as in `mutual_knn`, and
    let M = A B, K' = M K and L' = M L be elementwise products. Then

    n (n - 3) h = sum_ij K'_ij L'_ji + (sum K') (sum L') / ((n - 1) (n - 2)) - 2 / (n - 2) sum_l c_l r_l,

    where c are the column sums of K' and r the row sums of L'. M is not symmetric, so that exchanging x and y
    changes the value slightly. The code published with the paper computes this for rows of length 1, but adds
    1e-6 to the denominator, which lowers its values; here nothing is added. The memory is O(n k).

    Parameters
    ----------
    x, y : array (n, p) and (n, q), n >= 4
        {host_arrays}
    k : int
        The number of neighbours of each row, from 2 to n - 1.
    {progress}

    Returns
    -------
    {host_scalar}
        At most about 1, without gradients. NaN if a row holds NaN or inf, or if h(K, K) or h(L, L) is not
        positive.

    Raises
    ------
    {host_errors}

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
    """The library of x and y, both as arrays of that library, and k; all checked."""
    library, layers = checks.read(function, [("x", x), ("y", y)])
    checks.same_examples(function, "x", layers[0], "y", layers[1])
    return library, layers, neighbor_count(function, k, "x", layers[0], least)
