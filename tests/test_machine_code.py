"""The cost of CUDA kernels, read from machine code: invented code here, and the committed table."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks import machine_code
from benchmarks.kernel_paths import KERNELS, Cost, Costed, class_of, cost_of, shared_bytes
from benchmarks.pages import kernel_costs
from benchmarks.sass import Flow, Instruction, Kernel, Resources, blocks_of

# A loop over tiles with an inner loop over slices. Values are evaluated by either of two variants, of which
# one evaluates each value twice, or not at all.
CODE = """
LDC R1, c[0x0][0x28]
HEAD: @P0 BRA END
SLICE: LDSM.16.M88.4 R4, [R2]
HMMA.16816.F32.BF16 R8, R4, R6, R8
HMMA.16816.F32.BF16 R8, R4, R6, R8
LDGSTS.E.BYPASS.128 [R2], [R4.64]
@P1 BRA SLICE
@P2 BRA PAST
@P3 BRA TWICE
FFMA R1, R2, R3, R4
MUFU.EX2 R1, R1
FFMA R1, R2, R3, R4
MUFU.EX2 R1, R1
SHFL.BFLY PT, R1, R1, 0x1, 0x1f
BRA PAST
TWICE: MUFU.EX2 R1, R1
MUFU.EX2 R1, R1
MUFU.EX2 R1, R1
MUFU.EX2 R1, R1
PAST: IADD3 R1, R1, 0x1, RZ
BRA HEAD
END: EXIT
"""


def kernel(text=CODE, registers=99):
    lines = text.strip().splitlines()
    names = {line.split(":")[0]: 16 * i for i, line in enumerate(lines) if re.match(r"[A-Z]+: ", line)}
    instructions = []
    for i, line in enumerate(lines):
        words = re.sub(r"^[A-Z]+: ", "", line)
        found = re.match(r"(@!?P\d )?([A-Z][\w.]*)(.*)", words)
        operands = found[3]
        for name, address in names.items():
            operands = re.sub(rf"\b{name}\b", f"0x{address:x}", operands)
        instructions.append(Instruction(16 * i, found[1] is not None, found[2], operands))
    return Kernel("sm_90a", "made up", Resources(registers, 0, 0), instructions)


COSTED = Costed("made up", "", "", (8, 8), slice_products=2, threads=32)


def test_blocks_end_at_branches_and_begin_where_these_go():
    flow = Flow(blocks_of(kernel().instructions))
    assert [len(flow.blocks[start].instructions) for start in sorted(flow.blocks)] == [
        1,
        1,
        5,
        1,
        1,
        6,
        4,
        2,
        1,
    ]
    assert [len(loop.blocks) for loop in flow.loops] == [1, 7]  # the slice within the tile


def test_the_path_of_a_tile_evaluates_every_value_once_by_the_fewest_instructions():
    found = cost_of(kernel(), COSTED)
    assert found.registers == 99
    assert found.values == 2
    assert found.slots == {"other": 6, "float": 2, "special": 2, "shuffle": 1}
    assert found.slice_slots == {"shared": 1, "tensor": 2, "global": 1, "other": 1}
    assert found.slice_shared_bytes == 512 + 512
    assert found.all_slots(slices=4, layers=1) == 11 + 4 * 5


def test_a_kernel_whose_values_are_not_on_a_path_is_refused():
    with pytest.raises(SystemExit, match="made up: no path evaluates 8 values"):
        cost_of(kernel(), replace(COSTED, tile=(16, 16)))


@pytest.mark.parametrize(
    ("opcode", "operands", "used", "moved"),
    [
        ("HMMA.16816.F32", " R1, R2, R3, R4", "tensor", 0),
        ("HGMMA.64x128x16.F32.BF16", " R24, gdesc[UR4], R24", "tensor", (4096 + 2048) // 4),
        ("HGMMA.64x128x16.F32.BF16", " R24, R4, gdesc[UR4], R24", "tensor", 4096 // 4),
        ("LDSM.16.M88.2", " R1, [R2]", "shared", 256),
        ("STS.128", " [R2], R4", "shared", 512),
        ("LDG.E.64", " R1, [R2.64]", "global", 0),
        ("FADD", " R1, R2, R3", "float", 0),
        ("IMAD", " R1, R2, R3, R4", "other", 0),
    ],
)
def test_instructions_are_counted_by_what_they_use(opcode, operands, used, moved):
    assert class_of(opcode) == used
    assert shared_bytes(Instruction(0, False, opcode, operands)) == moved


def test_the_table_says_that_nothing_was_measured():
    assert "nothing was measured" in kernel_costs.part()


def test_every_kernel_has_a_budget_and_every_prediction_a_kernel():
    for entry in machine_code.history():
        assert set(entry["kernels"]) == {one.name for one in KERNELS}
    names = {load.kernel for load in kernel_costs.LOADS}
    assert names == {one.name for one in KERNELS}


def test_what_costs_more_than_its_budget_is_named():
    budget = machine_code.known(machine_code.history()[-1])
    assert machine_code.complaints(budget, budget) == []
    name = KERNELS[0].name
    more = replace(budget[name], registers=256, slots=budget[name].slots | {"shuffle": 5})
    said = machine_code.complaints(budget, budget | {name: more})
    assert len(said) == 2
    assert all(sentence.startswith(f"{name}: ") for sentence in said)
    less = Cost(1, 1, {}, 0, 0, {}, 0.0)
    assert machine_code.complaints(budget, budget | {name: less}) == []
