"""Predicted times of CUDA kernels: counts of their machine code over ceilings that are assumed."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel_paths import Cost, Costed


@dataclass(frozen=True)
class Ceilings:
    """Of one H200, by its data sheet or as others measured them. Nothing here was measured by gramless."""

    multiprocessors: int = 132
    clock_ghz: float = 1.755
    issue_slots: float = 4  # of warps, a clock and multiprocessor
    shared_bytes: float = 128  # a clock and multiprocessor
    special_results: float = 16  # of MUFU, a clock and multiprocessor
    bfloat16_tflops: float = 790  # dense products
    l2_tb_s: float = 5.5  # to all multiprocessors together

    def milliseconds(self, count: float, per_clock: float) -> float:
        """Of so many, of which each multiprocessor does `per_clock` a clock."""
        return 1e3 * count / (self.multiprocessors * per_clock * self.clock_ghz * 1e9)


@dataclass(frozen=True)
class Load:
    """What a kernel has to do for one problem."""

    kernel: str  # the name of a Costed
    problem: str
    values: float  # kernel values, of all layers
    depth_bytes: int  # of a row that is multiplied
    flops: float  # of the tensor cores

    def slices(self, costed: Costed) -> float:
        return self.depth_bytes / (128 if costed.on_hopper else 64)

    def l2_bytes(self, costed: Costed) -> float:
        """Rows and columns of every tile; a block's own rows stay where a loss walks in turns."""
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
    """Milliseconds by what would bind if nothing else did; the largest is the prediction."""
    paths = load.values / (costed.values * 32)  # of warps
    # float32 rows are two planes of 16 bits: a slice of one brings as much of the other.
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
