"""The instructions that a tile takes in the most expensive CUDA kernels, read from their machine code.

A kernel walks over tiles. The path of a tile is the shortest one through the loop over tiles (or through the
whole kernel, if a block has one tile) that multiplies and evaluates every value. Loops over slices of the
depth inside it are counted separately, for one slice.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from .sass import Block, Flow, Instruction, Kernel, Loop, blocks_of

# Instructions by what they use; the first pattern that matches.
CLASSES = {
    "tensor": r"HMMA|HGMMA|DMMA",
    "special": r"MUFU",
    "shuffle": r"SHFL",
    "shared": r"LDSM|LDS|STS",
    "global": r"LDGSTS|LDG|STG|LDGDEPBAR|UTMALDG|LD\b|ST\b",
    "waiting": r"BAR|SYNCS|WARPGROUP|WARPSYNC|DEPBAR|BSYNC|BSSY|NANOSLEEP|ERRBAR|MEMBAR|FENCE",
    "float": r"FADD|FMUL|FFMA|FSEL|FSETP|FMNMX|FSET|F2F|HADD|F2FP",
}
_CLASSES = [(name, re.compile(rf"(?:{pattern})")) for name, pattern in CLASSES.items()]
TENSOR, COPIES = re.compile(CLASSES["tensor"]), re.compile("LDGSTS")
MUST = 1000.0  # one more of these instructions outweighs this number of others


def class_of(opcode: str) -> str:
    return next((name for name, pattern in _CLASSES if pattern.match(opcode)), "other")


def shared_bytes(instruction: Instruction) -> int:
    """The bytes of shared memory that a warp reads or writes."""
    name, *kind = instruction.opcode.split(".")
    if name == "LDSM":
        return 128 * int(next((word for word in kind if word in ("2", "4")), "1"))
    if name in ("LDS", "STS"):
        width = next((word for word in kind if word in ("64", "128")), "32")
        return 4 * int(width)
    if name == "LDGSTS":  # 16 bytes a lane
        return 512
    if name == "HGMMA":  # of a warpgroup: 16 numbers of 128 columns and, unless in registers, of 64 rows
        from_memory = instruction.operands.count("gdesc") > 1 or "gdesc" in instruction.operands.split(",")[1]
        return (4096 + (2048 if from_memory else 0)) // 4
    return 0


@dataclass(frozen=True)
class Costed:
    """One kernel for one operand, and its walk over tiles."""

    name: str
    source: str  # of csrc/ops
    kernel: str  # a pattern for the mangled name
    tile: tuple[int, int]  # rows, columns
    marker: str = r"MUFU\.EX2"  # an instruction of the evaluation of a value
    layers: int = 1  # tiles on one path
    slice_products: int = 0  # products of a warp for one slice in the loop over the depth; 0: no loop
    threads: int = 256  # threads that multiply and evaluate

    @property
    def on_hopper(self) -> bool:
        """Whether whole warpgroups multiply; a slice is then a box of 128 bytes of depth, otherwise of 64."""
        return "_hopper" in self.kernel

    @property
    def values(self) -> int:
        """The values of a thread on the path."""
        return self.layers * self.tile[0] * self.tile[1] // self.threads


@dataclass(frozen=True)
class Cost:
    """Instructions of a warp and bytes of shared memory, for the path of a tile and for a slice of its loop.

    slices_on_path: the slices of each layer before the loop.
    """

    registers: int
    values: int
    slots: dict[str, int]
    shared_bytes: int
    slices_on_path: int
    slice_slots: dict[str, float]
    slice_shared_bytes: float

    def all_slots(self, slices: float, layers: int) -> float:
        """The issue slots of a path whose layers have this number of slices."""
        return sum(self.slots.values()) + self._looped(slices, layers) * sum(self.slice_slots.values())

    def all_shared_bytes(self, slices: float, layers: int) -> float:
        return self.shared_bytes + self._looped(slices, layers) * self.slice_shared_bytes

    def _looped(self, slices: float, layers: int) -> float:
        return layers * (slices - self.slices_on_path)


def _walk(flow: Flow, marker: re.Pattern[str]) -> tuple[int, frozenset[int]]:
    """The first block of a tile's path, and the blocks that it may go through."""
    blocks = flow.blocks
    evaluating = {start for start in flow.order if blocks[start].count(marker) > 0}
    for loop in flow.loops:  # innermost first
        if len(evaluating & loop.blocks) > len(evaluating) / 2 and any(
            blocks[start].count(TENSOR) for start in loop.blocks
        ):
            return loop.head, loop.blocks
    return flow.order[0], frozenset(flow.order)


def _slots(instructions: list[Instruction]) -> dict[str, int]:
    return dict(Counter(class_of(instruction.opcode) for instruction in instructions))


