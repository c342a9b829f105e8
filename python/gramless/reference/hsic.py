"""HSIC and CKA from Gram matrices, of a pair and of all pairs of layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .._layouts import rows_hint
from ..kernels import Distance, Estimator, KernelLike, as_estimator, as_kernel
from ._paragraphs import documented
from .gram import Array, as_rows, gram_for_sums, off_diagonal

__all__ = ["cka", "cka_matrix", "distance_correlation", "hsic", "hsic_matrix"]


def biased(k: Array, l: Array) -> float:  # (n, n), (n, n)
    """tr(K H L H) / (n - 1)^2 with H = I - 11'/n: Gretton et al. 2005."""

    def centre(k: Array) -> Array:  # H K H
        return np.asarray(k - k.mean(axis=0) - k.mean(axis=1)[:, None] + k.mean())

    return float(np.sum(centre(k) * centre(l)) / (len(k) - 1) ** 2)


def unbiased(k: Array, l: Array) -> float:  # (n, n), (n, n)
    """[ sum_ij K~_ij L~_ij + s_K s_L / ((n-1)(n-2)) - 2/(n-2) sum_i r_i^K r_i^L ] / (n (n-3))

    K~ and L~ are K and L with diagonals 0, r their row sums and s their totals: Song et al. 2012, equation 5.
    """
    n = len(k)

    def zero_diagonal(k: Array) -> Array:  # K~
        k = k - np.median(off_diagonal(k))  # HSIC ignores a constant, whose rounding this avoids
        return np.where(np.eye(n, dtype=bool), 0.0, k)

    k, l = zero_diagonal(k), zero_diagonal(l)
    r_k, r_l = k.sum(axis=1), l.sum(axis=1)
    s_k, s_l = r_k.sum(), r_l.sum()
    total = np.sum(k * l) + s_k * s_l / ((n - 1) * (n - 2)) - 2 / (n - 2) * np.sum(r_k * r_l)
    return float(total / (n * (n - 3)))


ESTIMATORS: dict[Estimator, Callable[[Array, Array], float]] = {
    "biased": biased,
    "unbiased": unbiased,
    "debiased": unbiased,
}
LEAST_ROWS: dict[Estimator, int] = {"biased": 2, "unbiased": 4}


@documented
def hsic(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
) -> float:
    """The Hilbert-Schmidt independence criterion of the rows of x (n, p) with those of y (n, q).

    {pair}
    {kernel}
    {kernel_y}
    {estimator}

    {number}

    {gretton}

    Examples
    --------
    >>> x = [[0.0], [1.0], [2.0], [4.0]]
    >>> round(hsic(x, x, estimator="biased"), 6)
    8.506944
    """
    k, l = grams("hsic", x, y, kernel, kernel_y, estimator)
    return ESTIMATORS[estimator](k, l)


@documented
def cka(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
) -> float:
    """hsic(K, L) / sqrt(hsic(K, K) hsic(L, L)), with the same estimator in all three places.

    A constant input gives NaN and one RuntimeWarning.

    {pair}
    {kernel}
    {kernel_y}
    {estimator}

    {number}

    {kornblith}

    Examples
    --------
    >>> x = [[0.0], [1.0], [2.0], [4.0]]
    >>> round(cka(x, [[3.0], [5.0], [7.0], [11.0]]), 12)
    1.0
    """
    k, l = grams("cka", x, y, kernel, kernel_y, estimator)
    h = ESTIMATORS[estimator]
    return float(ratio("cka", h(k, l), h(k, k), h(l, l)))


@documented
def distance_correlation(
    x: npt.ArrayLike, y: npt.ArrayLike, *, exponent: float = 1.0, bias_corrected: bool = False
) -> float:
    """sqrt(dcov^2(x, y) / sqrt(dcov^2(x, x) dcov^2(y, y))), from distances to a power.

    A constant input gives NaN and one RuntimeWarning.

    {pair}
    exponent : float
        The power of the distances, above 0 and at most 2.
    bias_corrected : bool
        Whether to return the square of the bias-corrected value, from U-centred distances.

    {number}

    References
    ----------
    Szekely, Rizzo and Bakirov 2007, "Measuring and testing dependence by correlation of distances". Szekely
    and Rizzo 2013, "The distance correlation t-test of independence in high dimension" (bias_corrected).

    Examples
    --------
    >>> x = [[0.0], [1.0], [2.0], [4.0]]
    >>> round(distance_correlation(x, [[0.0], [1.0], [4.0], [16.0]]), 6)
    0.969971
    """
    estimator: Estimator = "unbiased" if bias_corrected else "biased"
    d, e = grams("distance_correlation", x, y, Distance(exponent), None, estimator)
    h = ESTIMATORS[estimator]
    square = float(ratio("distance_correlation", h(d, e), h(d, d), h(e, e)))
    return square if bias_corrected else float(np.sqrt(np.maximum(square, 0)))


