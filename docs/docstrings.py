"""The plain text of our docstrings as reStructuredText: paragraphs, arguments, tables and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

ENTRY = re.compile(r'^(["\w]+"?(?:, ["\w]+"?)*): (?=\S)')  # "x, y: two arrays", '"biased": tr(K H L H)'
QUOTED = re.compile(r"(`[^`]+`)")
SPECIAL = re.compile(r"([\\*|_])")


def to_rst(lines: list[str]) -> list[str]:
    """Every block of lines between empty ones by itself."""
    found: list[str] = []
    for empty, block in groupby(lines, key=lambda line: not line.strip()):
        if not empty:
            found += [*_block(list(block)), ""]
    return found


def _block(lines: list[str]) -> list[str]:
    if lines[0].lstrip().startswith(">>>"):
        return lines
    if lines[0].startswith("|"):
        return list(_table(lines))
    if any(ENTRY.match(line) for line in lines):
        return list(_entries(lines))
    return [_escaped(line.strip()) for line in lines]


def _entries(lines: list[str]) -> Iterator[str]:
    """A list, one item for every argument; what stands before it is a paragraph."""
    listed = False
    for line in lines:
        entry = ENTRY.match(line)
        if entry:
            if not listed:
                yield ""
            listed = True
            yield f"- **{_escaped(entry[1])}**: {_escaped(line[entry.end() :])}"
        else:
            yield ("  " if listed else "") + _escaped(line.strip())


def _table(lines: list[str]) -> Iterator[str]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    yield from [".. list-table::", "   :header-rows: 1", ""]
    for row in rows[:1] + rows[2:]:
        for i, cell in enumerate(row):
            yield f"   {'* -' if i == 0 else '  -'} {_escaped(cell)}"


def _escaped(text: str) -> str:
    parts = QUOTED.split(text)
    return "".join(part if QUOTED.fullmatch(part) else SPECIAL.sub(r"\\\1", part) for part in parts)
