"""Launches: device arrays of one framework become arguments of `_cuda`, results are arrays to be filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._arrays.frameworks import Array, Described, Framework
from ..kernels import Encoded

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
