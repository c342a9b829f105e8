"""CKA under permutations of the rows: moments, p-values, corrections for many cells.

Arithmetic on small arrays; this module depends on neither layers nor backends.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt

from ._counts import at_least

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
PvalueMethod: TypeAlias = Literal["auto", "chi2", "t", "gamma", "permutation"]

LEAST_ROWS = 4  # with fewer the variance over permutations is not defined
# Of 10,000 pairs of independent columns chi2 rejected at most 5.2 % at level 5 % with 40 rows, 5.9 % with 30
# and 5.7 % with 20; of 2,000, wide ones included, 8 % with 10, 9 % with 8, 33 % with 4.
LEAST_CHI2_ROWS = 40
MOST_ROWS_OF_ALL_ORDERS = 7  # 5,040 orders
TIE = 1e-4  # standard deviations of the null; values this close count as equal despite rounding
CORRECTIONS = {"permutation": "maximum"}  # the other methods use Holm's correction
_BIASED, _UNBIASED = ("gamma", "permutation"), ("chi2", "t", "permutation")


def resample_count(function: str, n_resamples: Any) -> int:
    """`n_resamples` as an int of at least 1."""
    return at_least(1, function, "n_resamples", n_resamples)


def generator_of(function: str, rng: Any) -> np.random.Generator:
    """`numpy.random.default_rng(rng)`, checked."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{function}: rng must be None, an int of at least 0 or a numpy Generator but is {rng!r}"
        ) from None


def check_alpha(function: str, alpha: Any) -> float:
    """`alpha` as a float between 0 and 1."""
    if isinstance(alpha, (str, bytes)) or not isinstance(alpha, (float, int, np.floating, np.integer)):
        raise TypeError(f"{function}: alpha must be a number but is {alpha!r}")
    if not 0 < alpha < 1:
        raise ValueError(f"{function}: alpha must lie between 0 and 1 but is {alpha!r}")
    return float(alpha)


@dataclass(frozen=True)
class ChanceRequest:
    """Checked options for p-values. method: None if no p-values are requested."""

    function: str
    method: PvalueMethod | None
    n_resamples: int
    generator: np.random.Generator

    @classmethod
    def of(cls, function: str, pvalue: Any, n_resamples: Any, rng: Any) -> ChanceRequest:
        if pvalue is not None and (not isinstance(pvalue, str) or pvalue not in get_args(PvalueMethod)):
            names = ", ".join(f'"{name}"' for name in get_args(PvalueMethod))
            raise ValueError(f"{function}: pvalue must be {names} or None but is {pvalue!r}")
        count, generator = resample_count(function, n_resamples), generator_of(function, rng)
        return cls(function, cast("PvalueMethod | None", pvalue), count, generator)

    def chosen(self, n: int, estimator: str) -> str | None:
        """The method to use for n rows, never "auto"; None means that no p-values are computed.

        Raises ValueError if the method is not defined for the estimator, and ImportError if it needs scipy
        and scipy is missing.
        """
        allowed = _BIASED if estimator == "biased" else _UNBIASED
        if n < LEAST_ROWS or self.method is None:
            return None
        if self.method == "auto":
            if n < LEAST_CHI2_ROWS:
                return "permutation"
            return "chi2" if estimator == "unbiased" else "gamma" if _scipy() is not None else None
        if self.method not in allowed:
            raise ValueError(
                f"{self.function}: pvalue={self.method!r} is not defined for the {estimator} estimator; take "
                f"{' or '.join(repr(name) for name in allowed)}"
            )
        if self.method in ("t", "gamma") and _scipy() is None:
            raise ImportError(
                f"{self.function}: pvalue={self.method!r} needs scipy; install it with: pip install scipy"
            )
        return self.method

    def shared(self, n: int, estimator: str) -> ChanceRequest:
        """This request for a call that several processes share; without permutations, which are not shared.

        Raises ValueError if pvalue is "permutation".
        """
        if self.method == "permutation":
            raise ValueError(
                f'{self.function}: pvalue="permutation" is not shared among processes; take another method '
                "or one process"
            )
        none = self.method == "auto" and self.chosen(n, estimator) == "permutation"
        return replace(self, method=None) if none else self

    def orders(self, n: int) -> Orders:
        """The permutations of n rows that are compared with the data's own order."""
        if n <= MOST_ROWS_OF_ALL_ORDERS:
            return Orders(math.factorial(n), True, lambda: map(np.array, itertools.permutations(range(n))))
        count, generator = self.n_resamples, self.generator
        return Orders(count, False, lambda: (generator.permutation(n) for _ in range(count)))


class Orders(NamedTuple):
    """Permutations of the rows: either all of them, with the identity, or a random sample."""

    size: int
    are_all: bool
    drawn: Callable[[], Iterator[npt.NDArray[np.int64]]]

    def pvalue(self, above: npt.NDArray[np.int64]) -> Floats:
        """The p-value if `above` orders have a statistic at least as large as the data's."""
        return np.asarray(above / self.size if self.are_all else (1 + above) / (1 + self.size))


