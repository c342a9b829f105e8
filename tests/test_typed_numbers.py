"""No page has a measured number that was typed: results generate it, or typed_numbers.toml says what it is.

A quantity is a number with a unit, a decimal or a large number. The test skips code, formulas, generated
parts of pages, sentences with a citation, and the changelogs, which keep the numbers of their releases.
"""

from __future__ import annotations

import ast
import functools
import json
import math
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHOLLY_GENERATED = {"docs/benchmarks.md", "docs/benchmarks_all.md"}
CHANGELOGS = {"CHANGELOG.md", "docs/changelog.md"}
OF_VERSIONS = {
    "docs/platforms.md",
    "docs/howto/who_does_what.md",
}  # whose decimals without a unit are versions

NUMBER = r"(?<![\w.,/^-])(?:\d[\d,]*\d|\d)(?:\.\d+)?(?:e-?\d+)?"
UNITS = (
    r"ms|us|s|(?:micro|milli)?seconds?|minutes?|hours?|[kMG]i?B|[GT]B/s|bytes?|pages|[MGT]?FLOPs?(?:/s)?|"
    r"instructions?|multiply-adds|cycles?|x(?! \d)|times|points|digits|ulps?|units|tests|faults"
)
WITH_UNIT = rf"{NUMBER}(?:(?: to | and | or |, ){NUMBER})*\s?(?:(?:{UNITS})\b|%)"
POWER_OF_TEN = r"(?<![\w.-])\d+(?:\.\d+)?e-?\d+"
LARGE = r"(?<![\w.,])\d{1,3}(?:,\d{3})+"
DECIMAL = r"(?<![\w.])(?<!\w-)\d+\.\d+"
ON_PAGES = re.compile("|".join((WITH_UNIT, POWER_OF_TEN, LARGE, DECIMAL)))
IN_DOCSTRINGS = re.compile(WITH_UNIT)

GENERATED = re.compile(r"<!-- ([\w ]+?)(:? ?begin)? -->\n(?:(?!<!-- ).)*<!-- (?:\1:? ?)?end -->", re.DOTALL)
CODE = re.compile(r"```.*?```|``[^`]+``|`[^`\n]+`", re.DOTALL)
FORMULA = r"\$\$.*?\$\$|\$[^$\n]+(?:\n[^$\n]+)?\$"
OTHERS = re.compile(FORMULA + r"|\{\{[^}]*\}\}|<!--.*?-->|\]\([^)]*\)|\b(?:https?|arXiv):\S+", re.DOTALL)
VERSION = r"\d+\.\d+\b(?! ?%)"
NAMED = r"\b(?:C?Python|numpy|torch|glibc|Ubuntu|CMake|nvcc|CUDA|compute\s+capability)"
VERSIONS = re.compile(rf"\b\d+\.\d+\.\d+\b|{NAMED}\s+{VERSION}(?:(?:, | and | to ){VERSION})*|\b\d\.\d+t\b")
CITATION = re.compile(r"\b[A-Z]\w+(?: et al\.,?|,? and [A-Z]\w+)? \(?(?:19|20)\d\d[a-z]?\b")
END = re.compile(r"(?<! al)[.?!](?=\s)|\n\s*\n|\n(?=\||- )")


def blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def sections(text: str) -> list[str]:
    return re.split(r"^(?=##? )", text, flags=re.MULTILINE)


