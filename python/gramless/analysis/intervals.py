"""How sure a CKA value is, and the difference of two: the jackknife over examples or groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._intervals import OF_CKA, OF_DIFFERENCE, student_tail
from ..kernels import Estimator, KernelLike
from ._replicates import Request, replicates


@dataclass(frozen=True)
class Interval:
    """A CKA with its standard error, and low and high, which hold the truth with probability `level`.

    Attributes
    ----------
    value, low, high : float
        low and high lie in [-1, 1].
    standard_error : float
        The jackknife's, of the value itself.
    level : float
    freedom : float
        Degrees of freedom of the Student's t behind low and high: few where few examples decide.
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
    value, low, high : float
        low and high hold the true difference with probability `level`, and lie in [-2, 2].
    standard_error : float
        The jackknife's, of the value itself.
    level : float
    z : float
        value / standard_error; 0 where both are 0.
    pvalue : float
        Two-sided: how often chance gives as large a difference where there is none. Below 1 - level where 0
        lies outside low and high, and so of their standard error on a scale without ends, not of
        `standard_error`.
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
    """CKA of rows x (n, p) with rows y (n, q), and how far other examples might move it.

    se^2 = (n - 1) / n sum_i (c_(i) - mean c_(i))^2, and low, high = tanh(atanh c -+ t s + r_low, r_high)

    with c_(i) the CKA without example i and s^2 the same sum of atanh c_(i), less what it counts twice: pairs
    of examples (Efron and Stein 1981). t is Student's, with 2 n / (kurtosis - 1) degrees of freedom for the
    kurtosis of the atanh c_(i): about n where they have a normal distribution, 2 where one example decides.
    The jackknife rather than the bootstrap, because examples drawn twice are pairs of equal rows, which bias
    HSIC.

    Where the examples that move the value most all move it one way, others may have more of them: one kind
    that n examples have once is expected up to m times at this level (Garwood 1936; m = 5.6 for 0.95), so
    that the bound on this side, r_low or r_high, reaches (m - 1) times as far again as the most unusual
    example moves atanh c, less what the one on the other side does. The other r is 0.

    Parameters
    ----------
    x, y : array (n, p), (n, q)
        Rows of the same examples: numpy arrays of any layout and real dtype, tensors of torch, lists.
    kernel, kernel_y, estimator
        As in `gramless.cka`. A bandwidth left to the median is that of all examples: as in `cka` with groups,
        else exact.
    level : float
        How often the interval holds the truth.
    groups : int, optional
        None takes the CKA without each example, from walks over blocks of rows, in n^2 (p + q) operations of
        float64 and O(n) memory per row of a block.
        A number, such as 32, takes the CKA without each of so many random groups, from the walk over tiles of
        `cka` itself, which keeps each row's sums over each group: on all threads, in n^2 (p + q) / 2
        multiply-adds, in float64 where `cka` takes it and else in float32, and 16 n groups bytes. A linear
        kernel is summed over pairs of rows, also where `cka` alone would sum over features. Tiles end where
        groups do, so groups of less than some hundred rows take longer than the CKA itself. Groups of unequal
        size count as in Busing, Meijer and van der Leeden 1999; pairs of examples are counted twice.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        For fewer than 5 rows, fewer than 5 or more than n groups, a level that is not between 0 and 1, and
        other shapes.
    TypeError
        For what holds no real numbers.

    Warns
    -----
    RuntimeWarning
        Where one example carries more than a third of the HSIC of x or of y with itself or, of 200 examples
        and more, 1 % of them more than 0.55: no interval knows how many such examples another sample has.
        Where x
        or y is constant: the result is NaN.

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
    """CKA of one pair of representations less that of another: is layer 7 nearer to 7 than to 8?

    Both values move together when examples are exchanged, so that their difference is surer than either of
    them: d_(i) is the difference without example i, and what `cka_interval` makes of c_(i) is made of d_(i).

    Parameters
    ----------
    first, second : pair of arrays, (x, y)
        Each (n, features), all of the same n examples. Arrays may occur twice, as x does where it is asked
        which of two y is nearer to it.
    kernel, kernel_y, estimator, level, groups
        As in `cka_interval`; kernel is that of each x, kernel_y that of each y.

    Returns
    -------
    Difference

    Raises
    ------
    ValueError, TypeError
        As `cka_interval`, and where first or second is no pair.

    Warns
    -----
    RuntimeWarning
        As `cka_interval`.

    References
    ----------
    Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 11.

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
