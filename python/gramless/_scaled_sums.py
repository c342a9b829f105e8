"""Sums of HSIC values of layers with an exponent of 2 for each layer, which prevents overflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _arrays
from ._alignment import times_power

Exponents = npt.NDArray[np.int64]
Units = tuple[Exponents, Exponents]
_NONE = -(2**30)


class ScaledSums(NamedTuple):
    """HSIC of all pairs of layers, of each layer with itself, and the exponent of each layer.

    In the units of the data the sums are xy_ij 2^(exponent_x_i + exponent_y_j), xx_i 2^(2 exponent_x_i), and
    yy_j 2^(2 exponent_y_j).
    """

    xy: Any  # (Lx, Ly)
    xx: Any  # (Lx,)
    yy: Any  # (Ly,)
    exponent_x: Exponents  # (Lx,)
    exponent_y: Exponents  # (Ly,)

    @classmethod
    def of(
        cls, xy: Any, xx: Any, yy: Any, exponent_x: Any = None, exponent_y: Any = None, weight: float = 1
    ) -> ScaledSums:
        """`weight` times the values; an exponent None is 0 for all layers."""
        x, y = (
            np.zeros(len(own), np.int64) if exponent is None else np.asarray(exponent, np.int64)
            for own, exponent in ((xx, exponent_x), (yy, exponent_y))
        )
        return cls(weight * xy, weight * xx, weight * yy, x, y)

    def on_host(self) -> ScaledSums:
        """The sums as numpy arrays; waits until a GPU has computed them."""
        xy, xx, yy = map(_arrays.to_host, self[:3])
        return ScaledSums(xy, xx, yy, self.exponent_x, self.exponent_y)

    def plus(self, other: ScaledSums) -> ScaledSums:
        """The sum of both, with the larger exponent of each layer; on the host if the devices differ."""
        ours, theirs = self, other
        if not _arrays.are_together(ours.xy, theirs.xy) or ours._has_units() or theirs._has_units():
            ours, theirs = ours.on_host(), theirs.on_host()
            units = common_units([ours.units(), theirs.units()])
            ours, theirs = ours.in_units(*units), theirs.in_units(*units)
        xy, xx, yy = (a + b for a, b in zip(ours[:3], theirs[:3], strict=True))
        return ScaledSums(xy, xx, yy, ours.exponent_x, ours.exponent_y)

    def units(self) -> Units:
        """The exponents of both sides; _NONE if the HSIC of a layer is 0, because any exponent fits that."""
        return (
            np.where(self.xx == 0, _NONE, self.exponent_x),
            np.where(self.yy == 0, _NONE, self.exponent_y),
        )

    def in_units(self, exponent_x: Exponents, exponent_y: Exponents) -> ScaledSums:
        """The same sums with these exponents; values negligible against the unit become 0."""
        moves = []
        for own, before, after in (
            (self.xx, self.exponent_x, exponent_x),
            (self.yy, self.exponent_y, exponent_y),
        ):
            moves.append(np.where(own == 0, np.minimum(before - after, 0), before - after))
        x, y = moves
        return ScaledSums(
            times_power(self.xy, x[:, None] + y[None, :]),
            times_power(self.xx, 2 * x),
            times_power(self.yy, 2 * y),
            exponent_x,
            exponent_y,
        )

    def _has_units(self) -> bool:
        return bool(self.exponent_x.any() or self.exponent_y.any())


def common_units(of_sums: Sequence[Units]) -> Units:
    """The largest exponent of each layer, in which sums with these units can be added up."""
    x, y = (np.maximum.reduce(exponents) for exponents in zip(*of_sums, strict=True))
    return np.where(x == _NONE, 0, x), np.where(y == _NONE, 0, y)
