"""Confidence intervals from jackknife values: a transformation, Student's t, and when not to believe them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._alignment import warn_caller
from ._deletion import few

Floats = npt.NDArray[np.float64]

# Of a layer's HSIC with itself that one example, or several of 1 %, may carry; one has half of its pairs at
# most.
MOST_OF_ONE, MOST_OF_SEVERAL = 1 / 3, 0.55
_NEXT_TO_ONE = 1 - 2.0**-53
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_POINTS, _WEIGHTS = (1 + _POINTS) / 2, _WEIGHTS / 2  # on [0, 1]
_HALVINGS = 60
NO_FURTHER = 0.0, 0.0


class Bounds(NamedTuple):
    """low and high, the standard error of the value itself, the degrees of freedom of Student's t, and the
    value in standard errors on the scale of low and high.
    """

    low: Floats
    high: Floats
    standard_error: Floats
    freedom: Floats
    scaled: Floats


class Scale(NamedTuple):
    """A transformation to a scale without ends, and back."""

    there: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


def _unlimited(c: Floats) -> Floats:
    return np.asarray(np.arctanh(np.clip(c, -_NEXT_TO_ONE, _NEXT_TO_ONE)))


OF_CKA = Scale(_unlimited, np.tanh)  # Fisher's z
OF_DIFFERENCE = Scale(lambda d: 2 * _unlimited(d / 2), lambda z: 2 * np.tanh(z / 2))


def jackknife_bounds(
    scale: Scale, values: Floats, without: Floats, pair_variance: Floats, level: float, *, rare: bool
) -> Bounds:
    """Bounds of values (cells,), from the values without each of n examples (cells, n).

    The variance on the scale is the jackknife's, less what it counts twice, at most half of it. Its degrees
    of freedom follow from how unequal the n terms are: 2 n / (kurtosis - 1), and so about 2 where one example
    decides and n where all have a normal distribution. rare: whether to add `reach_of_rare`.
    """
    n = without.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = (n - 1) / n * np.sum((without - without.mean(axis=1, keepdims=True)) ** 2, axis=1)
        terms = scale.there(without)
        terms = terms - terms.mean(axis=1, keepdims=True)
        variance = (n - 1) / n * np.sum(terms**2, axis=1)
        once = np.where(plain > 0, np.maximum(1 - pair_variance / plain, 0.5), 1.0)
    freedom, further = freedom_of(terms), reach_of_rare(terms, level) if rare else NO_FURTHER
    return bounds_of(scale, values, np.sqrt(plain), np.sqrt(variance * once), freedom, level, further)


def reach_of_rare(terms: Floats, level: float) -> tuple[Floats, Floats]:
    """How much further bounds reach, below (at most 0) and above: one kind of example that these n have once
    may be as frequent among others as `most_expected`. terms (cells, n): the values without each example,
    less their mean.

    The example that moves a value most one way moves it by a term; what the one on the other side moves is
    taken from it, so that nothing is added where both tails are alike.
    """
    n = terms.shape[1]
    beyond = -(n - 1) / n * (terms.min(axis=1) + terms.max(axis=1)) * (most_expected(level) - 1)
    return np.minimum(beyond, 0), np.maximum(beyond, 0)


def most_expected(level: float) -> float:
    """The mean of a Poisson distribution that has one event or none with probability (1 - level) / 2: the
    upper end of the interval of Garwood 1936 for what was seen once.

    >>> round(most_expected(0.95), 3)
    5.572
    """
    low, high, outside = 0.0, 1.0, (1 - level) / 2
    while math.exp(-high) * (1 + high) > outside:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if math.exp(-middle) * (1 + middle) > outside else (low, middle)
    return (low + high) / 2


def bounds_of(
    scale: Scale,
    values: Floats,
    error: Floats,
    spread: Floats,
    freedom: Floats,
    level: float,
    further: tuple[Floats | float, Floats | float] = NO_FURTHER,
) -> Bounds:
    """error, spread: the standard errors of the values, and of the transformed values; further: what low and
    high reach beyond them, on the scale.
    """
    middle, reach = scale.there(values), student_quantile(level, freedom) * spread
    exact = error == 0
    low, high = (
        np.where(exact, values, scale.back(middle + way * reach + more))
        for way, more in zip((-1, 1), further, strict=True)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(exact & (values == 0), 0.0, middle / spread)
    return Bounds(low, high, error, freedom, scaled)


def check_level(function: str, level: Any) -> float:
    """`level` as a float between 0 and 1."""
    if isinstance(level, (bool, np.bool_)) or not isinstance(level, (float, int, np.floating, np.integer)):
        raise TypeError(f"{function}: level must be a number but is {level!r}")
    if not 0 < level < 1:
        raise ValueError(f"{function}: level must lie between 0 and 1 but is {level!r}")
    return float(level)


def freedom_of(terms: Floats) -> Floats:
    """Satterthwaite's degrees of freedom of a variance that is the mean square of terms (cells, n)."""
    n = terms.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        second, fourth = np.mean(terms**2, axis=1), np.mean(terms**4, axis=1)
        found = 2 * n / (fourth / second**2 - 1)
    return np.asarray(np.where(np.isfinite(found), np.minimum(found, n - 1), n - 1.0))


