"""STANDS_ON says which folder may include which others, LAYERS which module may import which others."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python/gramless"
# Every folder of sources and those that it may include: these, the ones that they may include, and itself.
STANDS_ON = {
    "support": [],
    "engine/instructions": ["support"],
    "engine/walk": ["engine/instructions"],
    "engine/tile": ["engine/instructions"],
    "engine/pack": ["engine/tile"],
    "engine/product": ["engine/pack", "engine/walk"],
    "epilogues": ["engine/product"],
    "reductions": ["engine/product"],
    "ops": ["epilogues", "reductions"],
    "ops/dispatch": ["ops"],
    "ops/median": ["ops/dispatch"],
    "ops/gram": ["ops/dispatch"],
    "ops/hsic": ["ops/gram", "ops/median"],
    "ops/contrast": ["ops/dispatch"],
    "ops/distillation": ["ops/contrast"],
    "ops/sigmoid": ["ops/contrast"],
    "ops/neighbors": ["ops/hsic"],
    "bindings": ["ops/distillation", "ops/neighbors", "ops/sigmoid"],
}
MOST_FILES, MOST_LINES = 30, 300
SOURCES = sorted(path for path in CSRC.rglob("*.*") if path.suffix in (".cpp", ".hpp", ".cu", ".cuh"))
INCLUDES = [
    (path.relative_to(CSRC), name)
    for path in SOURCES
    for name in re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)', path.read_text(), re.MULTILINE)
]


def _folder(path):
    return str(Path(path).parent)


def _allowed(folder):
    return {folder}.union(*map(_allowed, STANDS_ON[folder]))


def test_every_source_lies_in_a_folder_of_the_rule():
    assert {_folder(path.relative_to(CSRC)) for path in SOURCES} == set(STANDS_ON)


def test_folders_include_only_what_they_stand_on():
    own = [(path, name) for path, name in INCLUDES if (CSRC / name).is_file()]
    assert len(own) > 300
    assert [(str(path), name) for path, name in own if _folder(name) not in _allowed(_folder(path))] == []


def test_no_folder_and_no_file_is_too_large():
    folders = {folder: len([*(CSRC / folder).glob("*.*")]) for folder in STANDS_ON}
    assert {folder: count for folder, count in folders.items() if count > MOST_FILES} == {}
    files = [*SOURCES, *PACKAGE.rglob("*.py")]
    lines = {str(path): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_a_source_and_its_twin_for_cuda_lie_side_by_side():
    folders = {path.stem: _folder(path) for path in SOURCES if path.suffix == ".cu"}
    own = [path for path in SOURCES if path.suffix == ".cpp" and "bindings" not in path.parts]
    twins = {path.stem: _folder(path) for path in own}
    both = folders.keys() & twins.keys()
    assert len(both) > 10
    assert {stem for stem in both if folders[stem] != twins[stem]} == set()


def test_hardware_is_a_suffix():
    first = {path.stem for path in SOURCES if re.match(r"amx|avx|cpu|cuda|gpu|hopper|simd", path.stem)}
    assert first - {"simd"} == {"cpu_quota", "cuda_devices"}  # what the file is about


def test_only_bindings_know_python_and_nothing_knows_torch():
    core = [(path, name) for path, name in INCLUDES if path.parts[0] != "bindings"]
    assert [(path, name) for path, name in core if name.startswith(("pybind11", "Python"))] == []
    assert [(path, name) for path, name in INCLUDES if name.startswith(("torch", "ATen", "c10"))] == []


def test_only_cu_and_cuh_include_cuda_and_only_the_primitives_name_it():
    cuda = {path for path, name in INCLUDES if re.match(r"cuda(_|\.h$)|cute/|cutlass/", name)}
    primitives = ("primitives.cuh", "ptx.cuh", "primitives_hopper.cuh", "ptx_hopper.cuh")
    own = {Path("engine/instructions", name) for name in primitives} | {Path("support/cuda_devices.cu")}
    assert {path for path in cuda if path.suffix not in (".cu", ".cuh")} == set()
    assert cuda == own
    kernels = [path for path in CSRC.rglob("*.cu*") if path.relative_to(CSRC) not in own]
    assert len(kernels) > 10
    assert [path.name for path in kernels if re.search(r"\basm\b|__CUDACC__", path.read_text())] == []


def test_a_launch_returns_its_own_error_and_leaves_those_of_others():
    sources = {path: path.read_text() for path in [*CSRC.rglob("*.cu"), *CSRC.rglob("*.cuh")]}
    assert [path.name for path, text in sources.items() if "<<<" in text] == []
    asking = {path.name: text.count("cudaGetLastError") for path, text in sources.items()}
    # Each after a failed call made here.
    assert {name: count for name, count in asking.items() if count} == {"ptx.cuh": 1, "cuda_devices.cu": 1}
    assert "cudaLaunchKernelEx(" in (CSRC / "engine/instructions/ptx.cuh").read_text()


# Lowest first; modules in one line may import each other. "_" is every other private module, "*" every
# other public one.
LAYERS = [
    ["_", "kernels"],
    ["_arrays"],
    ["_backends"],
    ["_problems"],
    ["_evaluate", "_sweep", "_checkpoint", "_scaled_sums"],
    ["_loss_calls", "_layer_calls", "_layer_chance", "_layer_intervals", "_dependence"],
    ["*", "reference", "_runtime", "_record"],
    ["torch", "analysis"],
    ["compat", "cli"],
]
# Imported by name from lower to higher layers, when a tensor is first passed. No more may be added.
LOADED_UPWARDS = {("_arrays.libraries", "torch._namespace")}


def _module(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path):
    """Every module of the package that a file imports, within functions as well."""
    own = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*own[: len(own) - node.level + 1], *([node.module] if node.module else [])]
            for alias in node.names:
                inner = PACKAGE.joinpath(*base, alias.name)
                is_module = not base or inner.with_suffix(".py").exists() or inner.is_dir()
                yield ".".join([*base, alias.name] if is_module else base)
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("gramless.")
            )


def _loads(path):
    """Every module of the package whose name a file passes to a function, such as import_module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for argument in node.args if isinstance(node, ast.Call) else ():
            if isinstance(argument, ast.Constant) and str(argument.value).startswith("gramless."):
                yield argument.value.partition(".")[2]