@documented
def hsic_matrix(
    xs: Sequence[npt.ArrayLike],
    ys: Sequence[npt.ArrayLike] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: bool = False,
) -> Array:
    """HSIC of every layer of xs with every layer of ys.

    {layers}
    {kernel}
    {estimator}
    {progress}

    {matrix}

    {gretton}

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> hsic_matrix([x, 2 * x], [x], estimator="biased").round(3)
    array([[ 8.507],
           [34.028]])
    """
    return matrices("hsic_matrix", xs, ys, kernel, estimator)[0]


@documented
def cka_matrix(
    xs: Sequence[npt.ArrayLike],
    ys: Sequence[npt.ArrayLike] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: bool = False,
) -> Array:
    """CKA of every layer of xs with every layer of ys; a constant layer gives NaN and one RuntimeWarning.

    {layers}
    {kernel}
    {estimator}
    {progress}

    {matrix}

    {kornblith}

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> cka_matrix([x, 2 * x]).round(6)
    array([[1., 1.],
           [1., 1.]])
    """
    xy, xx, yy = matrices("cka_matrix", xs, ys, kernel, estimator)
    return ratio("cka_matrix", xy, xx[:, None], yy[None, :])


def grams(
    function_name: str,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    kernel: KernelLike,
    kernel_y: KernelLike | None,
    estimator: Estimator,
) -> tuple[Array, Array]:
    """The Gram matrices (n, n) of x and of y, each with its own bandwidth."""
    kernel = as_kernel(kernel, function_name)
    kernel_y = kernel if kernel_y is None else as_kernel(kernel_y, function_name, "kernel_y")
    x, y = same_rows(function_name, {"x": x, "y": y}, estimator)
    return gram_for_sums(x, kernel), gram_for_sums(y, kernel_y)


def matrices(
    function_name: str,
    xs: Sequence[npt.ArrayLike],
    ys: Sequence[npt.ArrayLike] | None,
    kernel: KernelLike,
    estimator: Estimator,
) -> tuple[Array, Array, Array]:
    """HSIC of xs with ys (Lx, Ly), and of every layer with itself, (Lx,) and (Ly,)."""
    kernel = as_kernel(kernel, function_name)
    for name, layers in {"xs": xs, "ys": ys}.items():
        if isinstance(layers, Mapping):
            raise TypeError(
                f"{function_name}: {name} must be a sequence of arrays but is {type(layers).__name__}; pass "
                f"the layers without their names, [*{name}.values()]"
            )
        if layers is not None and len(layers) == 0:
            raise ValueError(f"{function_name}: {name} must hold at least 1 layer but holds 0")
    named = {f"xs[{i}]": x for i, x in enumerate(xs)}
    if ys is not None:
        named |= {f"ys[{j}]": y for j, y in enumerate(ys)}
    all_grams = [gram_for_sums(x, kernel) for x in same_rows(function_name, named, estimator)]
    ks = all_grams[: len(xs)]
    ls = all_grams[len(xs) :] or ks
    h = ESTIMATORS[estimator]
    xy = np.array([[h(k, l) for l in ls] for k in ks])
    return xy, np.array([h(k, k) for k in ks]), np.array([h(l, l) for l in ls])


def same_rows(function_name: str, inputs: dict[str, npt.ArrayLike], estimator: Estimator) -> list[Array]:
    """Every input as float64 rows; raises unless numbers of rows are equal and enough for the estimator."""
    least = LEAST_ROWS[as_estimator(estimator, function_name)]
    arrays = {name: as_rows(function_name, name, x) for name, x in inputs.items()}
    first, n = next((name, len(x)) for name, x in arrays.items())
    for name, x in arrays.items():
        if len(x) != n:
            hint = rows_hint(first, arrays[first].shape, name, x.shape)
            raise ValueError(f"{function_name}: {first} has {n} rows but {name} has {len(x)}{hint}")
    if n < least:
        raise ValueError(
            f"{function_name}: the {estimator} estimator needs at least {least} rows but {first} has {n}"
        )
    return list(arrays.values())


def warn_if_constant(function_name: str, answer: str, *self_hsic: npt.ArrayLike, stacklevel: int = 3) -> None:
    """One RuntimeWarning if any input's HSIC with itself is not positive; none if it is NaN."""
    if any(np.any(np.asarray(values) <= 0) for values in self_hsic):
        warnings.warn(
            f"{function_name}: {answer} is NaN, because an input is constant: its HSIC with itself is not "
            "positive",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def ratio(function_name: str, xy: npt.ArrayLike, xx: npt.ArrayLike, yy: npt.ArrayLike) -> Array:
    """xy / sqrt(xx yy); NaN and one RuntimeWarning where xx or yy is not positive."""
    xx, yy = np.asarray(xx), np.asarray(yy)
    warn_if_constant(function_name, "the CKA", xx, yy, stacklevel=4)
    return np.asarray(xy / np.sqrt(np.where(xx > 0, xx, np.nan) * np.where(yy > 0, yy, np.nan)))
