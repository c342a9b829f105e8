"""Compiles the core once per fault, only the sources that the fault affects: one ISA, little optimisation."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FLAGS = shlex.split(
    "-std=gnu++20 -O1 -fPIC -fvisibility=hidden -w -pthread "
    "-DGRAMLESS_ISA=baseline -DGRAMLESS_VECTOR_BYTES=32 -I csrc -I tests/cpp"
)
WIDE_VECTORS = ["-UGRAMLESS_VECTOR_BYTES", "-DGRAMLESS_VECTOR_BYTES=64"]
MATRIX_UNIT = [*WIDE_VECTORS, "-DGRAMLESS_MATRIX_UNIT", "-mno-amx-bf16"]
# Of CPU time for a source with several faults: copies of functions that are inlined into each other multiply.
MOST_SECONDS = 60
LIMITED = ["bash", "-c", 'ulimit -t "$0" && exec "$@"']
COMPILER = [*(["ccache"] if shutil.which("ccache") else []), os.environ.get("CXX", "g++")]


class NotCompiled(RuntimeError):
    """A fault that does not compile."""


class Build:
    """Object files of a copy of the sources. Only those that include a faulty file are compiled again."""

    def __init__(self, root: Path, objects: Path, flags: Sequence[str] = (), jobs: int = 2) -> None:
        objects.mkdir()
        self.root, self.objects = root, objects
        self.jobs = jobs
        self.planted(())
        native = subprocess.run(
            [*COMPILER, "-march=native", "-E", "-x", "c++", os.devnull], capture_output=True, check=False
        )
        self.flags = [*FLAGS, *(["-march=native"] if native.returncode == 0 else []), *flags]

    def planted(self, files: Iterable[Path], together: bool = False) -> None:
        """Records the files that differ from the sources of the kept object files."""
        self._faulty = {str(file) for file in files}
        self._limit = MOST_SECONDS if together else None
        self._with_fault: set[str] = set()  # sources compiled since
        self._linked: dict[Path, list[Path]] = {}  # the files changed since then

    def tests(self, names: list[str]) -> Path:
        """An executable of the C++ tests of these names; tests that include no op are linked without ops."""
        own = self._compile(["tests/cpp/main.cpp", *(f"tests/cpp/test_{name}.cpp" for name in names)])
        uses_ops = any("csrc/ops/" in (self.objects / f"{o.name.split('.')[0]}.d").read_text() for o in own)
        folders = ["support", "engine", "ops"] if uses_ops else ["support", "engine"]
        target = self.objects / f"tests_{'_'.join(names)}"
        return self._link([*own, *self._compile(self._sources(folders))], target, [])

    def extension(self, package: Path) -> None:
        """gramless._core, in a copy of the package."""
        objects = self._compile(self._sources(["support", "engine", "ops", "bindings"]))
        linked = self._link(objects, self.objects / "_core.so", ["-shared"])
        replace_core(package, linked)

    def _sources(self, folders: list[str]) -> list[str]:
        found = (
            source for folder in folders for source in sorted((self.root / "csrc" / folder).rglob("*.cpp"))
        )
        return [str(source.relative_to(self.root)) for source in found if not source.stem.endswith("_cuda")]

    def _compile(self, sources: list[str]) -> list[Path]:
        with ThreadPoolExecutor(self.jobs) as threads:
            return list(threads.map(self._object, sources))

    def _link(self, objects: list[Path], target: Path, options: list[str]) -> Path:
        if self._linked.get(target) != objects:
            self._run([*COMPILER, *options, *map(str, objects), "-pthread", "-o", str(target)])
            self._linked[target] = objects
        return target

    def _object(self, source: str) -> Path:
        kept = self.objects / source.replace("/", "_").replace(".cpp", ".o")
        parts, faulty = kept.with_suffix(".d"), kept.with_suffix(".faulty.o")
        if source in self._with_fault:
            return faulty
        if kept.exists() and not self._holds_fault(parts):
            return kept
        python: list[str] = []
        if "bindings" in source:
            import pybind11

            python = [
                "-I",
                sysconfig.get_path("include"),
                "-I",
                pybind11.get_include(),
                '-DGRAMLESS_VERSION="0"',
            ]
        record = ["-MMD", "-MF", str(parts)]
        self._run([*COMPILER, *self.flags, *python, *record, "-c", source, "-o", str(faulty)])
        if not self._holds_fault(parts):
            return faulty.rename(kept)
        self._with_fault.add(source)
        return faulty

    def _holds_fault(self, parts: Path) -> bool:
        return not self._faulty.isdisjoint(parts.read_text().split())

    def _run(self, command: list[str]) -> None:
        limited = command if self._limit is None else [*LIMITED, str(self._limit), *command]
        done = subprocess.run(limited, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotCompiled(f"{shlex.join(command)}\n{done.stderr}")


def python_environment(root: Path) -> dict[str, str]:
    """The environment of tests of the copied package instead of the installed one."""
    return os.environ | {"PYTHONPATH": str(root / "python"), "PYTHONDONTWRITEBYTECODE": "1"}


def replace_core(package: Path, core: Path) -> None:
    """Writes the extension of a package as a new file, because processes may still use the previous one."""
    for old in package.glob("_core*.so"):
        old.unlink()
    shutil.copy(core, package / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}")
