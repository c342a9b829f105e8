"""Faults of the CPU's kernels and of Python, in a copy of the tree of which little is compiled."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from compiling import MATRIX_UNIT, PYTEST, WIDE_VECTORS, Build, python_environment
from faults import ROOT, Fault

LEAST_LIMIT, SLOWER = 60, 5  # a fault may also hang: what takes so many times longer is noticed as well
# What a generated fault has to fail where the table has no fault of its file, or those tests overlook it.
BROAD_CPP = ["contrast", "distillation", "jackknife", "kernel_sums", "ops", "walk"]
BROAD_PYTEST = [
    "tests/test_oracle.py", "tests/test_accuracy.py", "tests/test_agnostic.py", "tests/test_contrastive.py",
    "tests/test_contrastive_accuracy.py", "tests/test_conditioning.py", "tests/test_distillation.py",
    "tests/test_exclusions.py", "tests/test_extreme_rows.py", "tests/test_feature_space.py",
    "tests/test_laplace.py", "tests/test_many_rows.py", "tests/test_median.py", "tests/test_outlier_rows.py",
    "tests/test_sweep.py", "tests/test_tied_medians.py", "tests/test_units.py",
]  # fmt: skip


class Cpu:
    """Plants one fault at a time in a copy of the tree."""

    def __init__(self, folder: Path, known: Sequence[Fault]) -> None:
        self.root = folder / "tree"
        self.known = known
        unwanted = shutil.ignore_patterns("__pycache__", "_core*.so", "results")
        for part in ("csrc", "python", "tests", "benchmarks", "docs"):
            shutil.copytree(ROOT / part, self.root / part, ignore=unwanted)
        for part in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / part, self.root)
        self.builds = {
            "vectors": Build(self.root, folder / "objects"),
            "wide vectors": Build(self.root, folder / "wide_objects", WIDE_VECTORS),
            "matrix unit": Build(self.root, folder / "matrix_objects", MATRIX_UNIT),
        }
        self.seconds: dict[tuple[str, ...], float] = {}  # of tests seen to pass without a fault

    def notices(self, fault: Fault) -> bool:
        """Whether the fault's tests, which pass without it, fail with it."""
        path = fault.file_in(self.root)
        build, file = self.builds[fault.built_for], self.root / path
        compiled = path.suffix != ".py"
        before = file.read_text(encoding="utf-8")
        planted = fault.planted(before, path.suffix)
        tests = (str(compiled), fault.built_for, *fault.cpp, fault.only, *fault.pytest)
        if tests not in self.seconds:
            begun = time.monotonic()
            if not self._pass(fault, compiled, None):
                raise RuntimeError(f"{fault.name}: its tests fail without it")
            self.seconds[tests] = time.monotonic() - begun
        limit = LEAST_LIMIT + SLOWER * self.seconds[tests]
        file.write_text(planted, encoding="utf-8")
        build.faulty = path
        try:
            return not self._pass(fault, compiled, limit)
        finally:
            file.write_text(before, encoding="utf-8")
            build.faulty = None

    def with_tests(self, fault: Fault) -> list[Fault]:
        """A generated fault with what has to notice it: tests of known faults in its file, then more."""
        same = [one for one in self.known if Path(fault.file) == one.file_in(ROOT)]
        chosen = []
        for one in sorted(same, key=lambda one: bool(one.pytest)):
            tests = dataclasses.replace(
                fault, cpp=one.cpp, pytest=one.pytest, only=one.only, built_for=one.built_for
            )
            if tests not in chosen:
                chosen.append(tests)
        if fault.file.endswith(".py"):
            chosen += [dataclasses.replace(fault, pytest=tests) for tests in _tests_named_after(fault.file)]
        pytest = [test for test in BROAD_PYTEST if (ROOT / test).is_file()]
        broad = {"pytest": pytest} if fault.file.endswith(".py") else {"cpp": BROAD_CPP, "pytest": pytest}
        return [*chosen, dataclasses.replace(fault, **broad)]

    def _pass(self, fault: Fault, compiled: bool, limit: float | None) -> bool:
        build = self.builds[fault.built_for]
        if fault.cpp and not self._run([str(build.tests(fault.cpp)), fault.only], limit):
            return False
        if not fault.pytest:
            return True
        package = self.root / "python/gramless"
        if compiled:
            build.extension(package)
        else:
            copy_installed_core(package)
        return self._run([*PYTEST, *fault.pytest], limit)

    def _run(self, command: list[str], limit: float | None) -> bool:
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                env=python_environment(self.root),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        if command[: len(PYTEST)] == PYTEST and done.returncode > 1:  # below 0: a crash, which is noticed too
            raise RuntimeError(f"pytest did not run its tests but ended with {done.returncode}: {command}")
        return done.returncode == 0


def _tests_named_after(file: str) -> Iterator[list[str]]:
    """The tests named after a module, and those named after its folder."""
    for part in (Path(file).stem, Path(file).parent.name):
        if found := sorted((ROOT / "tests").glob(f"test_*{part.strip('_')}*.py")):
            yield [f"tests/{path.name}" for path in found]


def copy_installed_core(package: Path) -> None:
    """The extension as it is installed, for faults in Python."""
    from gramless import _core

    for old in package.glob("_core*.so"):
        old.unlink()
    shutil.copy(_core.__file__, package)
