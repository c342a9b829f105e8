"""Numbers with three digits and their units, cells of tables, and the generated part of a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def number(value: float) -> str:
    """Three significant digits, never in scientific notation."""
    if value >= 100:
        return f"{value:,.0f}"
    return np.format_float_positional(float(f"{value:.3g}"), trim="-")


def duration(ms: float | None) -> str:
    if ms is None:
        return ""
    if ms >= 1000:
        return f"{number(ms / 1e3)} s"
    return f"{number(ms)} ms" if ms >= 1 else f"{number(ms * 1e3)} us"


def size(count: float | None) -> str:
    if count is None:
        return ""
    return f"{number(count / 1e9)} GB" if count >= 1e9 else f"{number(count / 1e6)} MB"


def times(ours: float | None, theirs: float | None) -> str:
    """A ratio, bold where an alternative is faster."""
    if not ours or not theirs:
        return ""
    text = f"{number(theirs / ours)}x"
    return text if theirs >= ours else f"**{text}**"


def row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], rule: str | None = None) -> str:
    """A table in Markdown; `rule` is the line below the head, which aligns columns."""
    return "\n".join([row(head), rule or row(["---"] * len(head)), *map(row, rows)])


def replaced(text: str, marks: tuple[str, str], generated: str) -> str:
    """The text of a page with the generated lines between two marks, each of which occurs once."""
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"the page has no {marks[0]} before {marks[1]}")
    return f"{before}{begin}\n{generated}\n{end}{after}"
