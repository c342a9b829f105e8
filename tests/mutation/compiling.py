"""The core compiled once per fault, as little of it as the fault touches: one ISA, optimised little."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FLAGS = shlex.split(
    "-std=gnu++20 -O1 -fPIC -fvisibility=hidden -w -pthread "
    "-DGRAMLESS_ISA=baseline -DGRAMLESS_VECTOR_BYTES=32 -I csrc -I tests/cpp"
)
WIDE_VECTORS = ["-UGRAMLESS_VECTOR_BYTES", "-DGRAMLESS_VECTOR_BYTES=64"]
MATRIX_UNIT = [*WIDE_VECTORS, "-DGRAMLESS_MATRIX_UNIT", "-mno-amx-bf16"]
COMPILER = [*(["ccache"] if shutil.which("ccache") else []), os.environ.get("CXX", "g++")]


class NotCompiled(RuntimeError):
    """A fault that is no program."""


class Build:
    """Objects of a copy of the sources. Only those that a faulty file goes into are compiled again."""

    def __init__(self, root: Path, objects: Path, flags: Sequence[str] = ()) -> None:
        objects.mkdir()
        self.root, self.objects = root, objects
        self.faulty: Path | None = None  # what differs from the sources the kept objects were compiled from
        native = subprocess.run(
            [*COMPILER, "-march=native", "-E", "-x", "c++", os.devnull], capture_output=True, check=False
        )
        self.flags = [*FLAGS, *(["-march=native"] if native.returncode == 0 else []), *flags]

    def tests(self, names: list[str]) -> Path:
        """An executable of the C++ tests of these names; those that include no op are linked with none."""
        own = self._compile(["tests/cpp/main.cpp", *(f"tests/cpp/test_{name}.cpp" for name in names)])
        uses_ops = any("csrc/ops/" in (self.objects / f"{o.name.split('.')[0]}.d").read_text() for o in own)
        folders = ["support", "engine", "ops"] if uses_ops else ["support", "engine"]
        return self._link([*own, *self._compile(self._sources(folders))], self.objects / "tests", [])

    def extension(self, package: Path) -> None:
        """gramless._core, in a copy of the package."""
        objects = self._compile(self._sources(["support", "engine", "ops", "bindings"]))
        for old in package.glob("_core*.so"):
            old.unlink()
        self._link(objects, package / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}", ["-shared"])

    def _sources(self, folders: list[str]) -> list[str]:
        found = (
            source for folder in folders for source in sorted((self.root / "csrc" / folder).rglob("*.cpp"))
        )
        return [str(source.relative_to(self.root)) for source in found if not source.name.startswith("cuda_")]

    def _compile(self, sources: list[str]) -> list[Path]:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            return list(threads.map(self._object, sources))

    def _link(self, objects: list[Path], target: Path, options: list[str]) -> Path:
        self._run([*COMPILER, *options, *map(str, objects), "-pthread", "-o", str(target)])
        return target

    def _object(self, source: str) -> Path:
        kept = self.objects / source.replace("/", "_").replace(".cpp", ".o")
        parts = kept.with_suffix(".d")
        stale = self.faulty is not None and parts.exists() and str(self.faulty) in parts.read_text().split()
        if kept.exists() and not stale:
            return kept
        target = kept.with_suffix(".faulty.o") if stale else kept
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
        record = [] if stale else ["-MMD", "-MF", str(parts)]
        self._run([*COMPILER, *self.flags, *python, *record, "-c", source, "-o", str(target)])
        return target

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotCompiled(f"{shlex.join(command)}\n{done.stderr}")


def python_environment(root: Path) -> dict[str, str]:
    """For tests of the copied package instead of the installed one."""
    return os.environ | {"PYTHONPATH": str(root / "python"), "PYTHONDONTWRITEBYTECODE": "1"}


PYTEST = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--slow"]
