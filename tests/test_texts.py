"""Texts of the repository: their words, their links, one address and one version of it everywhere."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "examples").glob("*.md"),
    *(ROOT / "csrc").glob("*.md"),
]
WRITTEN = {".py", ".cpp", ".hpp", ".cu", ".cuh", ".md", ".toml", ".sh", ".ipynb"}
FOLDERS = ("python", "examples", "benchmarks", "docs", "csrc", "tests", "cmake", ".ci")
PROSE = [
    *ROOT.glob("*.md"),
    *(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in WRITTEN and path != Path(__file__)
    ),
]
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
# Words that a reader who is new to the field does not understand at first read, and replacements.
WORDS = {
    r"\b(nobody|somebody|everybody)('s)?\b": "name what does or does not",
    r"\b(is|are|was|were) told\b": "raises, receives, warns",
    r"\bgo(es|ne|ing)? on with\b": "resume, continue",
    r"\brivals?\b": "alternatives, baselines",
    r"\bhostile\b": "malformed, untrusted",
    r"\bwho(ever)? asks for\b": "a call that needs",
    r"\bthe same bits\b": "bitwise-identical",
    r"\b(derivatives?|gradients?) by\b": "with respect to",
    r"\b(first|second|last) cache\b": "L1, L2, last-level cache",
    r"\ball threads must come\b": "every thread must call this",
    r"\bin an afternoon\b": "naive code",
    r"^(<{7}|>{7}) ": "one side of the merge conflict",
}
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/gramless\b")


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("words", WORDS)
def test_prose_uses_plain_words(words):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PROSE
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(words, line, re.IGNORECASE)
    ]
    assert found == [], f"write {WORDS[words]} instead"


def test_relative_links_lead_to_files():
    if not (ROOT / ".github").exists():
        pytest.skip("not the whole repository")
    links = [(page, target) for page in PAGES for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert len(links) > 100
    broken = [
        f"{page.relative_to(ROOT)}: {target}" for page, target in links if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_page_stands_in_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w/]+)$", index, re.MULTILINE))
    pages = {
        str(page.relative_to(ROOT / "docs").with_suffix(""))
        for page in (ROOT / "docs").rglob("*.md")
        if page.parent.name != "reference" and page.name != "index.md"
    }
    assert pages - listed == set()


def test_formulas_within_a_line_fit_on_a_phone():
    """Wider ones are displayed, where they scroll. Every symbol counts as one character."""
    display = re.compile(r"\$\$.*?\$\$|```.*?```|`[^`\n]*`", re.DOTALL)
    formula = re.compile(r"\$([^$\n]+(?:\n[^$\n]+)?)\$")
    unseen = re.compile(r"\\(operatorname|mathrm|text|frac|sqrt|,)|[{}\s_^]")
    found = {
        inline: len(unseen.sub("", re.sub(r"\\(?!operatorname|mathrm|text|frac|sqrt)[a-zA-Z]+", "x", inline)))
        for page in (ROOT / "docs").rglob("*.md")
        for inline in formula.findall(display.sub("", page.read_text(encoding="utf-8")))
    }
    assert len(found) > 100
    assert [inline for inline, width in found.items() if width > 30] == []


def test_readme_fits_on_two_screens_and_begins_with_what_runs_where():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    first = "\n".join(lines[:5])
    for words in ("On CPUs", "On GPUs", "no GPU has run"):
        assert words in first


def test_the_repository_has_one_address():
    files = [*PAGES, *ROOT.glob("*.cff"), *(ROOT / ".github").rglob("*.yml"), ROOT / "pyproject.toml"]
    found = {address for file in files for address in ADDRESS.findall(file.read_text(encoding="utf-8"))}
    assert found == {project()["urls"]["Repository"]}


def test_a_citation_and_a_changelog_are_of_this_version():
    if not (ROOT / "CITATION.cff").exists():
        pytest.skip("not the whole repository")
    version = project()["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_an_index_of_packages_gets_absolute_links(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "cmake"))
    monkeypatch.chdir(ROOT)
    package_readme = pytest.importorskip("package_readme")
    about = {"urls": {"Repository": "https://host/owner/name/"}}
    found = package_readme.dynamic_metadata({}, about)["readme"]
    assert found["content-type"] == "text/markdown"
    assert LINK.findall(found["text"]) == []
    assert "](https://host/owner/name/raw/main/docs/images/demo.png)" in found["text"]
    assert "](https://host/owner/name/blob/main/docs/limits.md)" in found["text"]
    kept = "[a](https://x.org/y) [b](#part)"
    assert package_readme.absolute(kept, "https://h") == kept
    sys.modules.pop("package_readme", None)


def test_users_get_no_constraints_and_no_extras_of_a_package_that_no_index_has():
    developers = {"README.md", "CONTRIBUTING.md", "docs/contributing.md", "docs/benchmarks_all.md"}
    for path in PROSE:
        name = str(path.relative_to(ROOT))
        if name.startswith(("docs/", "python/", "README", "CONTRIBUTING")):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"pip install [^\n`]*gramless\[", text), name
            assert name in developers or "-c constraints" not in text, name