class Moments(NamedTuple):
    """Mean and standard deviation of CKA over all permutations of the rows, as arrays or numbers."""

    mean: Any
    deviation: Any

    def z(self, cka: Any) -> Floats:
        """(CKA - mean) / standard deviation; NaN where the standard deviation is 0 or not defined."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (cka - self.mean) / self.deviation
        return np.asarray(np.where(np.isfinite(self.deviation) & (self.deviation > 0), found, math.nan))


def unbiased_moments(n: int) -> Moments:
    """The moments of debiased CKA, for any kernel and any data: mean 0, variance 2 / (n (n - 3)).

    U-centred matrices form a space of dimension n (n - 3) / 2 (Szekely and Rizzo 2013).
    """
    return Moments(0.0, math.sqrt(2 / (n * (n - 3))) if n >= LEAST_ROWS else math.nan)


class Shape(NamedTuple):
    """For each layer, two functions of its centred Gram matrix W that determine the moments of biased CKA."""

    effective: Floats  # tr(W)^2 / tr(W^2)
    diagonal: Floats  # sum_i w_ii^2 / tr(W^2)


def biased_moments(n: int, x: Shape, y: Shape) -> Moments:
    """The moments of biased CKA for every pair of layers, (Lx, Ly): Kazi-Aoual et al. 1995."""
    if n < LEAST_ROWS:
        return Moments(np.nan, np.nan)

    def parts(of: Shape) -> tuple[Floats, Floats]:
        uneven = n * (n + 1) * of.diagonal - (n - 1) * (of.effective + 2)
        return n - 1 - of.effective, uneven

    (even_x, uneven_x), (even_y, uneven_y) = parts(x), parts(y)
    with np.errstate(invalid="ignore"):
        mean = np.sqrt(np.multiply.outer(x.effective, y.effective)) / (n - 1)
        total = np.multiply.outer(even_x, even_y)
        total = total + (n - 1) / (2 * n * (n - 3)) * np.multiply.outer(uneven_x, uneven_y)
        variance = 2 * total / ((n + 1) * (n - 1) ** 2 * (n - 2))
        # NaN where the variance is no larger than the rounding error of the difference that it is
        return Moments(mean, np.sqrt(np.where(variance > 1e-12 * mean**2, variance, math.nan)))


def pvalues(method: str, cka: Floats, n: int, moments: Moments) -> Floats:
    """One-sided p-values, uncorrected, from an approximation of the null distribution of CKA."""
    if method == "chi2":  # Shen, Panda and Vogelstein 2021: P(chi^2_1 > n C + 1)
        tails = [chi2_tail(t) for t in (n * cka + 1).ravel().tolist()]
        return np.array(tails).reshape(cka.shape)
    special = _scipy()
    if method == "t":  # Szekely and Rizzo 2013
        degrees = n * (n - 3) / 2 - 1
        inside = np.clip(cka, -1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(special.stdtr(degrees, -inside * np.sqrt(degrees / (1 - inside**2))))
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = (moments.mean / moments.deviation) ** 2
        return np.asarray(special.gammaincc(shape, np.maximum(cka, 0) / moments.mean * shape))


def chi2_tail(t: float) -> float:
    """P(chi^2_1 > t) = P(|N(0, 1)| > sqrt(t)), and 1 for t < 0; NaN stays NaN."""
    return 1.0 if t < 0 else math.erfc(math.sqrt(t / 2))


def hypotheses(shape: tuple[int, int], with_itself: bool) -> Bools:
    """The cells that are tested: all, or those above the diagonal if layers are compared with themselves."""
    cells = np.ones(shape, bool)
    return np.triu(cells, 1) if with_itself else cells


def holm(pvalue: Floats, cells: Bools) -> Floats:
    """p-values corrected by Holm's step-down procedure for the number of `cells`; others stay unchanged.

    >>> holm(np.array([[0.01, 0.04, 0.03]]), np.ones((1, 3), bool))
    array([[0.03, 0.06, 0.06]])
    """
    found = pvalue.copy()
    asked = cells & ~np.isnan(pvalue)
    own = pvalue[asked]
    order = np.argsort(own, kind="stable")
    steps = np.maximum.accumulate((len(own) - np.arange(len(own))) * own[order])
    corrected = np.empty(len(own))
    corrected[order] = np.minimum(steps, 1.0)
    found[asked] = corrected
    return found


def mirrored(values: Floats, cells: Bools) -> Floats:
    """Copy the entries above the diagonal to their mirror images below it."""
    return np.where(cells.T, values.T, values)


def _scipy() -> Any:
    """The module scipy.special, or None if scipy is not installed."""
    try:
        import scipy.special as special
    except ImportError:
        return None
    return special
