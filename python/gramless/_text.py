"""Names as text that is safe for terminals and spreadsheets, and distinct for distinct names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

_FORMULA_STARTS = tuple("=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"
                        "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


def printable(text: str) -> str:
    """The text, which may come from a file, with control characters and lone surrogates as escapes.

    >>> printable("conv1\\x1b[2J")
    'conv1\\\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def distinct_printable(names: Iterable[str]) -> list[str]:
    """`printable` of every name; if two names would then be equal, with every backslash doubled.

    >>> distinct_printable(["a\\x1b", "a\\\\x1b"])
    ['a\\\\x1b', 'a\\\\\\\\x1b']
    """
    names = list(names)
    shown = [printable(name) for name in names]
    if len(set(shown)) < len(set(names)):
        shown = [printable(name.replace("\\", "\\\\")) for name in names]
    return shown


def csv_text(matrix: npt.NDArray[np.float64], names_a: Sequence[str], names_b: Sequence[str]) -> str:
    """The matrix with its layer names as CSV, with all digits, so that the values read back are equal.

    Names that a spreadsheet would read as a formula get an apostrophe in front.

    >>> csv_text(np.ones((1, 1)), ["=1+1"], ["conv1"])
    ",conv1\\n'=1+1,1.0\\n"
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["", *map(_cell, distinct_printable(names_b))])
    for name, values in zip(distinct_printable(names_a), matrix.tolist(), strict=True):
        writer.writerow([_cell(name), *map(repr, values)])
    return stream.getvalue()


def _cell(name: str) -> str:
    """The name with one more apostrophe in front if it is a formula behind its own: names stay distinct."""
    return f"'{name}" if name.lstrip("' ").startswith(_FORMULA_STARTS) else name


def left_out_text(left_out: Mapping[str, str] | Sequence[str], most: int | None = None) -> str:
    """The layers that were left out, grouped by reason. most: the number of names shown for each reason.

    Examples
    --------
    >>> left_out_text({"a": "never ran", "b": "never ran", "c": "never ran", "d": "returns str"}, 2)
    "'a', 'b' and 1 more (never ran), 'd' (returns str)"
    """
    reasons = left_out if isinstance(left_out, Mapping) else dict.fromkeys(left_out, "")
    together: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        together.setdefault(reason, []).append(name)
    texts = []
    for reason, names in together.items():
        more = 0 if most is None else max(len(names) - most, 0)
        shown = ", ".join(map(repr, names[: len(names) - more]))
        texts.append(f"{shown}{f' and {more} more' if more else ''}{f' ({reason})' if reason else ''}")
    if most is not None and len(texts) > most:
        rest = sum(len(names) for names in list(together.values())[most:])
        texts[most:] = [f"{rest} more for other reasons"]
    return ", ".join(texts)


def short(value: float) -> str:
    """A number with three significant digits, never in scientific notation."""
    return f"{value:,.0f}" if value >= 100 else np.format_float_positional(float(f"{value:.3g}"), trim="-")


def duration(seconds: float) -> str:
    """A duration in seconds; from 2 minutes, 2 hours or 2 days on, also in that unit.

    >>> duration(1.5), duration(29_688)
    ('1.5 s', '29,688 s (8.25 hours)')
    """
    units = {"days": 86400, "hours": 3600, "minutes": 60}
    words = [f" ({short(seconds / of)} {unit})" for unit, of in units.items() if seconds >= 2 * of]
    return f"{short(seconds)} s{words[0] if words else ''}"