def cost_of(kernel: Kernel, costed: Costed) -> Cost:
    marker, flow = re.compile(costed.marker), Flow(blocks_of(kernel.instructions))
    blocks = flow.blocks
    head, inside = _walk(flow, marker)
    # Loops over slices multiply and do not evaluate values.
    of_slices = [
        loop for loop in flow.loops
        if loop.blocks < inside
        and any(blocks[start].count(TENSOR) for start in loop.blocks)
        and not any(blocks[start].count(marker) for start in loop.blocks)
    ]  # fmt: skip
    in_slices = frozenset(start for loop in of_slices for start in loop.blocks)

    def weight(block: Block) -> float:
        return 0.0 if block.start in in_slices else len(block.instructions) - MUST * block.count(TENSOR)

    found = flow.cheapest_path(head, inside, weight, lambda block: block.count(marker), costed.values)
    if not found:
        raise SystemExit(f"{costed.name}: no path evaluates {costed.values} values, each once")
    path = [block for block in found if block.start not in in_slices]
    instructions = [instruction for block in path for instruction in block.instructions]
    slots = _slots(instructions)
    on_path = 0
    if costed.on_hopper and costed.slice_products:
        on_path = slots.get("tensor", 0) // (costed.slice_products * costed.layers)
    slice_slots, slice_bytes = _of_slice(flow, of_slices, costed)
    return Cost(
        kernel.resources.registers, costed.values, slots, sum(map(shared_bytes, instructions)), on_path,
        slice_slots, slice_bytes,
    )  # fmt: skip


def _of_slice(flow: Flow, loops: list[Loop], costed: Costed) -> tuple[dict[str, float], float]:
    """Slots and bytes of a slice in the loop with the most products, which may have several in one turn."""
    if not loops or costed.slice_products == 0:
        return {}, 0.0
    blocks = flow.blocks
    largest = max(loops, key=lambda loop: sum(blocks[start].count(TENSOR) for start in loop.blocks))
    path = flow.cheapest_path(
        largest.head, largest.blocks,
        lambda block: len(block.instructions) - MUST * (block.count(TENSOR) + block.count(COPIES)),
        lambda _: 0, 0,
    )  # fmt: skip
    instructions = [instruction for block in path for instruction in block.instructions]
    slices = sum(bool(TENSOR.match(i.opcode)) for i in instructions) / costed.slice_products
    slots = {name: count / slices for name, count in _slots(instructions).items()}
    return slots, sum(map(shared_bytes, instructions)) / slices


_BFLOAT, _SPLIT = "13BfloatOperand", "12SplitOperand"
_RBF = r"FADD.* 12583039"  # of the polynomial that evaluates a Gaussian
_SQUARE = (128, 128)
_SUMS, _GRAD, _PAIR = "contrast/softmax_sums.cu", "contrast/softmax_grad.cu", "gram/gram_sums.cu"
_LOSS_HOPPER, _HOPPER, _SWEEP = "contrast/softmax_hopper.cu", "gram/gram_sums_hopper.cu", "gram/gram_sweep.cu"
KERNELS = [
    Costed("sum_softmax, bfloat16", _SUMS, rf"\d+sum_softmaxI.*{_BFLOAT}", (128, 64), slice_products=16),
    Costed("grad_of_rows, bfloat16", _GRAD, rf"\d+grad_of_rowsI.*{_BFLOAT}", (128, 64), slice_products=16),
    Costed("sum_softmax_hopper, bfloat16", _LOSS_HOPPER, rf"sum_softmax_hopperI.*{_BFLOAT}", _SQUARE),
    Costed("grad_of_rows_hopper, bfloat16", _LOSS_HOPPER, rf"grad_of_rows_hopperI.*{_BFLOAT}", _SQUARE),
    Costed("sum_tiles, bfloat16", _PAIR, rf"\d+sum_tilesI.*{_BFLOAT}", _SQUARE, _RBF, 2, 32),
    Costed("sum_tiles, float32", _PAIR, rf"\d+sum_tilesI.*{_SPLIT}", _SQUARE, _RBF, 2, 96),
    Costed("sum_tiles_hopper, bfloat16", _HOPPER, rf"sum_tiles_hopperI.*{_BFLOAT}", _SQUARE, _RBF, 2, 4),
    Costed("sum_tiles_hopper, float32", _HOPPER, rf"sum_tiles_hopperI.*{_SPLIT}", _SQUARE, _RBF, 2, 12),
    Costed("fill_tiles, bfloat16", _SWEEP, rf"\d+fill_tilesI.*{_BFLOAT}", _SQUARE, _RBF, 1, 32),
    Costed("fill_tiles, float32", _SWEEP, rf"\d+fill_tilesI.*{_SPLIT}", _SQUARE, _RBF, 1, 96),
]  # fmt: skip
