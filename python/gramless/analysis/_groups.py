"""The CKA without each of a number of groups of examples, all from the walk over tiles that sums the CKA."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .._alignment import aligned
from .._backends import Cpu
from ..kernels import Estimator, Kernel, encode
from ._checks import Floats


def without_groups(
    backend: Cpu, x: Any, y: Any, kernels: tuple[Kernel, Kernel], groups: int, estimator: Estimator
) -> tuple[float, Floats, npt.NDArray[np.int64]]:
    """The CKA, that without each group in turn, and how many examples each group has.

    x, y: arrays of the backend. Who is in a group is drawn at random, always alike: a data set may be sorted
    by class.
    """
    own = np.random.default_rng(0).permutation(x.shape[0]) % groups
    order, sizes = np.argsort(own, kind="stable"), np.bincount(own)
    codes = encode(kernels[0]), encode(kernels[1])
    ratio = aligned(*backend.jackknife_hsic(x, y, codes, order, sizes, estimator))
    return float(ratio[0]), ratio[1:], sizes


def group_error(value: float, without: Floats, sizes: npt.NDArray[np.int64]) -> float:
    """The standard error from groups of any sizes, Busing, Meijer and van der Leeden 1999."""
    n, groups = sizes.sum(), len(sizes)
    inverse = n / sizes
    centre = groups * value - float(np.sum((1 - 1 / inverse) * without))
    pseudo = inverse * value - (inverse - 1) * without
    return math.sqrt(float(np.mean((pseudo - centre) ** 2 / (inverse - 1))))


def student_quantile(z: float, freedom: int) -> float:
    """Student's quantile for that of the normal distribution, by Cornish and Fisher; 0.3 % off at 4 degrees.

    >>> round(student_quantile(1.959964, 9), 3), round(student_quantile(1.959964, 31), 3)
    (2.262, 2.04)
    """
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
