"""Benchmarks with a part of a package, with a missing package, and the memory of other processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gramless
import pytest

parts = pytest.importorskip("benchmarks.parts")


@pytest.fixture
def heavy(tmp_path, monkeypatch):
    """A package that cannot be imported, save for one file."""
    inner = tmp_path / "heavy" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        (folder / "__init__.py").write_text("raise ImportError('asks for too much')\n")
    (inner / "light.py").write_text("from heavy.other import unused\nfrom heavy import other\nanswer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "heavy"]:
        del sys.modules[name]


def test_a_part_comes_without_the_packages_around_it(heavy):
    with pytest.raises(ImportError, match="asks for too much"):
        __import__("heavy.inner.light")
    assert parts.part("heavy.inner.light", unused=["heavy.other", "heavy.other.unused"]).answer == 42
    assert parts.part("heavy.inner.light") is sys.modules["heavy.inner.light"]


def test_a_part_of_what_is_not_installed_says_so():
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed"):
        parts.part("no_such_package.part")


def test_time_and_memory_are_those_of_the_command_and_its_children():
    own = bytearray(300_000_000)  # what a process starts begins with its peak, so this one must not be seen
    alone = Path(__file__).parents[1] / "benchmarks/alone.py"
    work = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(100_000_000)'])"
    done = subprocess.run(
        [sys.executable, alone, sys.executable, "-c", work], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert 100e6 < found["peak_bytes"] < 200e6 < len(own)
    assert min(found["cpu_seconds"], found["seconds"]) > 0


def test_a_command_that_fails_says_why():
    alone = Path(__file__).parents[1] / "benchmarks/alone.py"
    done = subprocess.run(
        [sys.executable, alone, sys.executable, "-c", "raise SystemExit('no data')"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "no data"


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_the_truth_of_errors_is_the_reference_of_the_same_numbers(kernel):
    """The reference computes all differences of rows, most of the time of `benchmarks.accuracy`."""
    pytest.importorskip("torch")
    from benchmarks import accuracy

    for x, y in (
        accuracy.with_outlier(1e6, 0),
        accuracy.related(64, 400, 1e4, 1),
        accuracy.in_units(1e-20, 2),
    ):
        expected = gramless.reference.cka(x.astype(float), y.astype(float), kernel=kernel)
        assert accuracy.truth_of(x, y, kernel) == pytest.approx(expected, abs=1e-10)
