""".ci/cpu_code.py and its findings in machine code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "cpu_code.py"
if not SCRIPT.exists():
    pytest.skip("not in an sdist", allow_module_level=True)


@pytest.fixture
def cpu_code(monkeypatch):
    spec = importlib.util.spec_from_file_location("cpu_code", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "cpu_code", module)
    spec.loader.exec_module(module)
    return module


NESTED = [
    (0x10, "mov    %rsp,%rbp"),
    (0x14, "vxorps %xmm0,%xmm0,%xmm0"),
    (0x18, "vfmadd231ps (%rax),%zmm1,%zmm2"),
    (0x1C, "vmovaps 0x40(%rsp),%zmm3"),
    (0x20, "jne    18 <f+0x8>"),
    (0x24, "vmulps %zmm1,%zmm2,%zmm3"),
    (0x28, "jb     14 <f+0x4>"),
    (0x2C, "jmp    40 <f+0x30>"),
]


def test_the_innermost_loop_is_found(cpu_code):
    (loop,) = cpu_code.innermost_loops(NESTED)
    assert loop == [text for address, text in NESTED if 0x18 <= address <= 0x20]


@pytest.mark.parametrize(
    ("text", "product"),
    [
        ("vfmadd213ps -0x230(%rbp),%zmm0,%zmm19", True),
        ("vfnmadd231pd %ymm0,%ymm1,%ymm2", True),
        ("mulps  %xmm0,%xmm1", True),
        ("vfmadd231ss %xmm0,%xmm1,%xmm2", False),
        ("vaddps %zmm0,%zmm1,%zmm2", False),
    ],
)
def test_products_of_vectors_are_counted(cpu_code, text, product):
    assert cpu_code.is_product(text) is product


def test_accesses_of_the_stack_are_counted(cpu_code, monkeypatch):
    monkeypatch.setattr(cpu_code, "LEAST_PRODUCTS", 1)
    monkeypatch.setattr(cpu_code, "instructions_of", lambda target: [("f", NESTED)])
    assert cpu_code.hot_loops("avx512", Path("op.cpp.o")) == [cpu_code.Loop("avx512", "op", "f", 1, 1)]


def test_a_loop_beyond_its_budget_is_named(cpu_code, monkeypatch):
    monkeypatch.setattr(cpu_code, "BUDGETS", [cpu_code.Budget("avx2", "op", 1, 2)])
    loop = cpu_code.Loop("avx2", "op", "f", 9, 1)
    assert cpu_code.excess_of_loops([loop, loop]) == []
    for loops in ([loop, loop, loop], [cpu_code.Loop("avx2", "op", "f", 9, 2)], []):
        (excess,) = cpu_code.excess_of_loops(loops)
        assert excess.startswith("avx2 op: ")
    assert len(cpu_code.excess_of_loops([loop, cpu_code.Loop("avx2", "new", "f", 9, 0)])) == 1


def test_objects_of_sources_that_are_gone_are_not_read(cpu_code, monkeypatch, tmp_path):
    """A build folder keeps object files of sources that were renamed."""
    monkeypatch.setattr(cpu_code, "ROOT", tmp_path)
    folder = tmp_path / "build/plain/csrc/CMakeFiles/gramless_avx2.dir/ops"
    folder.mkdir(parents=True)
    for name in ("gram_sums", "renamed"):
        (folder / f"{name}.cpp.o").touch()
    source = tmp_path / "csrc/ops/gram_sums.cpp"
    source.parent.mkdir(parents=True)
    source.touch()
    assert cpu_code.objects_of(tmp_path / "build/plain", "avx2") == [folder / "gram_sums.cpp.o"]
    assert cpu_code.objects_of(tmp_path / "build/plain", "avx512") == []
