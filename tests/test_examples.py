"""The examples' README says what their runs gave."""

from __future__ import annotations

from pathlib import Path

import pytest

tables = pytest.importorskip("benchmarks.pages.example_tables")
EXAMPLES = Path(__file__).parents[1] / "examples"


def test_every_table_has_its_place():
    text = tables.FILE.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text for name in (*tables.TABLES, *tables.OF_RUNS))


@pytest.mark.parametrize("number", ["| 9 of 10 |", " s of CPU and "])
def test_another_number_would_be_found(number):
    text = tables.FILE.read_text(encoding="utf-8")
    changed = text.replace(number, number.replace("| 9", "| 10").replace(" s", "0 s"))
    assert changed != text
    assert tables.redrawn(changed) == text


def test_every_example_is_measured():
    examples = pytest.importorskip("benchmarks.examples")
    written = {path.stem for path in EXAMPLES.glob("[!_]*.py")}
    assert set(examples.EXAMPLE_OUT) == written
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}.py` |" in text for name in written)
