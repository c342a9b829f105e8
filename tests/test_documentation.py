"""What the documentation shows runs: the examples of every docstring, and the Python of README.md."""

import doctest
import importlib
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


def test_readme_examples_run(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    exec("\n".join(blocks), {"__name__": "readme"})
