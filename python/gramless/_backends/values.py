"""Arguments and results of backends, and the layout of saved arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .._alignment import in_units
from .._arrays.namespaces import Arrays
from .._losses import NOTHING, Exclusions
from ..kernels import Encoded

Kernels: TypeAlias = tuple[Encoded, Encoded]  # of xs and of ys
Orders: TypeAlias = npt.NDArray[np.int64]  # indices of rows

HEAD = 3  # numbers saved for a layer: its bandwidth, whether row sums follow, the exponent of its unit
SAVED_ROWS = {"cpu": 4, "cuda": 6}  # numbers saved for each anchor and key; on the CPU limits follow


class HsicTask(NamedTuple):
    """HSIC of every x with every y or, without ys, with every x."""

    xs: Arrays
    ys: Arrays
    kernels: Kernels
    estimator: str


class HsicValues(NamedTuple):
    """HSIC of every pair of layers, and the kernel's mean over i != j and over i = j for each layer.

    Values are in the layers' units, which cancel in a CKA: HSIC of the data is 2^(exponent_x + exponent_y)
    times as large. A device computes in the unit of the data; exponents and means are None there.
    """

    xy: Any  # (Lx, Ly)
    xx: Any  # (Lx,)
    yy: Any  # (Ly,), the same as xx where xs are compared with themselves
    exponent_x: Any = None
    exponent_y: Any = None
    mean_x: Any = None
    mean_y: Any = None
    diagonal_x: Any = None
    diagonal_y: Any = None
    rows: Any = None  # (Lx + Ly, HEAD + n), what the backward needs
    sigmas: Any = None  # (Lx + Ly,), bandwidths of kernels that have one; None on a device

    @classmethod
    def of_core(cls, values: Sequence[Any], layers_x: int, with_itself: bool, rows: Any = None) -> HsicValues:
        """Converts the core's result."""
        xy, xx, yy, mean_x, mean_y, diagonal_x, diagonal_y, sigmas, exponents = values
        x, y = exponents[:layers_x], exponents[layers_x:]
        if with_itself:
            yy, mean_y, diagonal_y, y = xx, mean_x, diagonal_x, x
        return cls(xy, xx, yy, x, y, mean_x, mean_y, diagonal_x, diagonal_y, rows, sigmas)

    def xy_of_data(self) -> Any:
        """xy in the unit of the data."""
        return self.xy if self.exponent_x is None else in_units(self.xy, self.exponent_x, self.exponent_y)


class PairSums(NamedTuple):
    """HSIC of two representations with each other and with themselves, in units of their own.

    spread: mean k_ii - mean k_ij over i != j.
    exponent: HSIC of x with y in the unit of the data is 2^exponent xy.
    """

    xy: float
    xx: float
    yy: float
    spread_x: float
    spread_y: float
    n: int
    exponent: int = 0


class DistillTask(NamedTuple):
    """The arguments of similarity distillation."""

    arrays: Sequence[Any]  # student, teacher, the student's queue and, unless it is the same, the teacher's
    temperature: Any  # a number, or float64 (1,) which a device reads
    teacher_temperature: float
    normalize: bool


class SigmoidTask(NamedTuple):
    """All pairs of rows of a (n, d) with rows of b (m, d), logits scale <a_i, b_j> + bias.

    Row i of a belongs to row first_positive + i of b, if there is one.
    """

    a: Any
    b: Any
    scale: float
    bias: float
    normalize: bool
    first_positive: int = 0


class ContrastTask(NamedTuple):
    """Pairs of anchors or, where there are keys, of anchors with keys; those of one group are positive."""

    anchors: Sequence[Any]
    keys: Sequence[Any]
    groups: Any  # of anchors and of keys, as the backend made them
    temperature: Any  # a number, or float64 (1,) which a device reads
    normalize: bool
    kind: str  # "softmax", "decoupled" or "log_sum_exp"
    excluded: Exclusions = NOTHING  # a limit of similarity; shares of each anchor's negatives
    symmetric: bool = False  # whether the first keys are anchors too
    guide: tuple[Arrays, Arrays] | None = None  # the guide's rows for anchors and keys
    limits: Any = None  # (n,): negatives with a larger cosine of the guide's rows are left out

    @property
    def rows(self) -> int:
        """The number of rows of all anchors."""
        return sum([x.shape[0] for x in self.anchors])

    @property
    def columns(self) -> int:
        """The number of rows of all keys."""
        return sum([x.shape[0] for x in self.keys])


class ContrastLosses(NamedTuple):
    """The results of a forward, in float64."""

    of_anchors: Any  # (n,)
    of_keys: Any  # (m,), or None
    saved: Any  # (rows of SAVED_ROWS, n + m), what the backward needs
    kept: Any  # an object that makes the backward faster, or None
    mean: Any = None  # of the anchors' losses, if the backend computes it anyway
