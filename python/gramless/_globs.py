"""Patterns of layer names: * matches within one level, ** crosses dots. Depends on no models and no files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    special = r"\*\*\.|\*\*|\*|\?|\[!?\]?[^\]]*\]"
    translated, end = "", 0
    for found in re.finditer(special, pattern):
        translated += re.escape(pattern[end : found.start()]) + _translated(found[0])
        end = found.end()
    try:
        return re.compile(translated + re.escape(pattern[end:]), re.DOTALL)
    except re.error:  # the brackets are not a valid set of characters
        return re.compile(re.escape(pattern))


def _translated(token: str) -> str:
    if token.startswith("["):
        inner = token[1:-1].replace("\\", r"\\")
        return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
    return {"**.": r"(?:.*\.)?", "**": ".*", "*": r"[^.]*", "?": "[^.]"}[token]


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches: * any text in one level, ** across levels, ? and [abc] one character.

    >>> matches("blocks.0", "blocks.*"), matches("blocks.0.mlp", "blocks.*")
    (True, False)
    >>> matches("blocks.0.mlp", "blocks.**"), matches("mlp", "**.mlp")
    (True, True)
    """
    return name == pattern or _expression(pattern).fullmatch(name) is not None


def hint(names: Iterable[str], pattern: str) -> str:
    """The end of an error if no name matches: the same pattern with ** if that matches a name, or "".

    >>> hint(["blocks.0.mlp"], "blocks.*")
    "; 'blocks.**' matches 'blocks.0.mlp': * stays within one level, ** crosses dots"
    """
    deeper = re.sub(r"\*+", "**", pattern)
    below = next((name for name in names if name and deeper != pattern and matches(name, deeper)), None)
    if below is None:
        return ""
    return f"; {deeper!r} matches {below!r}: * stays within one level, ** crosses dots"


def left_out(names: Iterable[str], pattern: str) -> str:
    """A sentence on names that ? leaves out because their number has more digits, or "" if there are none.

    >>> left_out(["layer.1", "layer.10", "layer.11"], "layer.?")
    "'layer.?' leaves out 'layer.10' and 1 more: ? is one character, * any number of them"
    >>> left_out(["layer.1", "layer.10"], "layer.[0-9]")
    ''
    """
    longer = [name for name in names if "?" in pattern and _with_numbers(pattern).fullmatch(name)]
    missing = [name for name in longer if not matches(name, pattern)]
    if not missing or len(missing) == len(longer):
        return ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{pattern!r} leaves out {missing[0]!r}{more}: ? is one character, * any number of them"


@cache
def _with_numbers(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression in which each ? matches a whole number."""
    parts = [_expression(part).pattern for part in re.split(r"\?+", pattern)]
    try:
        return re.compile(r"\d+".join(parts), re.DOTALL)
    except re.error:  # ? inside brackets
        return re.compile(r"(?!)")


def covers(pattern: str, name: str) -> bool:
    """Whether the pattern matches the name, or the name of a module that contains it.

    >>> covers("encoder", "encoder.layers.0"), covers("encoder", "encoders.0")
    (True, False)
    """
    levels = name.split(".")
    return any(matches(".".join(levels[:count]), pattern) for count in range(1, len(levels) + 1))
