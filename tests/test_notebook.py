"""Notebooks of the documentation run and reproduce their committed outputs."""

from __future__ import annotations

import importlib.util
import re
from itertools import zip_longest
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "docs").rglob("*.ipynb"))
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def printed(cell):
    """The text that a cell wrote, and the types of its displayed outputs."""
    outputs = cell["outputs"]
    text = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    shown = [sorted(output["data"]) for output in outputs if output["output_type"] != "stream"]
    return text, shown


def agree(committed, found):
    """Whether two texts are equal up to one unit in the last digit of numbers with decimals."""
    if NUMBER.sub("#", committed) != NUMBER.sub("#", found):
        return False
    for a, b in zip(NUMBER.findall(committed), NUMBER.findall(found), strict=True):
        decimals = len(a.partition(".")[2])
        if abs(float(a) - float(b)) > (1.001 * 10.0**-decimals if decimals else 0):
            return False
    return True


def test_numbers_agree_in_all_digits_but_the_last():
    assert agree("0.95, 12 cells", "0.96, 12 cells")
    assert not agree("0.95, 12 cells", "0.97, 12 cells")
    assert not agree("0.95, 12 cells", "0.95, 13 cells")
    assert not agree("0.95, 12 cells", "0.95, 12 rows")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.filterwarnings("default")  # those of the tools that run it
def test_a_notebook_gives_what_stands_in_it(file, tmp_path):
    missing = [
        name
        for name in ("nbclient", "ipykernel", "matplotlib", "sklearn")
        if not importlib.util.find_spec(name)
    ]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    import nbclient
    import nbformat

    notebook = nbformat.read(file, as_version=4)
    committed = [printed(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert all(text or shown for text, shown in committed), "a cell has no output: run the notebook whole"
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    found = [printed(cell) for cell in notebook.cells if cell.cell_type == "code"]
    for (text, shown), (text_now, shown_now) in zip_longest(committed, found):
        assert agree(text, text_now), f"{text}\nbut now\n{text_now}"
        assert shown == shown_now
