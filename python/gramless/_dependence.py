"""Tests whether two sets of variables are independent: the statistics and their null distributions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ._alignment import NO_HSIC, aligned, in_units, times_power
from ._arrays import Floats, checks
from ._backends import backend_of
from ._backends.values import PairSums
from ._chance import TIE, chi2_tail
from ._progress import ends, reporter
from .kernels import Encoded, Estimator

Progress: TypeAlias = Callable[[int, int], None]
ORDERS_AT_ONCE = 64  # permutations summed in one pass over tiles, which keeps one tile for each


class Found(NamedTuple):
    """The result of a test. null: the statistics of the permuted data, for method "permutation" only."""

    statistic: float
    pvalue: float
    method: str
    n: int
    null: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Pair:
    """The two inputs with their kernels, and their backend."""

    function: str
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

    def resolved(self) -> Pair:
        """This pair with median bandwidths replaced by numbers, which no permutation of the rows changes."""
        return replace(self, kernels=self.backend.resolved(self.x, self.y, self.kernels))

    def permuted_hsic(self, orders: npt.NDArray[np.int64], progress: Progress | None) -> Floats:
        """Unbiased HSIC of x with y permuted by each of the orders (B, n), in the units of `sums`: (B,)."""
        found: Floats = self.backend.permuted_hsic(self.x, self.y, self.kernels, orders, progress)
        return found


def pair_of(function: str, x: Any, y: Any, kernels: tuple[Encoded, Encoded]) -> Pair:
    named = [("x", x), ("y", y)]
    library, arrays = checks.read(function, named)
    checks.same_examples(function, "x", arrays[0], "y", arrays[1])
    held = library.detached(function, ["x", "y"], arrays)
    return Pair(function, backend_of(library, held[0], function), held[0], held[1], kernels)


def chi2_test(pair: Pair) -> Found:
    sums = pair.sums("unbiased")
    if _is_constant(pair, sums.xx, sums.yy):
        return Found(math.nan, math.nan, "chi2", sums.n)
    statistic = aligned(sums.xy, sums.xx, sums.yy)
    return Found(statistic, chi2_tail(sums.n * statistic + 1), "chi2", sums.n)


def gamma_test(pair: Pair) -> Found:
    try:
        from scipy.special import gammaincc
    except ImportError:
        raise ImportError(f'{pair.function}: method "gamma" needs scipy: pip install scipy') from None
    sums = pair.sums("biased")
    n, statistic = sums.n, in_units(sums.xy, sums.exponent, 0)
    norm2_x = sums.xx - sums.spread_x**2 / (n - 1)
    norm2_y = sums.yy - sums.spread_y**2 / (n - 1)
    if _is_constant(pair, norm2_x, norm2_y):
        return Found(statistic, math.nan, "gamma", n)
    mean = sums.spread_x * sums.spread_y / (n - 1)
    # mean^2 / variance as a product of ratios, because the variance of large data exceeds float64
    shape = (sums.spread_x / norm2_x) * sums.spread_x * (sums.spread_y / norm2_y) * sums.spread_y
    shape *= (n + 1) * (n - 2) / (2 * (n - 1) ** 2)
    pvalue = float(gammaincc(shape, sums.xy / mean * shape))
    return Found(statistic, pvalue, "gamma", n)


def permutation_test(
    pair: Pair, n_resamples: int, generator: np.random.Generator, report: Progress | None
) -> Found:
    pair = pair.resolved()
    own = pair.sums("unbiased")
    n = own.n
    values = np.empty(1 + n_resamples)
    for start in range(0, len(values), ORDERS_AT_ONCE):
        batch = values[start : start + ORDERS_AT_ONCE]
        # The first order is the identity: T and every T_b are summed in the same way, so that ties are exact.
        orders = [np.arange(n)] * (start == 0)
        orders += [generator.permutation(n) for _ in range(len(batch) - len(orders))]
        batch[:] = pair.permuted_hsic(np.stack(orders), _share(report, start, len(batch), len(values)))
    statistic, null = float(values[0]), values[1:]
    of_data = in_units(statistic, own.exponent, 0), times_power(null, own.exponent)
    if _is_constant(pair, own.xx, own.yy):
        return Found(of_data[0], math.nan, "permutation", n, of_data[1])
    scale = float(np.abs(null).max()) or 1.0  # squares of large data exceed float64
    above = int(np.count_nonzero(null >= statistic - TIE * scale * float((null / scale).std())))
    pvalue = math.nan if math.isnan(statistic) else (1 + above) / (1 + n_resamples)
    return Found(of_data[0], pvalue, "permutation", n, of_data[1])


def shown(function: str, progress: bool | Progress, count: int) -> AbstractContextManager[Progress | None]:
    """A context that reports progress over the data's own order and `count` permutations, up to the end."""
    report = ends(reporter(function, progress, "permutations"), 1 + count)
    return cast("AbstractContextManager[Progress | None]", report)


def _share(report: Progress | None, start: int, length: int, total: int) -> Progress | None:
    """A report for one pass, whose progress runs from start to start + length of the total."""
    if report is None:
        return None
    return lambda done, steps: report(start + length * done // steps, total)


def _is_constant(pair: Pair, self_x: float, self_y: float) -> bool:
    """Whether an input's HSIC with itself is not positive; if so, issues one RuntimeWarning."""
    constant = [name for name, value in (("x", self_x), ("y", self_y)) if value <= 0]
    if constant:
        warnings.warn(
            f"{pair.function}: the p-value is NaN, because the HSIC of {' and of '.join(constant)} with "
            f"itself is not positive: {NO_HSIC}",
            RuntimeWarning,
            stacklevel=4,
        )
    return bool(constant)
