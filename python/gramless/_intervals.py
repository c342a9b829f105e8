"""Confidence intervals from jackknife values: transformations, Student's t, warnings of unreliable ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._alignment import warn_caller
from ._deletion import few

Floats = npt.NDArray[np.float64]

# Shares of a layer's HSIC with itself above which one example, or 1 % of them if that is several, cause a
# warning. One example has at most 1 / 2, because each pair is divided between its two examples.
MOST_OF_ONE, MOST_OF_SEVERAL = 1 / 3, 0.55
_NEXT_TO_ONE = 1 - 2.0**-53
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_POINTS, _WEIGHTS = (1 + _POINTS) / 2, _WEIGHTS / 2  # on [0, 1]
_HALVINGS = 60
NO_FURTHER = 0.0, 0.0


class Bounds(NamedTuple):
    """Confidence bounds with the standard error of the value, the degrees of freedom of Student's t, and
    `scaled`: the transformed value divided by its standard error.
    """

    low: Floats
    high: Floats
    standard_error: Floats
    freedom: Floats
    scaled: Floats


class Scale(NamedTuple):
    """A transformation to an unbounded scale, and its inverse."""

    there: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


def _unlimited(c: Floats) -> Floats:
    return np.asarray(np.arctanh(np.clip(c, -_NEXT_TO_ONE, _NEXT_TO_ONE)))


OF_CKA = Scale(_unlimited, np.tanh)  # Fisher's z
OF_DIFFERENCE = Scale(lambda d: 2 * _unlimited(d / 2), lambda z: 2 * np.tanh(z / 2))


def jackknife_bounds(
    scale: Scale, values: Floats, without: Floats, pair_variance: Floats, level: float, *, rare: bool
) -> Bounds:
    """Bounds for values (cells,), from the values with each of n examples deleted (cells, n).

    The variance on the scale is the jackknife's, minus the part that the jackknife counts twice, but at
    least half of it. Its degrees of freedom are 2 n / (kurtosis of the n terms - 1): about 2 if one example
    dominates, and n if the terms are normally distributed. rare: whether to widen by `reach_of_rare`.
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
    """How far to move the lower bound (at most 0) and the upper one, to allow for rare examples: a kind of
    example that occurs once in these n may occur `most_expected` times in another sample. terms (cells, n):
    the values with each example deleted, minus their mean.

    The shift is proportional to the largest effect of one example in one direction minus the largest effect
    in the other, so that it is 0 if both tails are equal.
    """
    n = terms.shape[1]
    beyond = -(n - 1) / n * (terms.min(axis=1) + terms.max(axis=1)) * (most_expected(level) - 1)
    return np.minimum(beyond, 0), np.maximum(beyond, 0)


def most_expected(level: float) -> float:
    """The mean of a Poisson distribution for which P(at most one event) = (1 - level) / 2: the upper end of
    the confidence interval of Garwood 1936 after one observed event.

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
    """Bounds from Student's t on the scale, transformed back.

    error, spread: the standard errors of the values, and of the transformed values. further: the shifts of
    the lower and the upper bound, on the scale.
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
    """Satterthwaite's degrees of freedom of a variance that is a mean square of terms (cells, n)."""
    n = terms.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        second, fourth = np.mean(terms**2, axis=1), np.mean(terms**4, axis=1)
        found = 2 * n / (fourth / second**2 - 1)
    return np.asarray(np.where(np.isfinite(found), np.minimum(found, n - 1), n - 1.0))


def student_tail(t: Any, freedom: Any) -> Floats:
    """P(T > t) of Student's t for t >= 0, by Gauss-Legendre quadrature.

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
    """The value that |T| exceeds with probability 1 - level, for each number of degrees of freedom.

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
    """Issue one RuntimeWarning if few examples, or one group of them, carry most of the HSIC of some layers.

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
            f"{function}: {examples} much of the HSIC with itself of {', '.join(found)}; another sample may "
            "have more or fewer such examples, so that an interval may be too short: see "
            "gramless.analysis.dominant_component(x).share_of(k)"
        )
