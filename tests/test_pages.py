"""Pages generated from results equal the committed ones, and name missing measurements."""

from __future__ import annotations

import json
import re
import shutil

import pytest

pytest.importorskip("benchmarks.pages")
from benchmarks.environment import ROOT
from benchmarks.pages import (
    benchmark_page,
    best_rows,
    example_tables,
    kernel_costs,
    main_page,
    readme,
    results,
    values,
    words,
)
from benchmarks.pages.__main__ import outdated
from benchmarks.plan import SECTIONS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the committed results that a test may change."""
    if not results.RESULTS.exists():
        pytest.skip("this tree has no results")
    found = tmp_path / "results"
    shutil.copytree(results.RESULTS, found)
    monkeypatch.setattr(results, "RESULTS", found)
    return found


def section(page, title):
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def change(folder, name, how):
    """Rewrites the problems of a section's results."""
    file = folder / f"{name}.json"
    found = json.loads(file.read_text())
    found["problems"] = [problem for problem in found["problems"] if how(problem) is not None]
    file.write_text(json.dumps(found))


def test_no_page_is_out_of_date(folder):
    assert [file.name for file, _ in outdated()] == []


def test_what_draws_pages_lies_in_one_package_with_one_entry():
    package = ROOT / "benchmarks/pages"
    files = [
        file for part in ("benchmarks", "docs", "examples", ".ci") for file in (ROOT / part).rglob("*.py")
    ]
    drawing = {
        file
        for file in files
        if re.search(r"\bredrawn\(|\bdraw_all\(|how_it_works\.draw\(", file.read_text())
    }
    assert len(drawing) > 5
    assert {file for file in drawing if package not in file.parents} == set()
    assert [file.name for file in package.glob("*.py") if "__main__" in file.read_text()] == ["__main__.py"]


def test_another_table_would_be_found(folder):
    for page in (readme, kernel_costs):
        text = page.FILE.read_text()
        begin, end = page.MARKS
        assert page.redrawn(words.replaced(text, page.MARKS, "old")) == text
        with pytest.raises(ValueError, match=begin):
            page.redrawn(text.replace(begin, end))


def test_a_section_without_results_is_named_on_every_page(folder):
    (folder / "rbf.json").unlink()
    title = SECTIONS["rbf"][0]
    said = "Not measured yet: `python -m benchmarks --section rbf` does."
    assert section(benchmark_page.redrawn(""), title).strip() == said
    table = readme.redrawn(readme.FILE.read_text())
    assert "Not measured yet: RBF CKA, sigma given, n 8,192, d 512; " in table
    found = values.substitutions()
    for name in ("alternatives_that_win", "alternatives_with_less_memory"):
        assert title in found[name].rpartition("so not looked through: ")[2]
    assert found["engine"] == found["machine_benchmarks"] == "(not measured yet)"
    (folder / "nt_xent.json").unlink()
    said = "Not measured yet: NT-Xent forward + backward, 2N 64, D 128; "
    assert said in values.substitutions()["floors"]


def test_no_results_at_all_are_said(folder):
    for file in folder.glob("*.json"):
        file.unlink()
    page = benchmark_page.redrawn("")
    for name in SECTIONS:
        assert results.not_measured(name) in page
    assert "Not measured yet: `python -m benchmarks.shipping` does." in page
    for text in (readme.redrawn(readme.FILE.read_text()), main_page.redrawn("")):
        assert "Not measured yet: `python -m benchmarks` does." in text
    assert "Not measured yet: `python -m benchmarks.examples" in example_tables.redrawn(
        example_tables.FILE.read_text()
    )
    found = values.substitutions()
    assert found["figure_cost_rows"] == results.not_measured("costs")
    unknown = ("more_accurate", "machine_accuracy", "floors", "levels", "few_rows", "coverage", "equality")
    assert {found[name] for name in unknown} == {"(not measured yet)"}


def test_a_problem_that_was_not_timed_is_named_in_its_section(folder):
    def interrupted(problem):
        if problem["name"] == "linear-512-512":
            return None
        if problem["name"] == "linear-8192-512":
            del problem["peak_gflops"]
        return problem

    change(folder, "linear", interrupted)
    said = "Not measured yet: `python -m benchmarks --section linear` does for "
    text = section(benchmark_page.redrawn(""), SECTIONS["linear"][0])
    assert said in text
    names = text.partition(said)[2].partition(".\n")[0]
    assert {"`linear-512-512`", "`linear-8192-512`"} <= set(names.split(", "))


def test_memory_that_was_not_measured_is_named_in_its_section(folder):
    planned = {problem.name for problem in SECTIONS["linear"][1]() if problem.memory}

    def forgotten(problem):
        for one in problem["contenders"].values():
            one.pop("peak_bytes", None)
        return problem

    change(folder, "linear", forgotten)
    said = "Peak memory is not measured yet: `python -m benchmarks --prepare --section linear` does for "
    text = section(benchmark_page.redrawn(""), SECTIONS["linear"][0])
    assert {f"`{name}`" for name in planned} == set(text.partition(said)[2].partition(".\n")[0].split(", "))
    assert "the peak memory is not measured yet" in values.substitutions()["alternatives_with_less_memory"]


def test_what_failed_is_named_where_the_table_has_no_row_for_it(folder):
    shutil.copy(folder / "rbf.json", folder / "sixteen_bits.json")

    def failed(problem):
        problem["contenders"] = {
            "gramless": problem["contenders"]["gramless"],
            "x": {"failed": "not installed"},
        }
        return problem

    change(folder, "sixteen_bits", failed)
    assert "Not in the table: x: not installed." in benchmark_page.redrawn("")


def test_exponents_are_those_of_the_last_two_points():
    assert results.exponent([1, 10, 20], [5, 1, 8]) == pytest.approx(3)


def test_the_page_of_main_rows_is_a_quarter_of_the_whole_and_names_what_is_missing(folder):
    text = main_page.redrawn("")
    assert 4 * text.count("\n") < benchmark_page.redrawn("").count("\n")
    assert "Not measured yet" not in text
    assert "none measured" not in text  # each row is a comparison
    (folder / "rbf.json").unlink()
    assert "Not measured yet: RBF CKA, sigma given, n 512, d 128; " in section(
        main_page.redrawn(""), "RBF CKA"
    )


def test_a_row_without_alternatives_says_whether_matrices_would_fit(folder):
    problem = json.loads((folder / "rbf.json").read_text())["problems"][0]
    problem["contenders"] = {"gramless": problem["contenders"]["gramless"]}
    assert "| none measured |" in best_rows.best_row(problem | {"n": 8_192})
    assert "| n x n does not fit |" in best_rows.best_row(problem | {"n": 100_000})
