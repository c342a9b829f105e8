"""What `independence_test` asks of two device arrays. Its answer is numbers, for which it waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _arrays
from .._sums import Floats, PairSums
from ..kernels import Encoded, Estimator, Kernel, encode, wants_median, with_sigma
from .frameworks import Array
from .launch import HsicLaunch, Place, median_squared_distance, place_of

COPIED_BYTES = 2**30  # of y in other orders at a time


@dataclass(frozen=True)
class DevicePair:
    """Two arrays of one device, with their kernels."""

    place: Place
    x: Array
    y: Array
    kernels: tuple[Kernel, Kernel]

    @property
    def rows(self) -> int:
        return int(self.x.shape[0])

    def sums(self, estimator: Estimator) -> PairSums:
        """HSIC of each with each, and both spreads."""
        values, spreads = self.place.empty(3), self.place.empty(2)
        kernel_x, kernel_y = map(encode, self.kernels)
        self._launch(estimator).pair(self.x, self.y, kernel_x, kernel_y, values, spreads=spreads)
        (xy, xx, yy), (spread_x, spread_y) = map(_arrays.to_host, (values, spreads))
        return PairSums(float(xy), float(xx), float(yy), float(spread_x), float(spread_y), self.rows)

    def permuted_hsic(
        self, orders: npt.NDArray[np.int64], progress: Callable[[int, int], object] | None
    ) -> Floats:  # (B, n) -> (B,)
        """Unbiased HSIC of x with y in these orders: a sweep over copies of y."""
        framework, launch = self.place.framework, self._launch("unbiased")
        at_once = max(1, COPIED_BYTES // (math.prod(self.y.shape) * framework.itemsize(self.y)))
        found = np.empty(len(orders))
        for start in range(0, len(orders), at_once):
            rows = [framework.upload(order, self.place.device) for order in orders[start : start + at_once]]
            values, _ = launch.matrix([self.x], [self.y[order] for order in rows], *self._resolved)
            found[start : start + at_once] = _arrays.to_host(values)[0]
            if progress is not None:
                progress(start + len(rows), len(orders))
        return found

    @cached_property
    def _resolved(self) -> tuple[Encoded, Encoded]:
        """With medians as numbers, which orders of the rows do not change."""
        of_x, of_y = (
            _resolved(self.place, *side) for side in zip((self.x, self.y), self.kernels, strict=True)
        )
        return of_x, of_y

    def _launch(self, estimator: Estimator) -> HsicLaunch:
        return HsicLaunch(self.place, estimator == "unbiased", allow_tf32=False)


def device_pair(function: str, x: Any, y: Any, kernels: tuple[Kernel, Kernel]) -> DevicePair:
    """The pair, if x and y are on one device and fit."""
    place, (a, b) = place_of(function, [("x", x), ("y", y)])
    _arrays.check_rows(function, "x", a, "y", b)
    return DevicePair(place, a, b, kernels)


def _resolved(place: Place, x: Array, kernel: Kernel) -> Encoded:
    code = encode(kernel)
    if not wants_median(code):
        return code
    _, _, scale, include_diagonal, _ = code
    median = median_squared_distance(place, x, include_diagonal)
    sigma = scale * math.sqrt(float(_arrays.to_host(median)[0]))
    return with_sigma(code, sigma) if 0 < sigma < math.inf else code
