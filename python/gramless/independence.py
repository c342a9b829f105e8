"""P-values for the hypothesis that x and y are independent: null distributions, not how HSIC is summed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ._alignment import NO_HSIC, aligned, in_units, times_power
from ._arrays import Floats, checks
from ._backends import backend_of
from ._backends.values import PairSums
from ._chance import LEAST_CHI2_ROWS, LEAST_ROWS, TIE, chi2_tail, generator_of, resample_count
from ._progress import reporter
from .kernels import Encoded, Estimator, KernelLike, as_kernel, encode

__all__ = ["IndependenceResult", "independence_test"]

_Progress: TypeAlias = Callable[[int, int], None]
_ORDERS_AT_ONCE = 64  # permutations summed in one pass over tiles: a pass holds a tile for each


@dataclass(frozen=True)
class IndependenceResult:
    """What `independence_test` found.

    statistic: debiased CKA for "chi2", biased HSIC for "gamma", unbiased HSIC for "permutation".
    pvalue: the probability, were x and y independent, of a statistic at least as large.
    method, n: the method used, never "auto", and the number of rows.
    null: the statistics of the permuted data (n_resamples,), None for the other methods.
    """

    statistic: float
    pvalue: float
    method: str
    n: int
    null: npt.NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


def independence_test(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "rbf",
    kernel_y: KernelLike | None = None,
    method: Literal["auto", "chi2", "gamma", "permutation"] = "auto",
    n_resamples: int = 999,
    rng: int | np.random.Generator | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> IndependenceResult:
    """Test whether the rows of x (n, p) and y (n, q) are independent; a small p-value says that they are not.

    With C the debiased CKA, H the biased and T the unbiased HSIC:

    "auto" (default): "permutation" below 40 rows, where "chi2" rejects too often (33 % at level 5 % for 4
        rows, 9 % for 8), else "chi2"; `method` of the result says which.
    "chi2": P(chi^2_1 > n C + 1). One pass; cautious for wide data.
        Shen, Panda and Vogelstein 2021, arXiv:1912.12150.
    "gamma": P(G > H), G a gamma variable with the mean and variance of H under independence. One pass; needs
        scipy (`pip install scipy`). Gretton et al. 2007, Theorems 3 and 4, but for finite n:
        mean = t_x t_y / (n - 1) and variance = 2 v_x v_y / ((n + 1) (n - 2)), where t = mean k_ii - mean k_ij
        and v = H(x, x) - t^2 / (n - 1).
    "permutation": (1 + #{T_b >= T}) / (1 + B) over B = `n_resamples` shuffles of the rows of y; exact for
        any n.

    kernel, kernel_y: as in `hsic`; a bandwidth left to the median is each input's own, so units play no part.
    rng: of the permutations, what `numpy.random.default_rng` takes: an int gives the same p-value every time,
        None (default) does not.
    progress: shows a bar over the permutations, or calls what it is given with (done, total).

    Returns an IndependenceResult of Python floats, for which a GPU is waited for. A constant input has
    p-value NaN with one RuntimeWarning; NaN in the data gives NaN. Raises ValueError for different numbers
    of rows, fewer than 4 rows, an unknown method or kernel, a negative rng and fewer than 1 resample,
    TypeError for values of another type, ImportError where "gamma" lacks scipy.

    >>> import numpy as np
    >>> from gramless import independence_test
    >>> x = np.random.default_rng(0).standard_normal((200, 1))
    >>> y = x**2
    >>> independence_test(x, y).pvalue < 1e-6
    True
    >>> independence_test(x[:100], y[100:], method="permutation", n_resamples=99, rng=0).pvalue > 0.05
    True
    """
    function = "independence_test"
    if method not in ("auto", "chi2", "gamma", "permutation"):
        raise ValueError(
            f'{function}: method must be "auto", "chi2", "gamma" or "permutation" but is {method!r}'
        )
    count, generator = resample_count(function, n_resamples), generator_of(function, rng)
    of_x = encode(as_kernel(kernel, function))
    kernels = of_x, of_x if kernel_y is None else encode(as_kernel(kernel_y, function, "kernel_y"))
    pair = _pair_of(function, x, y, kernels)
    if pair.rows < LEAST_ROWS:
        raise ValueError(
            f"{function}: method {method!r} needs at least {LEAST_ROWS} rows but x has {pair.rows}"
        )
    if method == "auto":
        method = "permutation" if pair.rows < LEAST_CHI2_ROWS else "chi2"
    if method == "chi2":
        return _chi2_test(pair)
    if method == "gamma":
        return _gamma_test(pair)
    with _shown(progress) as report:
        return _permutation_test(pair, count, generator, report)


@dataclass(frozen=True)
class _Pair:
    """The two inputs with their kernels, and what computes with them."""

    backend: Any
    x: Any
    y: Any
    kernels: tuple[Encoded, Encoded]

    @property
    def rows(self) -> int:
        return int(self.x.shape[0])

    def sums(self, estimator: Estimator) -> PairSums:
        found: PairSums = self.backend.pair_sums(self.x, self.y, self.kernels, estimator)
        return found

    def resolved(self) -> _Pair:
        """The same with medians as numbers, which orders of the rows do not change."""
        return replace(self, kernels=self.backend.resolved(self.x, self.y, self.kernels))

    def permuted_hsic(self, orders: npt.NDArray[np.int64], progress: _Progress | None) -> Floats:
        """Unbiased HSIC of x with y in these orders (B, n), in the units of `sums`: (B,)."""
        found: Floats = self.backend.permuted_hsic(self.x, self.y, self.kernels, orders, progress)
        return found


def _pair_of(function: str, x: Any, y: Any, kernels: tuple[Encoded, Encoded]) -> _Pair:
    named = [("x", x), ("y", y)]
    library, arrays = checks.read(function, named)
    checks.same_rows(function, "x", arrays[0], "y", arrays[1])
    held = library.detached(function, ["x", "y"], arrays)
    return _Pair(backend_of(library, held[0], function), held[0], held[1], kernels)


def _chi2_test(pair: _Pair) -> IndependenceResult:
    sums = pair.sums("unbiased")
    if _is_constant(sums.xx, sums.yy):
        return IndependenceResult(math.nan, math.nan, "chi2", sums.n)
    statistic = aligned(sums.xy, sums.xx, sums.yy)
    return IndependenceResult(statistic, chi2_tail(sums.n * statistic + 1), "chi2", sums.n)


def _gamma_test(pair: _Pair) -> IndependenceResult:
    try:
        from scipy.special import gammaincc
    except ImportError:
        raise ImportError('independence_test: method "gamma" needs scipy: pip install scipy') from None
    sums = pair.sums("biased")
    n, statistic = sums.n, in_units(sums.xy, sums.exponent, 0)
    norm2_x = sums.xx - sums.spread_x**2 / (n - 1)
    norm2_y = sums.yy - sums.spread_y**2 / (n - 1)
    if _is_constant(norm2_x, norm2_y):
        return IndependenceResult(statistic, math.nan, "gamma", n)
    mean = sums.spread_x * sums.spread_y / (n - 1)
    # mean^2 / variance as a product of ratios, for the variance of large data is beyond float64
    shape = (sums.spread_x / norm2_x) * sums.spread_x * (sums.spread_y / norm2_y) * sums.spread_y
    shape *= (n + 1) * (n - 2) / (2 * (n - 1) ** 2)
    pvalue = float(gammaincc(shape, sums.xy / mean * shape))
    return IndependenceResult(statistic, pvalue, "gamma", n)


def _permutation_test(
    pair: _Pair, n_resamples: int, generator: np.random.Generator, report: _Progress | None
) -> IndependenceResult:
    pair = pair.resolved()
    own = pair.sums("unbiased")
    n = own.n
    values = np.empty(1 + n_resamples)
    for start in range(0, len(values), _ORDERS_AT_ONCE):
        batch = values[start : start + _ORDERS_AT_ONCE]
        # The first order changes nothing: T is summed as every T_b is, so that ties are ties.
        orders = [np.arange(n)] * (start == 0)
        orders += [generator.permutation(n) for _ in range(len(batch) - len(orders))]
        batch[:] = pair.permuted_hsic(np.stack(orders), _share(report, start, len(batch), len(values)))
    statistic, null = float(values[0]), values[1:]
    of_data = in_units(statistic, own.exponent, 0), times_power(null, own.exponent)
    if _is_constant(own.xx, own.yy):
        return IndependenceResult(of_data[0], math.nan, "permutation", n, of_data[1])
    scale = float(np.abs(null).max()) or 1.0  # squares of large data are beyond float64
    above = int(np.count_nonzero(null >= statistic - TIE * scale * float((null / scale).std())))
    pvalue = math.nan if math.isnan(statistic) else (1 + above) / (1 + n_resamples)
    return IndependenceResult(of_data[0], pvalue, "permutation", n, of_data[1])


def _shown(progress: bool | _Progress) -> AbstractContextManager[_Progress | None]:
    """A bar is removed from the terminal at the end; the user's own callable is only called."""
    report = reporter("independence_test", progress, "permutations")
    ours = report is not None and report is not progress
    return cast(AbstractContextManager[_Progress], report) if ours else nullcontext(cast(_Progress, report))


def _share(report: _Progress | None, start: int, length: int, total: int) -> _Progress | None:
    """What one pass tells of its progress: as a share, from start to start + length, of the whole."""
    if report is None:
        return None
    return lambda done, steps: report(start + length * done // steps, total)


def _is_constant(self_x: float, self_y: float) -> bool:
    """Whether an input's HSIC with itself is not positive, which is said in one RuntimeWarning."""
    constant = [name for name, value in (("x", self_x), ("y", self_y)) if value <= 0]
    if constant:
        warnings.warn(
            f"independence_test: the p-value is NaN, for the HSIC of {' and of '.join(constant)} with itself "
            f"is not positive: {NO_HSIC}",
            RuntimeWarning,
            stacklevel=4,
        )
    return bool(constant)
