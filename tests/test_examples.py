"""The examples' README says what their runs gave."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def tables():
    return runpy.run_path(str(EXAMPLES / "_tables.py"))


def test_tables_are_those_of_the_numbers(tables):
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text for name in tables["TABLES"])
    assert tables["filled"](text) == text


def test_another_number_would_be_found(tables):
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    changed = text.replace("| 9 of 10 |", "| 10 of 10 |")
    assert changed != text
    assert tables["filled"](changed) == text
