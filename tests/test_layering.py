"""The one-way rule of csrc/: support <- engine <- {epilogues, reductions} <- ops <- bindings."""

import re
from pathlib import Path

CSRC = Path(__file__).parents[1] / "csrc"
MAY_INCLUDE = {
    "support": {"support"},
    "engine": {"support", "engine"},
    "epilogues": {"support", "engine", "epilogues"},
    "reductions": {"support", "engine", "reductions"},
    "ops": {"support", "engine", "epilogues", "reductions", "ops"},
    "bindings": {"support", "engine", "epilogues", "reductions", "ops", "bindings"},
}
INCLUDES = [
    (path.relative_to(CSRC), name)
    for path in sorted(CSRC.rglob("*.*"))
    for name in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', path.read_text(), re.MULTILINE)
]


def test_every_source_lies_in_a_folder_of_the_rule():
    assert {str(path.parts[0]) for path, _ in INCLUDES} == set(MAY_INCLUDE)


def test_folders_include_only_what_lies_below_them():
    own = [(path, name) for path, name in INCLUDES if name.split("/")[0] in MAY_INCLUDE]
    assert len(own) > 50
    assert [(path, name) for path, name in own if name.split("/")[0] not in MAY_INCLUDE[path.parts[0]]] == []


def test_only_bindings_know_python_and_nothing_knows_torch():
    core = [(path, name) for path, name in INCLUDES if path.parts[0] != "bindings"]
    assert [(path, name) for path, name in core if name.startswith(("pybind11", "Python"))] == []
    assert [(path, name) for path, name in INCLUDES if name.startswith(("torch", "ATen", "c10"))] == []


def test_only_cu_and_cuh_include_cuda_and_only_the_primitives_name_it():
    cuda = {path for path, name in INCLUDES if re.match(r"cuda(_|\.h$)|cute/|cutlass/", name)}
    primitives = ("primitives.cuh", "ptx.cuh", "hopper_primitives.cuh", "hopper_ptx.cuh")
    own = {Path("engine", name) for name in primitives} | {Path("support/cuda_devices.cu")}
    assert {path for path in cuda if path.suffix not in (".cu", ".cuh")} == set()
    assert cuda == own
    kernels = [path for path in CSRC.rglob("*.cu*") if path.relative_to(CSRC) not in own]
    assert len(kernels) > 10
    assert [path.name for path in kernels if re.search(r"\basm\b|__CUDACC__", path.read_text())] == []