EDGES = {
    (_module(path), target)
    for path in sorted(PACKAGE.rglob("*.py"))
    for target in _imports(path)
    if _module(path) and target
}


def _layer(module):
    """The layer of a module: public modules without an entry have their own, private ones the lowest."""
    first = module.split(".")[0]
    where = first if any(first in names for names in LAYERS) else "_" if first.startswith("_") else "*"
    return next(i for i, names in enumerate(LAYERS) if where in names)


def test_modules_import_only_what_lies_below_them():
    own = {
        (module, target)
        for module, target in EDGES
        if not target.startswith(("_core", "_cuda")) and module.split(".")[0] != target.split(".")[0]
    }
    assert len(own) > 100
    assert {(module, target) for module, target in own if _layer(target) > _layer(module)} == set()


def test_one_module_is_loaded_from_below():
    loaded = {(_module(path), target) for path in PACKAGE.rglob("*.py") for target in _loads(path)}
    own = {(module, target) for module, target in loaded if module and not target.startswith("_cuda")}
    assert {(module, target) for module, target in own if _layer(target) > _layer(module)} == LOADED_UPWARDS


def _circles(edges):
    """The modules that import each other: those left after repeatedly removing modules without imports."""
    modules = {module for module, _ in edges}
    edges = {(module, target) for module, target in edges if target in modules and target != module}
    while True:
        importing = {module for module, _ in edges}
        kept = {(module, target) for module, target in edges if target in importing}
        if kept == edges:
            return {module for module, _ in edges}
        edges = kept


def test_no_module_imports_itself_through_others():
    assert _circles(EDGES) == set()


def test_what_the_package_imports_imports_nothing_of_the_package_itself():
    above = ("torch", "compat", "cli", "analysis")
    of_package = {(module, target) for module, target in EDGES if target.startswith("__")}
    assert {edge for edge in of_package if edge[0].split(".")[0] not in above} == set()


def test_only_what_is_for_torch_imports_it():
    importing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            if any(name.partition(".")[0] == "torch" for name in names):
                importing.add(_module(path).partition(".")[0])
    assert importing == {"torch", "compat", "cli"}


def test_the_core_is_called_by_backends_and_asked_for_settings():
    own = {module for module, target in EDGES if target.startswith("_core")}
    assert {module for module in own if not module.startswith("_backends.")} == {"_runtime", "_checkpoint"}
    assert {module for module, target in EDGES if target.startswith("_cuda")} == set()


def test_public_modules_ask_for_no_library_and_no_device():
    private = ("_", "torch", "analysis", "reference", "cli", "compat")
    asking = {
        (str(path.relative_to(PACKAGE)), name)
        for path in sorted(PACKAGE.rglob("*.py"))
        if not str(path.relative_to(PACKAGE)).startswith(private)
        for name in re.findall(
            r"\b(is_tensor|is_on_device|on_device|cuda_module|sys\.modules)\b", path.read_text()
        )
    }
    assert asking == set()
