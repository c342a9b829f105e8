"""Launches: device arrays of one framework become arguments of `_cuda`, results are arrays to be filled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _arrays
from .._arrays.cuda_status import cuda_module
from .._arrays.frameworks import Array, Described, Framework, framework_of
from .._losses import TIE
from ..kernels import Encoded

DTYPES = ("float32", "float64", "float16", "bfloat16")
SCRATCH_ALIGNMENT = 256


@dataclass(frozen=True)
class DeviceContext:
    """One device of one framework, with the extension module that computes on it."""

    function: str  # whom errors name
    framework: Framework
    device: int
    module: Any

    def run(self, operation: str, *arguments: Any) -> None:
        """Enqueues an operation on the stream that is current now; its scratch is the framework's."""
        held = []

        def allocate(size: int) -> int:
            held.append(self.framework.empty((size + SCRATCH_ALIGNMENT,), "uint8", self.device))
            address = self.framework.address(held[-1])
            return address + -address % SCRATCH_ALIGNMENT

        place = (self.device, self.framework.stream(self.device), allocate)
        try:
            getattr(self.module, operation)(place, *arguments)
        except RuntimeError as error:
            raise RuntimeError(f"{self.function}: {error}") from None

    def empty(self, *shape: int, dtype: str = "float64") -> Array:
        return self.framework.empty(shape, dtype, self.device)

    def zeros(self, *shape: int, dtype: str = "float64") -> Array:
        return self.framework.zeros(shape, dtype, self.device)

    def address(self, x: Array | None) -> int:
        return 0 if x is None else self.framework.address(x)

    def described(self, x: Array) -> Described:
        size = self.framework.itemsize(x)
        row_stride, column_stride = (stride // size for stride in self.framework.strides(x))
        rows, columns = x.shape
        dtype = self.framework.dtype(x)
        return (self.framework.address(x), int(rows), int(columns), row_stride, column_stride, dtype)


def place_of(function: str, named: Iterable[tuple[str, Any]]) -> tuple[DeviceContext, list[Array]]:
    """Where these arrays are, and they themselves as their framework's; raises unless that is one place."""
    module = cuda_module(function)
    first, place, arrays = "", None, []
    for name, x in named:
        if not _arrays.is_on_device(x):
            raise TypeError(
                f"{function}: {first or 'an array'} is on a GPU but {name} is not; copy one of them"
            )
        framework, array = framework_of(function, name, x)
        device = framework.device(array)
        if place is None:
            first, place = name, DeviceContext(function, framework, device, module)
        elif type(framework) is not type(place.framework):
            raise TypeError(
                f"{function}: {first} and {name} are arrays of two libraries; convert one of them"
            )
        elif device != place.device:
            raise ValueError(
                f"{function}: {first} is on device {place.device} but {name} is on device {device}"
            )
        check_matrix(function, name, framework, array)
        arrays.append(array)
        check_dtypes(function, first, place.framework.dtype(arrays[0]), name, framework.dtype(array))
    assert place is not None
    return place, arrays


def check_matrix(function: str, name: str, framework: Framework, x: Array) -> None:
    """Raises TypeError or ValueError unless the kernels can read x."""
    dtype = framework.dtype(x)
    if dtype not in DTYPES:
        raise TypeError(
            f"{function}: {name} has dtype {dtype} but on a GPU must have one of {', '.join(DTYPES)}"
        )
    _arrays.check_shape(function, name, tuple(x.shape))
    size, strides = framework.itemsize(x), framework.strides(x)
    if any(stride % size for stride in strides) or framework.address(x) % size:
        raise ValueError(
            f"{function}: {name} must have elements that are aligned to their size {size} "
            f"but has strides {strides} at address {framework.address(x)}"
        )


def check_dtypes(function: str, name_x: str, dtype_x: str, name_y: str, dtype_y: str) -> None:
    """Raises TypeError unless both are of one dtype, as the kernels need it."""
    if dtype_x != dtype_y:
        raise TypeError(
            f"{function}: on a GPU all arrays must have one dtype "
            f"but {name_x} has {dtype_x} and {name_y} has {dtype_y}"
        )


@dataclass(frozen=True)
class HsicLaunch:
    """HSIC of layers. A median is always exact here."""

    place: DeviceContext
    unbiased: bool
    allow_tf32: bool

    def pair(
        self,
        x: Array,
        y: Array,
        kernel_x: Encoded,
        kernel_y: Encoded,
        values: Array,
        row_sums: Array | None = None,
        bandwidths: Array | None = None,
        spreads: Array | None = None,
    ) -> None:
        """Fills values (3,), HSIC of x with y, x with x, y with y, and where given what `pair_grad` needs
        and spreads (2,), mean k_ii - mean k_ij over i != j of x and y.
        """
        place = self.place
        arguments = place.described(x), place.described(y), kernel_x, kernel_y, self.unbiased, self.allow_tf32
        place.run("hsic", *arguments, *map(place.address, (row_sums, bandwidths, values, spreads)))

    def matrix(
        self,
        xs: Sequence[Array],
        ys: Sequence[Array],
        kernel_x: Encoded,
        kernel_y: Encoded,
        row_sums: Array | None = None,
        bandwidths: Array | None = None,
    ) -> tuple[Array, Array]:
        """(xs, ys), HSIC of every x with every y, and (xs + ys,), of layers with themselves; no ys: (xs, xs).

        Fills row_sums (xs + ys, n) and bandwidths (xs + ys,) where given.
        """
        place = self.place
        values, own = place.empty(len(xs), len(ys) or len(xs)), place.empty(len(xs) + len(ys))
        sides = ([place.described(layer) for layer in layers] for layers in (xs, ys))
        arguments = *sides, kernel_x, kernel_y, self.unbiased, self.allow_tf32
        place.run("hsic_matrix", *arguments, *map(place.address, (row_sums, bandwidths, values, own)))
        return values, own

    def pair_grad(
        self,
        x: Array,
        y: Array,
        kernel_x: Encoded,
        kernel_y: Encoded,
        row_sums: Array,
        bandwidths: Array,
        weights: Array,
        wanted: Sequence[bool],
    ) -> list[Array | None]:
        """Gradients of weights (3,) times the values, by x and y, where wanted."""
        place = self.place
        grads = [
            place.empty(*side.shape, dtype=place.framework.dtype(side)) if want else None
            for side, want in zip((x, y), wanted, strict=True)
        ]
        arguments = place.described(x), place.described(y), kernel_x, kernel_y, self.unbiased, self.allow_tf32
        place.run("hsic_grad", *arguments, *map(place.address, (row_sums, bandwidths, weights, *grads)))
        return grads


def layer_values(
    launch: HsicLaunch,
    xs: Sequence[Array],
    ys: Sequence[Array],
    kernels: tuple[Encoded, Encoded],
    row_sums: Array | None = None,
    bandwidths: Array | None = None,
) -> tuple[Array, Array, Array]:
    """(xs, ys), (xs,), (ys,): HSIC of every x with every y, of x with x, of y with y; no ys: xs with itself.

    row_sums (layers, n) and bandwidths (layers,), where given, are filled with what a backward needs.
    """
    if len(xs) == len(ys) == 1:
        values = launch.place.empty(3)
        launch.pair(xs[0], ys[0], *kernels, values, row_sums, bandwidths)
        return values[:1].reshape(1, 1), values[1:2], values[2:]
    values, own = launch.matrix(xs, ys, *kernels, row_sums, bandwidths)
    return values, own[: len(xs)], own[len(xs) :] if ys else own


def median_squared_distance(
    place: DeviceContext, x: Array, include_diagonal: bool, allow_tf32: bool = False
) -> Array:
    """(1,), float64."""
    median = place.empty(1)
    place.run(
        "median_squared_distance", place.described(x), include_diagonal, allow_tf32, place.address(median)
    )
    return median


@dataclass(frozen=True)
class ContrastLaunch:
    """A contrastive problem: `groups` are int32 arrays or None, as ops/cuda_ops.hpp explains them.

    A temperature that is an array (1,) of float64 is read by the device, and not checked.
    """

    place: DeviceContext
    anchors: Sequence[Array]
    keys: Sequence[Array]
    anchor_groups: Array | None
    key_groups: Array | None
    temperature: float | Array
    normalize: bool
    exclude_above: float | None
    kind: str
    keys_are_anchors: bool = False  # whether the losses of keys against the anchors are wanted too
    exclude_hardest: float | None = None

    @property
    def rows(self) -> int:
        """Of the anchors."""
        return sum(x.shape[0] for x in self.anchors)

    @property
    def columns(self) -> int:
        """Of the keys."""
        return sum(x.shape[0] for x in self.keys)

    @property
    def losses(self) -> int:
        """How many there are: of the anchors, then of the keys, where they are anchors too."""
        return self.rows + (self.columns if self.keys_are_anchors else 0)

    def _arguments(self) -> tuple[Any, ...]:
        place = self.place
        sides = [[place.described(x) for x in side] for side in (self.anchors, self.keys)]
        groups = place.address(self.anchor_groups), place.address(self.key_groups)
        known = isinstance(self.temperature, float)
        temperature = (self.temperature, 0) if known else (math.nan, place.address(self.temperature))
        limit = math.inf if self.exclude_above is None else self.exclude_above
        hardest = (0.0, 0.0) if self.exclude_hardest is None else (self.exclude_hardest, TIE)
        options = self.normalize, limit, *hardest, self.kind, self.keys_are_anchors
        return (*sides, *groups, *temperature, *options)

    def forward(self) -> tuple[Array, Array, Array]:
        """The losses, what `backward` needs, the mean of the anchors' losses (1,): float64."""
        place = self.place
        losses, mean = place.empty(self.losses), place.empty(1)
        saved = place.empty(place.module.contrast_saved_arrays, self.rows + self.columns)
        place.run("contrast_forward", *self._arguments(), *map(place.address, (losses, saved, mean)))
        return losses, saved, mean

    def backward(
        self,
        saved: Array,
        wanted: Sequence[bool],
        weights: Array | None = None,
        scale_of_mean: Array | None = None,
    ) -> tuple[list[Array | None], Array]:
        """Gradients of the weighted losses, or of the anchors' mean times its scale: by arrays, and by the
        temperature (1,). `wanted` says for each of anchors, then keys, whether its gradient is.
        """
        place = self.place
        grads = [
            place.empty(*x.shape, dtype=place.framework.dtype(x)) if want else None
            for x, want in zip((*self.anchors, *self.keys), wanted, strict=True)
        ]
        by_temperature = place.empty(1)
        sources = place.address(saved), place.address(weights), place.address(scale_of_mean)
        targets = [place.address(grad) for grad in grads]
        place.run("contrast_backward", *self._arguments(), *sources, targets, place.address(by_temperature))
        return grads, by_temperature
