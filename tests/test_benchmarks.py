"""What benchmarks say of rivals: a part of a package alone, and a rival that is not there."""

from __future__ import annotations

import sys

import pytest

FIELDS = ("kind", "n", "d", "layers", "kernel", "bandwidth", "estimator", "offset")
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


def test_a_rival_that_is_not_installed_stands_in_its_row():
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    from benchmarks.measure import absent
    from benchmarks.problems import PROBLEMS
    from benchmarks.rivals import Rival
    from benchmarks.tables import table

    nobody = Rival("nobody", "no_such_package", lambda problem: True, lambda problem, xs: 0)
    problem = PROBLEMS["field-rbf"]
    assert absent(problem, [nobody]) == {"nobody": {"failed": "not installed"}}
    entry = {name: getattr(problem, name) for name in FIELDS}
    row = table([entry | {"rivals": absent(problem, [nobody])}])[-1]
    assert row.endswith("| nobody | not installed | | | | | | |")
    assert absent(PROBLEMS["sweep-rbf"], [nobody]) == {}  # where only others are asked for
