"""The CKA without each of several groups of examples, from the one walk over tiles that sums the CKA."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._alignment import aligned
from .._backends import Cpu
from .._deletion import share_of_few
from .._intervals import Bounds, Scale, bounds_of, freedom_of
from ..kernels import Estimator, Kernel, encode
from ._checks import Floats

Sizes = npt.NDArray[np.int64]


def without_groups(
    backend: Cpu, x: Any, y: Any, kernels: tuple[Kernel, Kernel], groups: int, estimator: Estimator
) -> tuple[float, Floats, Sizes, tuple[float, float]]:
    """The CKA, the CKA without each group in turn, the number of examples in each group, and for x and for y
    the share of the HSIC with itself that the most influential group carries (`share_of_few`).

    x, y: arrays of the backend. Groups are drawn at random with a fixed seed, because a data set may be
    sorted by class.
    """
    n = int(x.shape[0])
    own = np.random.default_rng(0).permutation(n) % groups
    order, sizes = np.argsort(own, kind="stable"), np.bincount(own)
    codes = encode(kernels[0]), encode(kernels[1])
    xy, xx, yy = backend.jackknife_hsic(x, y, codes, order, sizes, estimator)
    ratio = aligned(xy, xx, yy)
    shares = tuple(share_of_few(float(hsic[0]), hsic[1:], n, estimator) for hsic in (xx, yy))
    return float(ratio[0]), ratio[1:], sizes, (shares[0], shares[1])


def group_bounds(scale: Scale, value: float, without: Floats, sizes: Sizes, level: float) -> Bounds:
    """`jackknife_bounds` of one value, from groups of any sizes: Busing, Meijer and van der Leeden 1999."""
    plain = _terms(np.asarray(value), without, sizes)
    terms = _terms(scale.there(np.asarray(value)), scale.there(without), sizes)
    error, spread = (np.sqrt(np.mean(of**2, keepdims=True)) for of in (plain, terms))
    return bounds_of(scale, np.array([value]), error, spread, freedom_of(terms[None]), level)


def _terms(value: Floats, without: Floats, sizes: Sizes) -> Floats:
    """One term for each group; the mean of their squares is the variance."""
    n, groups = sizes.sum(), len(sizes)
    inverse = n / sizes
    centre = groups * value - np.sum((1 - 1 / inverse) * without)
    pseudo = inverse * value - (inverse - 1) * without
    return np.asarray((pseudo - centre) / np.sqrt(inverse - 1))
