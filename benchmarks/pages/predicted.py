"""Predicted times of CUDA kernels: counts of their machine code divided by assumed ceilings."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel_paths import Cost, Costed


@dataclass(frozen=True)
class Ceilings:
    """The ceilings of one H200, from its data sheet or from published measurements, not measured here."""

    multiprocessors: int = 132
    clock_ghz: float = 1.755
    issue_slots: float = 4  # instructions of warps per clock and multiprocessor
    shared_bytes: float = 128  # per clock and multiprocessor
    special_results: float = 16  # of MUFU, per clock and multiprocessor
    bfloat16_tflops: float = 790  # dense products
    l2_tb_s: float = 5.5  # to all multiprocessors together

    def milliseconds(self, count: float, per_clock: float) -> float:
        """The time of `count` operations, if each multiprocessor does `per_clock` of them per clock."""
        return 1e3 * count / (self.multiprocessors * per_clock * self.clock_ghz * 1e9)


@dataclass(frozen=True)
class Load:
    """The work of a kernel for one problem."""

    kernel: str  # the name of a Costed
    problem: str
    values: float  # kernel values, of all layers
    depth_bytes: int  # the bytes of a row that is multiplied
    flops: float  # of the tensor cores

    def slices(self, costed: Costed) -> float:
        return self.depth_bytes / (128 if costed.on_hopper else 64)

    def l2_bytes(self, costed: Costed) -> float:
        """The bytes of rows and columns of all tiles; a loss that walks in turns reads its rows once."""
        rows, cols = costed.tile
        copied = cols if costed.on_hopper and costed.layers == 1 else rows + cols
        return self.values * copied * self.depth_bytes / (rows * cols)


def _loss(n: int, d: int) -> list[Load]:
    once, twice = n * n / 2, float(n * n)
    loads = []
    for kind in ("", "_hopper"):
        problem = f"NT-Xent {n:,} x {d} bfloat16"
        loads.append(Load(f"sum_softmax{kind}, bfloat16", f"{problem}, forward", once, 2 * d, 2 * once * d))
        loads.append(
            Load(f"grad_of_rows{kind}, bfloat16", f"{problem}, backward", twice, 2 * d, 4 * twice * d)
        )
    return loads


def _pair(n: int, d: int) -> list[Load]:
    values = float(n * n)  # of both layers, each pair of rows once
    return [
        Load(
            f"sum_tiles{kind}, {dtype}",
            f"RBF CKA {n:,} x {d} {dtype}",
            values,
            bytes_of * d,
            products * values * d,
        )
        for kind in ("", "_hopper")
        for dtype, bytes_of, products in (("bfloat16", 2, 2), ("float32", 4, 6))
    ]  # fmt: skip


def _sweep(n: int, d: int, layers: int) -> list[Load]:
    values = n * n / 2 * layers
    return [
        Load(f"fill_tiles, {dtype}", f"sweep {n:,} x {d}, {layers} layers, {dtype}, tiles", values,
             bytes_of * d, products * values * d)
        for dtype, bytes_of, products in (("float32", 4, 6), ("bfloat16", 2, 2))
    ]  # fmt: skip


LOADS = [*_loss(65_536, 128), *_pair(65_536, 1024), *_sweep(10_000, 1024, 50)]


def predicted(load: Load, cost: Cost, costed: Costed, ceilings: Ceilings) -> dict[str, float]:
    """The milliseconds of each resource if it were the only bottleneck; the largest is the prediction."""
    paths = load.values / (costed.values * 32)  # of warps
    # float32 rows are two planes of 16 bits; a slice of one is read with the same slice of the other.
    slices = load.slices(costed) / (2 if "float32" in costed.name else 1)
    slots, shared = cost.all_slots(slices, costed.layers), cost.all_shared_bytes(slices, costed.layers)
    special = 32.0 * cost.slots.get("special", 0)
    return {
        "issue slots": ceilings.milliseconds(paths * slots, ceilings.issue_slots),
        "shared memory": ceilings.milliseconds(paths * shared, ceilings.shared_bytes),
        "special functions": ceilings.milliseconds(paths * special, ceilings.special_results),
        "tensor cores": load.flops / ceilings.bfloat16_tflops * 1e-9,
        "L2": load.l2_bytes(costed) / ceilings.l2_tb_s * 1e-9,
    }
