"""A test whether two representations share more nearest neighbours than by chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ._chance import generator_of, resample_count
from ._dependence import shown
from ._docs import documented
from ._neighbors import in_order, overlap_moments, pair_counts
from .neighbor_layers import find_neighbors
from .neighbors import checked_pair

__all__ = ["MutualKnnResult", "mutual_knn_test"]


@dataclass(frozen=True)
class MutualKnnResult:
    """The result of `mutual_knn_test`.

    Attributes
    ----------
    statistic : float
        `mutual_knn` of x and y.
    pvalue : float
        The probability of a statistic at least as large if the rows of y are in random order.
    mean, std : float
        The exact mean and standard deviation of the statistic over all n! permutations; the mean is
        k / (n - 1).
    z : float
        (statistic - mean) / std; NaN if std is 0.
    n, k : int
        The numbers of rows and of neighbours.
    null : ndarray (n_resamples,)
        The statistics of the permuted data.
    """

    statistic: float
    pvalue: float
    mean: float
    std: float
    z: float
    n: int
    k: int
    null: npt.NDArray[np.float64] = field(compare=False, repr=False)


@documented
def mutual_knn_test(
    x: Any,
    y: Any,
    k: int = 10,
    *,
    n_resamples: int = 999,
    rng: int | np.random.Generator | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> MutualKnnResult:
    """Test whether rows of x (n, p) and y (n, q) share more nearest neighbours than by chance.

    The p-value is (1 + #{T_b >= T}) / (1 + B), where T is the `mutual_knn` of x and y, and the T_b are those
    after B = `n_resamples` random permutations of the rows of y; it is exact for any n. Neighbours are
    computed once, so that a permutation costs O(n k). The mean and variance over all n! permutations are
    exact; they follow from the numbers of times that rows are neighbours of other rows.

    Parameters
    ----------
    x, y : array (n, p) and (n, q)
        {host_arrays}
    {neighbors}
    {permutations}

    Returns
    -------
    MutualKnnResult
        With statistic, pvalue, mean, std, z, n and k as Python numbers, and null as an array. If a row holds
        NaN or inf, all but mean, n and k are NaN.

    Raises
    ------
    {host_errors}

    References
    ----------
    Huh, Cheung, Wang and Isola 2024, "The platonic representation hypothesis", ICML, arXiv:2405.07987.

    Examples
    --------
    >>> import numpy as np
    >>> x, noise = np.random.default_rng(0).standard_normal((2, 300, 8))
    >>> found = mutual_knn_test(x, x + noise, n_resamples=99, rng=0)
    >>> found.pvalue, found.z > 10, round(found.mean, 4)
    (0.01, True, 0.0334)
    """
    function = "mutual_knn_test"
    count, generator = resample_count(function, n_resamples), generator_of(function, rng)
    library, (x, y), k = checked_pair(function, x, y, k)
    n, null = int(x.shape[0]), np.full(count, math.nan)
    backend, found = find_neighbors(function, library, [x, y], k, False, None)
    (of_x, _), (of_y, _) = found
    if of_x is None or of_y is None:
        return MutualKnnResult(math.nan, math.nan, k / (n - 1), math.nan, math.nan, n, k, null)
    moments = overlap_moments(n, k, pair_counts(of_x), pair_counts(of_y))
    own = int(backend.shared_neighbors([of_x], [of_y])[0, 0])
    shared = np.empty(count, np.int64)
    with shown(function, progress, count) as report:
        for b in range(count):
            permuted = in_order(of_y, generator.permutation(n))
            shared[b] = backend.shared_neighbors([of_x], [permuted])[0, 0]
            if report is not None:
                report(b + 2, count + 1)
    statistic, std = own / (n * k), math.sqrt(moments.variance)
    return MutualKnnResult(
        statistic,
        (1 + int(np.count_nonzero(shared >= own))) / (1 + count),
        moments.mean,
        std,
        (statistic - moments.mean) / std if std > 0 else math.nan,
        n,
        k,
        shared / (n * k),
    )
