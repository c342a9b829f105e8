"""Faults of the CPU's kernels and of Python, in a copy of the tree of which few sources are compiled."""

from __future__ import annotations

import compileall
import contextlib
import dataclasses
import shutil
import subprocess
import sys
import time
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from py_compile import PycInvalidationMode

from compiling import MATRIX_UNIT, WIDE_VECTORS, Build, NotCompiled, python_environment, replace_core
from faults import ROOT, Fault
from forked_pytest import ForkedPytest
from switched import choice, plant

LEAST_LIMIT, SLOWER = 60, 5  # a fault may also hang: taking this many times longer counts as noticed
# Tests for a generated fault if the table has no fault of its file, or if those tests do not notice it.
BROAD_CPP = [
    "candidates", "contrast", "distillation", "guide", "jackknife", "kernel_sums", "ops", "sigmoid", "walk",
]  # fmt: skip
BROAD_PYTEST = [
    "tests/test_oracle.py", "tests/test_accuracy.py", "tests/test_agnostic.py", "tests/test_contrastive.py",
    "tests/test_contrastive_accuracy.py", "tests/test_conditioning.py", "tests/test_cosine.py",
    "tests/test_distance.py", "tests/test_distillation.py", "tests/test_exclusions.py",
    "tests/test_feature_space.py", "tests/test_guided.py", "tests/test_independence.py",
    "tests/test_intervals.py", "tests/test_laplace.py", "tests/test_many_rows.py", "tests/test_median.py",
    "tests/test_mutual_knn.py", "tests/test_outlier_rows.py", "tests/test_polynomial.py", "tests/test_rsa.py",
    "tests/test_siglip.py", "tests/test_sweep.py", "tests/test_tied_medians.py", "tests/test_units.py",
]  # fmt: skip


Tests = tuple[str, ...]


