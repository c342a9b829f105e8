"""The examples' README has the numbers of their runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

tables = pytest.importorskip("benchmarks.pages.example_tables")
EXAMPLES = Path(__file__).parents[1] / "examples"


def test_every_table_has_its_place():
    text = tables.FILE.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text for name in (*tables.TABLES, *tables.OF_RUNS))


@pytest.mark.parametrize(
    ("number", "other"), [("| 0.38 |", "| 0.48 |"), (" s of CPU and ", "0 s of CPU and ")]
)
def test_another_number_would_be_found(number, other):
    text = tables.FILE.read_text(encoding="utf-8")
    changed = text.replace(number, other)
    assert changed != text
    assert tables.redrawn(changed) == text


def test_every_example_is_measured():
    examples = pytest.importorskip("benchmarks.examples")
    written = {path.stem for path in EXAMPLES.glob("[!_]*.py")}
    assert set(examples.EXAMPLE_OUT) == written
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}.py` |" in text for name in written)


def test_they_are_listed_and_run_by_name():
    def run(*options):
        command = [sys.executable, "-m", "examples", *options]
        return subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent)

    done = run()
    lines = {line.split()[0] for line in done.stdout.splitlines() if "  " in line}
    assert {path.stem for path in EXAMPLES.glob("[!_]*.py")} <= lines
    assert "usage: independence_test.py" in run("independence_test", "--help").stdout
    wrong = run("indepedence_test")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(
        "there is no example 'indepedence_test': choose one of batch_and_temperature"
    )