def names_of(generated: list[str]) -> str:
    """The first row and the first column of generated tables: what their rows and columns are called."""
    tables = [part for text in generated for part in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    rows = [(i, row) for table in tables for i, row in enumerate(table.splitlines())]
    return "\n".join(row if i == 0 else row.split("|")[1] for i, row in rows)


def sentence_around(text: str, start: int, end: int) -> str:
    begin = max((found.end() for found in END.finditer(text, 0, start)), default=0)
    after = END.search(text, end)
    return text[begin : after.end() if after else len(text)]


def typed(text: str, quantities: re.Pattern[str] = ON_PAGES) -> list[tuple[str, str]]:
    """(quantity, its sentence) of all that stands in a text and is not from code, results or a paper."""
    found = []
    for part in sections(text):
        names = names_of([generated[0] for generated in GENERATED.finditer(part)])
        shown = "\n".join([*CODE.findall(part), names]).replace("_", "")
        prose = blank(VERSIONS, blank(OTHERS, blank(CODE, blank(GENERATED, part))))
        for quantity in quantities.finditer(prose):
            sentence = sentence_around(prose, *quantity.span())
            digits = re.findall(r"\d[\d,.]*(?:e-?\d+)?", quantity[0])
            if CITATION.search(sentence) or all(
                re.search(rf"(?<![\w.]){re.escape(each.replace(',', ''))}(?![\d.])", shown) for each in digits
            ):
                continue
            found.append((" ".join(quantity[0].split()), " ".join(sentence.split())))
    return found


def notebook(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = (f"```\n{''.join(cell['source'])}\n```" for cell in cells if cell["cell_type"] == "code")
    return "\n".join([*("".join(c["source"]) for c in cells if c["cell_type"] == "markdown"), *code])


def docstrings(path: Path) -> list[str]:
    """Those of a module, without examples, whose output is tested, and without references."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    found = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented)]
    return [re.split(r"References\n-|Examples\n-|>>> ", text)[0] for text in found]


@pytest.fixture(autouse=True)
def whole_repository():
    if not (ROOT / ".github").exists():
        pytest.skip("not the whole repository")


@functools.cache
def all_typed() -> list[tuple[str, str, str]]:
    """(file, quantity, sentence) of all pages and docstrings."""
    patterns = ("*.md", "docs/**/*.md", "docs/**/*.ipynb", "examples/*.md", "csrc/*.md", "python/**/*.py")
    found = []
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        name = str(path.relative_to(ROOT))
        if name in WHOLLY_GENERATED | CHANGELOGS:
            continue
        if path.suffix == ".py":
            own = [each for text in docstrings(path) for each in typed(text, IN_DOCSTRINGS)]
        else:
            own = typed(path.read_text(encoding="utf-8") if path.suffix == ".md" else notebook(path))
        if name in OF_VERSIONS:
            own = [each for each in own if not re.fullmatch(DECIMAL, each[0])]
        found += [(name, *each) for each in own]
    return found


def declared() -> dict[str, list[dict[str, str]]]:
    return tomllib.loads((ROOT / "tests/typed_numbers.toml").read_text(encoding="utf-8"))


def covers(entry: dict[str, str], quantity: str, sentence: str) -> bool:
    return quantity in entry["text"] and entry["text"] in sentence


def test_no_typed_number_is_measured():
    """Generate it from a result (benchmarks/pages), omit it, or say in typed_numbers.toml what it is."""
    entries = [entry for kind in declared().values() for entry in kind]
    assert [
        f"{name}: {quantity} in: {sentence}"
        for name, quantity, sentence in all_typed()
        if not any(covers(entry, quantity, sentence) for entry in entries)
    ] == []


def test_no_declaration_is_left_over():
    entries = [entry for kind in declared().values() for entry in kind]
    assert [
        entry["text"]
        for entry in entries
        if not any(covers(entry, quantity, sentence) for _, quantity, sentence in all_typed())
    ] == []


@pytest.mark.parametrize("entry", declared()["stated"], ids=lambda entry: entry["text"])
def test_the_file_that_is_named_says_so(entry):
    assert entry["says"] in (ROOT / entry["file"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", declared()["arithmetic"], ids=lambda entry: entry["text"])
def test_arithmetic_is_right(entry):
    """To the digits that are given: zeros at the end of an integer are none."""
    number = entry["number"].replace(",", "")
    mantissa, _, exponent = number.partition("e")
    digits = len(mantissa.partition(".")[2]) or len(mantissa.rstrip("0")) - len(mantissa)
    value = eval(entry["equals"], {"sqrt": math.sqrt})
    assert entry["number"] in entry["text"]
    assert abs(value - float(number)) <= 0.5000001 * 10.0 ** (int(exponent or 0) - digits)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 3.2 ms.", ["3.2 ms"]),
        ("At d = 64 it was 12 to 14 % slower, and 3x at 2,000.", ["12 to 14 %", "3x", "2,000"]),
        ("The CKA is 0.87 there.", ["0.87"]),
        ("It needs `320 MiB`, {{ bytes }}, $0.5$ and torch 2.13.", []),
        ("They find 5 % (Cai et al. 2020). We find 6 %.", ["6 %"]),
        ("A share of 0.25.\n\n```python\ncka(x, share=0.25)\n```", []),
        ("A share of 0.25.\n\n## Other\n\n```python\ncka(x, share=0.25)\n```", ["0.25"]),
        ("9 s.\n<!-- t -->\n| x | 5 s |\n|---|---|\n| a 7 s | 9 s |\n<!-- end -->\n5 s of 7 s.", ["9 s"]),
        ("Alike by 0.25 and 0.54 (r = -0.9), on 3.5 GB.", ["0.25", "0.54", "0.9", "3.5 GB"]),
    ],
)
def test_a_typed_number_would_be_found(text, found):
    assert [quantity for quantity, _ in typed(text)] == found
