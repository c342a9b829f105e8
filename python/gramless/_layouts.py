"""Layouts of saved or recorded activations as letters, such as "NCHW" and "NLC". Depends on no arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ._globs import covers

LayoutLike: TypeAlias = "str | Sequence[str] | Mapping[str, str | Sequence[str]] | None"

COMMON = {3: ("NCL", "NLC", "LNC"), 4: ("NCHW", "NHWC"), 5: ("NCDHW", "NDHWC")}


def check_text(function: str, text: object) -> str:
    """Raise ValueError unless text has different capital letters, one per dimension, among them N and C."""
    if (
        not isinstance(text, str)
        or not (text.isascii() and text.isalpha() and text.isupper())
        or len(set(text)) < len(text)
        or not {"N", "C"} <= set(text)
    ):
        raise ValueError(
            f"{function}: layout must have one capital letter for each dimension, N for examples, C for "
            f'features and others for positions, such as "NCHW" or "NLC", but is {text!r}'
        )
    return text


def tokens_for_each(name_x: str, rows_x: int, name_y: str, rows_y: int) -> tuple[str, int, int] | None:
    """The name of the array whose rows may be tokens, the tokens per example, and the number of examples;
    None if neither number of rows is a multiple of the other.

    >>> tokens_for_each("x", 64, "y", 640)
    ('y', 10, 64)
    """
    (examples, _), (rows, name) = sorted([(rows_x, name_x), (rows_y, name_y)])
    several = 1 < examples < rows and rows % examples == 0
    return (name, rows // examples, examples) if several else None


def rows_hint(name_x: str, shape_x: Sequence[int], name_y: str, shape_y: Sequence[int]) -> str:
    """The end of an error for arrays with different numbers of rows: what to do if the columns of one are the
    examples, or if the rows of one are tokens.

    >>> rows_hint("x", (64, 5), "y", (9, 64))
    '; pass y.T if the columns of y are the examples'
    >>> rows_hint("x", (64, 5), "y", (640, 5)).partition(",")[0]
    '; if y has 10 tokens for each example'
    """
    sides = (name_y, shape_y, shape_x), (name_x, shape_x, shape_y)
    turned = [name for name, own, other in sides if own[1] == other[0] > 1]
    if turned:
        return "; " + ", or ".join(
            f"pass {name}.T if the columns of {name} are the examples" for name in turned
        )
    found = tokens_for_each(name_x, shape_x[0], name_y, shape_y[0])
    if found is None:
        return ""
    name, tokens, examples = found
    return (
        f"; if {name} has {tokens} tokens for each example, one example after the other, average them first, "
        f"{name}.reshape({examples}, {tokens}, -1).mean(1), or flatten them, {name}.reshape({examples}, -1)"
    )


def choices(dimensions: int, first: bool = False) -> str:
    """The usual layouts for a number of dimensions, for an error. first: only those with examples first."""
    usual = [text for text in COMMON.get(dimensions, ()) if text[0] == "N" or not first]
    return " or ".join(f'"{text}"' for text in usual) or 'a string such as "N" + positions + "C"'


class Layouts:
    """The layouts that a user gave: one text for all layers, several texts for different numbers of
    dimensions, or a mapping from names and patterns to these.

    >>> Layouts("f", {"stem": "NCHW", "blocks.*": ["NHWC", "NLC"]}).given("blocks.0.norm", 3)
    'NLC'
    """

    def __init__(self, function: str, layout: LayoutLike) -> None:
        entries: Mapping[str, str | Sequence[str]]
        entries = layout if isinstance(layout, Mapping) else {} if layout is None else {"**": layout}
        self._function = function
        self._patterns: dict[str, list[str]] = {}
        for pattern, texts in entries.items():
            together = list(texts) if isinstance(texts, (list, tuple)) else [texts]
            if not isinstance(pattern, str) or not together:
                raise ValueError(f"{function}: layout must map names and patterns of layers to layouts")
            self._patterns[pattern] = [check_text(function, text) for text in together]

    def given(self, name: str, dimensions: int) -> str | None:
        """The layout of a layer from the first entry that covers its name and has its number of dimensions.

        Raises ValueError if an entry for exactly this name has another number of dimensions.
        """
        for pattern, texts in self._patterns.items():
            fitting = [text for text in texts if len(text) == dimensions]
            if not covers(pattern, name):
                continue
            if fitting:
                return fitting[0]
            if pattern == name and dimensions > 2:
                raise ValueError(
                    f"{self._function}: layout {texts[0]!r} of {name!r} has {len(texts[0])} letters, but the "
                    f"layer has {dimensions} dimensions"
                )
        return None

    def check_used(self, names: Sequence[str]) -> None:
        """Raise ValueError for an entry that covers none of the layers."""
        check_patterns(self._function, "layout", [p for p in self._patterns if p != "**"], names)


def check_patterns(function: str, argument: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    """Raise ValueError for a pattern that covers none of the layers."""
    for pattern in patterns:
        if not any(covers(pattern, name) for name in names):
            shown = ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
            raise ValueError(
                f"{function}: {argument}[{pattern!r}] matches none of the compared layers, which are {shown}"
            )