def student_tail(t: Any, freedom: Any) -> Floats:
    """P(T > t) of Student's t, t at least 0; by Gauss and Legendre.

    >>> student_tail([0.0, 12.706205], 1.0).round(6)
    array([0.5  , 0.025])
    """
    t, v = (x[..., None] for x in np.broadcast_arrays(np.asarray(t, np.float64), freedom))
    gamma = np.vectorize(math.lgamma, otypes=[np.float64])
    constant = gamma((v + 1) / 2) - gamma(v / 2) - np.log(np.pi * v) / 2

    def density(x: Floats) -> Floats:
        return np.asarray(np.exp(constant - (v + 1) / 2 * np.log1p(x**2 / v)))

    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        centre = np.sum(density(t * _POINTS) * t * _WEIGHTS, axis=-1)
        beyond = np.sum(density(t / _POINTS) * t / _POINTS**2 * _WEIGHTS, axis=-1)
    return np.asarray(np.where(t[..., 0] < 2, 0.5 - centre, beyond))


def student_quantile(level: float, freedom: Floats) -> Floats:
    """The number that |T| exceeds with probability 1 - level, for each number of degrees of freedom.

    >>> student_quantile(0.95, np.array([2.0, 9.0, 31.0])).round(3)
    array([4.303, 2.262, 2.04 ])
    """
    low, high = np.zeros(freedom.shape), np.full(freedom.shape, 2.0)
    outside = (1 - level) / 2
    while (short := student_tail(high, freedom) > outside).any():
        high = np.where(short, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = student_tail(middle, freedom) > outside
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray((low + high) / 2)


def warn_of_few(
    function: str, shares: Iterable[tuple[str, float]], n: int, groups: int | None = None
) -> None:
    """One RuntimeWarning for the layers whose HSIC a few of n examples carry, or one of the groups of them.

    shares: (name, `share_of_few`).
    """
    count, examples = few(n), "one example carries"
    if groups is not None:
        count, examples = 1, f"one of {groups} groups of examples carries"
    elif count > 1:
        examples = f"{count} of {n} examples carry"
    most = MOST_OF_ONE if count == 1 else MOST_OF_SEVERAL
    found = [f"{name} {share:.0%}" for name, share in shares if share > most]
    if found:
        warn_caller(
            f"{function}: {examples} much of the HSIC with itself of {', '.join(found)}; how many such "
            "examples another sample has is not known, so that an interval may be too short: see "
            "gramless.analysis.dominant_component(x).share_of(k)"
        )
