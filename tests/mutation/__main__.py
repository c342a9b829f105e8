"""Plants every fault of faults.toml in a copy of the sources and sees whether the suite notices.

    python tests/mutation [--quick] [NAME ...]

A fault that no test notices is a test that is missing. --quick: those marked so, for every run of CI.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compiling import MATRIX_UNIT, PYTEST, WIDE_VECTORS, Build, python_environment
from faults import ROOT, Fault, read_faults

LEAST_LIMIT, SLOWER = 60, 5  # a fault may also hang: what takes so many times longer is noticed as well


class Mutation:
    """A copy of the tree, in which one fault at a time is planted."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        for part in ("csrc", "python", "tests"):
            shutil.copytree(ROOT / part, self.root / part, ignore=shutil.ignore_patterns("__pycache__"))
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
        build = self.builds[fault.built_for]
        tests = (fault.file.split("/")[0], fault.built_for, *fault.cpp, fault.only, *fault.pytest)
        if tests not in self.seconds:
            begun = time.monotonic()
            if not self._pass(fault, None):
                raise RuntimeError(f"{fault.name}: its tests fail without it")
            self.seconds[tests] = time.monotonic() - begun
        limit = LEAST_LIMIT + SLOWER * self.seconds[tests]
        file = self.root / fault.file
        before = file.read_text(encoding="utf-8")
        file.write_text(fault.planted(before), encoding="utf-8")
        build.faulty = Path(fault.file)
        try:
            return not self._pass(fault, limit)
        finally:
            file.write_text(before, encoding="utf-8")
            build.faulty = None

    def _pass(self, fault: Fault, limit: float | None) -> bool:
        if fault.cpp and not self._run(
            [str(self.builds[fault.built_for].tests(fault.cpp)), fault.only], limit
        ):
            return False
        if not fault.pytest:
            return True
        package = self.root / "python/gramless"
        if fault.file.startswith("csrc/"):
            self.builds[fault.built_for].extension(package)
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


def copy_installed_core(package: Path) -> None:
    """The extension as it is installed, for faults in Python."""
    from gramless import _core

    for old in package.glob("_core*.so"):
        old.unlink()
    shutil.copy(_core.__file__, package)


def main() -> int:
    """Tries the chosen faults; the number of those that nothing noticed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the name of a fault")
    parser.add_argument("--quick", action="store_true", help="only the faults marked quick")
    arguments = parser.parse_args()
    chosen = [
        fault
        for fault in read_faults()
        if (fault.quick or not arguments.quick)
        and (not arguments.names or any(name in fault.name for name in arguments.names))
    ]
    missed, started = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        mutation = Mutation(Path(folder))
        for fault in chosen:
            begun = time.monotonic()
            noticed = mutation.notices(fault)
            word = "noticed" if noticed else "NOT NOTICED"
            print(f"{word:12} {time.monotonic() - begun:5.1f} s  {fault.file}: {fault.name}", flush=True)
            if not noticed:
                missed.append(fault.name)
    print(f"{len(chosen)} faults, {len(missed)} not noticed, {time.monotonic() - started:.0f} s")
    return bool(missed) or not chosen


if __name__ == "__main__":
    sys.exit(main())
