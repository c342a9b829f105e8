"""Rows divided by their length in float64, and back, for the few that a loss does not leave to the core."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import _arrays
from ._losses import EPSILON


class UnitRows(NamedTuple):
    """z = u / max(|u|, 1e-12) in float64, or u itself; numpy's or cupy's."""

    z: Any  # (n, d)
    lengths: Any  # (n, 1); None: not divided

    def backward(self, dz: Any) -> Any:
        """The gradient with respect to u from that with respect to z."""
        if self.lengths is None:
            return dz
        with np.errstate(invalid="ignore", over="ignore"):
            along = (dz * self.z).sum(1)[:, None] * self.z
            return (dz - np.where(self.lengths == EPSILON, 0.0, along)) / self.lengths


def unit_rows(x: Any, normalize: bool) -> UnitRows:
    """The rows of x (n, d), an array of the host or of a device."""
    u = (x if _arrays.is_on_device(x) else np.asarray(x)).astype(np.float64)
    if not normalize:
        return UnitRows(u, None)
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.maximum(np.sqrt((u * u).sum(1)), EPSILON)[:, None]
        return UnitRows(u / lengths, lengths)
