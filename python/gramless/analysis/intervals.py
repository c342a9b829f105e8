"""Confidence intervals of a CKA and of the difference of two: the jackknife over examples or groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._docs import documented
from .._intervals import OF_CKA, OF_DIFFERENCE, student_tail
from ..kernels import Estimator, KernelLike
from ._replicates import Request, replicates


@dataclass(frozen=True)
class Interval:
    """A CKA with its standard error and its confidence interval.

    Attributes
    ----------
    value : float
        The CKA.
    low, high : float
        The ends of the interval, in [-1, 1].
    standard_error : float
        The jackknife's standard error of the value.
    level : float
        How often the interval holds the true CKA, between 0 and 1.
    freedom : float
        Degrees of freedom of the Student's t behind low and high; small if few examples decide.
    """

    value: float
    low: float
    high: float
    standard_error: float
    level: float
    freedom: float = float("inf")


@dataclass(frozen=True)
class Difference:
    """The CKA of one pair of representations less that of another, for the same examples.

    Attributes
    ----------
    value : float
        The difference.
    low, high : float
        The ends of its confidence interval, in [-2, 2].
    standard_error : float
        The jackknife's standard error of the value.
    level : float
        How often the interval holds the true difference, between 0 and 1.
    z : float
        value / standard_error; 0 where both are 0.
    pvalue : float
        Two-sided: the probability of a difference this large where there is none. It is below 1 - level if
        and only if 0 lies outside low and high, because it uses their standard error, on a scale without
        ends, and not `standard_error`.
    first, second : float
        The CKA of both pairs.
    freedom : float
        Degrees of freedom of the Student's t behind low, high and pvalue.
    """

    value: float
    low: float
    high: float
    standard_error: float
    level: float
    z: float
    pvalue: float
    first: float
    second: float
    freedom: float


@documented
def cka_interval(
    x: Any,
    y: Any,
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
    level: float = 0.95,
    groups: int | None = None,
) -> Interval:
    """CKA of the rows of x (n, p) with those of y (n, q), with a confidence interval from the jackknife.

    se^2 = (n - 1) / n sum_i (c_(i) - mean c_(i))^2, and low, high = tanh(atanh c -+ t s + r_low, r_high)

    c_(i) is the CKA without example i. s^2 is the same sum for atanh c_(i), less the share of pairs of
    examples, which it counts twice (Efron and Stein 1981). t is the quantile of Student's t with
    2 n / (kurtosis - 1) degrees of freedom, from the kurtosis of the atanh c_(i): about n if these are
    normally distributed, 2 if one example decides. The bootstrap would draw examples twice, and their pairs
    of equal rows would bias HSIC.

    r_low or r_high covers rare examples. A kind of example that occurs once among n is expected up to m times
    at this level (Garwood 1936; m = 5.6 for 0.95). If the example that moves atanh c most in one direction
    moves it by more than any example moves it in the other, the bound on its side reaches further by (m - 1)
    times the difference of both moves. The other r is 0.

    Parameters
    ----------
    x, y : array (n, p) and (n, q)
        Row i of both is one example: numpy arrays of any layout and real dtype, tensors of torch, lists.
    {kernel}
        The median is over all examples and exact, except that with groups a kernel with `median_rows` takes
        it over a sample of that many rows.
    {kernel_y}
    {estimator}
    level : float
        How often the interval holds the true CKA, between 0 and 1.
    groups : int, optional
        None computes the CKA without each example, in walks over blocks of rows, with n^2 (p + q) operations
        of float64 and O(n) memory per row of a block.
        A number, such as 32, computes the CKA without each of that many random groups, from the walk over
        tiles of `cka`, which also keeps each row's sums over each group. It runs on all threads, with
        n^2 (p + q) / 2 multiply-adds and 16 n groups bytes, in float64 where `cka` uses it and otherwise in
        float32. A linear kernel is summed over pairs of rows, even where `cka` alone would sum over features.
        Tiles end where groups end, so groups of less than some hundred rows take longer than the CKA itself.
        Groups of unequal size count as in Busing, Meijer and van der Leeden 1999; pairs of examples are
        counted twice.

    Returns
    -------
    Interval
        The CKA, low, high and the standard error.

    Raises
    ------
    ValueError
        For fewer than 5 rows, fewer than 5 or more than n groups, a level that is not between 0 and 1, and
        shapes that do not match.
    TypeError
        For inputs that do not hold real numbers.

    Warns
    -----
    RuntimeWarning
        If one example carries more than a third of the HSIC of x or of y with itself or, from 200 examples
        on, 1 % of them carry more than 0.55 of it, because the number of such examples in another sample is
        not known. If x or y is constant, in which case the result is NaN.

    References
    ----------
    Efron and Stein 1981, "The jackknife estimate of variance". Efron and Tibshirani 1993, "An Introduction to
    the Bootstrap", chapter 11. Garwood 1936, "Fiducial limits for the Poisson distribution". Busing, Meijer
    and van der Leeden 1999, "Delete-m jackknife for unequal m".

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.RandomState(1337)
    >>> x = rng.randn(100, 10)
    >>> interval = cka_interval(x, rng.randn(100, 10) + x)
    >>> [round(v, 3) for v in (interval.low, interval.value, interval.high)]
    [0.467, 0.513, 0.571]
    >>> round(cka_interval(x, x, groups=20).value, 6)
    1.0
    """
    request = Request.of("cka_interval", kernel, kernel_y, estimator, level, groups)
    found = replicates(request, [(("x", x), ("y", y))])
    low, high, error, freedom, _ = (float(value[0]) for value in found.bounds(OF_CKA, request.level))
    return Interval(float(found.values[0]), low, high, error, request.level, freedom)


@documented
def cka_difference(
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    kernel: KernelLike = "linear",
    kernel_y: KernelLike | None = None,
    estimator: Estimator = "unbiased",
    level: float = 0.95,
    groups: int | None = None,
) -> Difference:
    """CKA of one pair of representations less that of another, with a confidence interval from the jackknife.

    It answers whether layer 7 of one model is more similar to layer 7 of another model than to its layer 8.
    Both values change together when examples are exchanged, so their difference is less uncertain than either
    of them. With d_(i) the difference without example i,

    se^2 = (n - 1) / n sum_i (d_(i) - mean d_(i))^2, and low, high = 2 tanh(atanh(d / 2) -+ t s / 2)

    s^2 is the same sum for 2 atanh(d_(i) / 2), less the share of pairs of examples, which it counts twice
    (Efron and Stein 1981). t is the quantile of Student's t with 2 n / (kurtosis - 1) degrees of freedom,
    from the kurtosis of these values.

    Parameters
    ----------
    first, second : pair of arrays, (x, y)
        Each (n, features), row i of all four one example. An array may occur twice, such as x if the question
        is which of two y is more similar to it.
    {kernel}
        The kernel of both x. The median is over all examples and exact, except that with groups a kernel with
        `median_rows` takes it over a sample of that many rows.
    {kernel_y}
    {estimator}
    level : float
        How often the interval holds the true difference, between 0 and 1.
    groups : int, optional
        None computes the difference without each example, in walks over blocks of rows, with n^2 operations
        of float64 for each feature and O(n) memory per row of a block.
        A number, such as 32, computes the difference without each of that many random groups, which takes
        less time: it runs on all threads, in float64 where `cka` uses it and otherwise in float32. Groups of
        less than some hundred rows take longer than the two CKA themselves.

    Returns
    -------
    Difference
        The difference, low, high, its standard error, z and p-value, and both CKA values.

    Raises
    ------
    ValueError
        For fewer than 5 rows, fewer than 5 or more than n groups, a level that is not between 0 and 1, and
        shapes that do not match.
    TypeError
        For inputs that do not hold real numbers, and if first or second is not a pair.

    Warns
    -----
    RuntimeWarning
        If one example carries more than a third of the HSIC of an array with itself or, from 200 examples on,
        1 % of them carry more than 0.55 of it, because the number of such examples in another sample is not
        known. If an array is constant, in which case the result is NaN.

    References
    ----------
    Efron and Stein 1981, "The jackknife estimate of variance". Efron and Tibshirani 1993, "An Introduction to
    the Bootstrap", chapter 11.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> layer7, noise = rng.standard_normal((2, 300, 10))
    >>> other7, other8 = layer7 + noise, layer7 + 1.5 * rng.standard_normal((300, 10))
    >>> found = cka_difference((layer7, other7), (layer7, other8))
    >>> found.low > 0, found.pvalue < 0.001
    (True, True)
    """
    function = "cka_difference"
    request = Request.of(function, kernel, kernel_y, estimator, level, groups)
    found = replicates(request, [_pair(function, "first", first), _pair(function, "second", second)])
    bounds = found.bounds(OF_DIFFERENCE, request.level)
    low, high, error, freedom, scaled = (float(value[0]) for value in bounds)
    one, other = map(float, found.values)
    z = 0.0 if one == other and error == 0 else (one - other) / error
    pvalue = 2 * float(student_tail(abs(scaled), freedom))
    return Difference(one - other, low, high, error, request.level, z, pvalue, one, other, freedom)


def _pair(function: str, name: str, pair: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        count = f" of {len(pair)}" if isinstance(pair, (tuple, list)) else ""
        raise TypeError(
            f"{function}: {name} must be a pair of representations, (x, y), but is "
            f"{type(pair).__name__}{count}"
        )
    return (f"{name}[0]", pair[0]), (f"{name}[1]", pair[1])
