"""The documentation's code runs: examples of every docstring, the Python of README.md and of docs/."""

import doctest
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
from pathlib import Path

import gramless
import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(gramless.__path__, "gramless.")
    if not module.name.endswith(("__main__", "_core", "_cuda"))
)


@pytest.mark.parametrize("name", ["gramless", *MODULES])
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:  # of an extra that is not installed
        pytest.skip(str(missing))
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(module).failed == 0


PAGES = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "```python" in path.read_text()),
]
PYTHON = re.compile(r"(?:<!-- ([^\n]*?) -->\n)?```python\n(.*?)```", re.DOTALL)


def _runs(mark):
    """Whether a block of Python runs here, by its mark: "not run: reason", "needs: package", "torchrun"."""
    kind, _, names = mark.partition(": ")
    assert kind in ("", "not run", "needs", "torchrun"), mark
    if kind == "needs":
        return all(importlib.util.find_spec(name) is not None for name in names.split(", "))
    return not kind


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(tmp_path)
    found = PYTHON.findall(page.read_text(encoding="utf-8"))
    blocks = [code for mark, code in found if _runs(mark)]
    if not blocks and found and all(mark.startswith("needs: ") for mark, _ in found):
        pytest.skip(f"{found[0][0]}, which is not installed")
    assert blocks
    exec("\n".join(blocks), {"__name__": page.stem})


PUBLIC = ("gramless", "gramless.torch", "gramless.analysis", "gramless.compat", "gramless.plot")


@pytest.mark.parametrize("name", PUBLIC)
def test_dir_shows_what_is_public(name):
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    module = importlib.import_module(name)
    optional = [name for name in ("jax", "torch") if importlib.util.find_spec(name) is not None]
    assert set(dir(module)) == {*module.__all__, *(optional if name == "gramless" else [])}


def test_every_public_name_stands_in_the_reference():
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/reference").glob("*.md"))
    described = set(re.findall(r"^\.\. auto(?:function|class):: (\w+)", pages, re.MULTILINE))
    for modules in re.findall(r"^\.\. every:: (.+)", pages, re.MULTILINE):  # docs/conf.py
        described.update(*(importlib.import_module(name).__all__ for name in modules.split()))
    modules = {"analysis", "compat", "plot", "reference", "__version__"}
    missing = [
        name
        for module in PUBLIC
        for name in importlib.import_module(module).__all__
        if name not in described | modules
    ]
    assert missing == []


def test_the_version_is_one_and_stands_in_the_changelog():
    declared = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert gramless.__version__ == importlib.metadata.version("gramless") == declared
    assert f"\n## {declared}" in (ROOT / "docs/changelog.md").read_text()