class Cpu:
    """Plants faults in a copy of the tree."""

    one_tree = True

    def __init__(self, folder: Path, known: Sequence[Fault], jobs: int) -> None:
        self.root = folder / "tree"
        self.known = known
        unwanted = shutil.ignore_patterns("__pycache__", "_core*.so", "results")
        for part in ("csrc", "python", "tests", "benchmarks", "docs"):
            shutil.copytree(ROOT / part, self.root / part, ignore=unwanted)
        for part in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / part, self.root)
        compileall.compile_dir(
            self.root / "python", quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH
        )
        self.builds = {
            "vectors": Build(self.root, folder / "objects", jobs=jobs),
            "wide vectors": Build(self.root, folder / "wide_objects", WIDE_VECTORS, jobs),
            "matrix unit": Build(self.root, folder / "matrix_objects", MATRIX_UNIT, jobs),
        }
        self.pytest = ForkedPytest(self.root, python_environment(self.root))
        self.seconds: dict[Tests, float] = {}  # of tests seen to pass without a fault

    def close(self) -> None:
        self.pytest.close()

    def together(self, fault: Fault) -> Hashable:
        """The common key of faults that may be compiled together."""
        return fault.built_for, fault.file_in(ROOT).suffix, bool(fault.pytest)

    def notices(self, faults: Sequence[Fault]) -> Iterator[bool]:
        """For each fault whether its tests, which pass without it, fail with it."""
        alone = len(faults) == 1
        seconds = self.seconds if alone else {}  # that the same tests take while no fault runs
        if alone and not self._time(faults[0], seconds, {}):
            raise RuntimeError(f"{faults[0].name}: its tests fail without it")
        with self._planted(faults):
            if not alone:
                self._build(faults)
            for fault in faults:
                if not self._time(fault, seconds, choice(faults, None)):
                    raise NotCompiled("the tests fail where no fault is chosen")
                limit = LEAST_LIMIT + SLOWER * seconds[_tests(fault)]
                yield not self._pass(fault, limit, choice(faults, fault))

    @contextlib.contextmanager
    def _planted(self, faults: Sequence[Fault]) -> Iterator[None]:
        before = plant(self.root, faults)
        build = self.builds[faults[0].built_for]
        build.planted(before, together=len(faults) > 1)
        try:
            yield
        finally:
            for path, text in before.items():
                (self.root / path).write_text(text, encoding="utf-8")
            build.planted(())

    def _time(self, fault: Fault, seconds: dict[Tests, float], chosen: dict[str, str]) -> bool:
        """Whether its tests pass without a fault; passing tests are timed once."""
        if _tests(fault) not in seconds:
            begun = time.monotonic()
            if not self._pass(fault, None, chosen):
                return False
            seconds[_tests(fault)] = time.monotonic() - begun
        return True

    def _build(self, faults: Sequence[Fault]) -> None:
        """Compiles all that they need, so that NotCompiled is raised before any is tried."""
        build = self.builds[faults[0].built_for]
        for names in {tuple(fault.cpp): None for fault in faults if fault.cpp}:
            build.tests(list(names))
        if any(fault.pytest for fault in faults):
            build.extension(self.root / "python/gramless")

    def with_tests(self, fault: Fault) -> list[Fault]:
        """A generated fault with tests that should notice it: those of its file's known faults, then more."""
        same = [one for one in self.known if Path(fault.file) == one.file_in(ROOT)]
        chosen = []
        for one in sorted(same, key=lambda one: bool(one.pytest)):
            tests = dataclasses.replace(
                fault, cpp=one.cpp, pytest=one.pytest, only=one.only, built_for=one.built_for
            )
            if tests not in chosen:
                chosen.append(tests)
        if including := names_including(fault.file):
            chosen.append(dataclasses.replace(fault, cpp=including))
        if fault.file.endswith(".py"):
            chosen += [dataclasses.replace(fault, pytest=tests) for tests in _tests_named_after(fault.file)]
        pytest = ["-m", "not slow", *BROAD_PYTEST]
        broad = {"pytest": pytest} if fault.file.endswith(".py") else {"cpp": BROAD_CPP, "pytest": pytest}
        return [*chosen, dataclasses.replace(fault, **broad)]

    def _pass(self, fault: Fault, limit: float | None, chosen: dict[str, str]) -> bool:
        build = self.builds[fault.built_for]
        if fault.cpp and not self._pass_cpp(build.tests(fault.cpp), fault.only, limit, chosen):
            return False
        if not fault.pytest:
            return True
        package = self.root / "python/gramless"
        if fault.file.endswith(".py"):
            copy_installed_core(package)
        else:
            build.extension(package)
        return self._pass_pytest(fault.pytest, limit, chosen)

    def _pass_cpp(self, tests: Path, only: str, limit: float | None, chosen: dict[str, str]) -> bool:
        try:
            done = subprocess.run(
                [tests, only, "-x"],
                cwd=self.root,
                env=python_environment(self.root) | chosen,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _did_not_end(tests, limit)
        return done.returncode == 0

    def _pass_pytest(self, arguments: Sequence[str], limit: float | None, chosen: dict[str, str]) -> bool:
        status = self.pytest.run(arguments, chosen, limit)
        if status is None:
            return _did_not_end(arguments, limit)
        if status > 1:  # below 0: a crash, which is noticed too
            raise RuntimeError(f"pytest did not run its tests but ended with {status}: {arguments}")
        return status == 0


def _did_not_end(tests: object, limit: float | None) -> bool:
    print(f"no end within {limit:.0f} s: {tests}", file=sys.stderr, flush=True)
    return False


def _tests(fault: Fault) -> Tests:
    return (str(fault.file.endswith(".py")), fault.built_for, *fault.cpp, fault.only, *fault.pytest)


def names_including(file: str) -> list[str]:
    """The C++ tests that include a header."""
    line = f'#include "{file.removeprefix("csrc/")}"'
    tests = sorted((ROOT / "tests/cpp").glob("test_*.cpp"))
    return [path.stem.removeprefix("test_") for path in tests if line in path.read_text(encoding="utf-8")]


def _tests_named_after(file: str) -> Iterator[list[str]]:
    """The tests named after a module, and those named after its folder."""
    for part in (Path(file).stem, Path(file).parent.name):
        if found := sorted((ROOT / "tests").glob(f"test_*{part.strip('_')}*.py")):
            yield [f"tests/{path.name}" for path in found]


def copy_installed_core(package: Path) -> None:
    """The extension as it is installed, for faults in Python."""
    from gramless import _core

    replace_core(package, Path(_core.__file__))
