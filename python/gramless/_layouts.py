"""Layouts of saved or recorded activations in letters: "NCHW", "NLC". It knows no arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ._globs import covers

LayoutLike: TypeAlias = "str | Sequence[str] | Mapping[str, str | Sequence[str]] | None"

COMMON = {3: ("NCL", "NLC", "LNC"), 4: ("NCHW", "NHWC"), 5: ("NCDHW", "NDHWC")}


def check_text(function: str, text: object) -> str:
    """Raises ValueError unless text has one letter for each dimension, N and C once among them."""
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
    """Which of two arrays may have tokens for rows, how many for each example, and how many examples; None
    where neither number of rows is a multiple of the other.

    >>> tokens_for_each("x", 64, "y", 640)
    ('y', 10, 64)
    """
    (examples, _), (rows, name) = sorted([(rows_x, name_x), (rows_y, name_y)])
    several = 1 < examples < rows and rows % examples == 0
    return (name, rows // examples, examples) if several else None


def rows_hint(name_x: str, shape_x: Sequence[int], name_y: str, shape_y: Sequence[int]) -> str:
    """The end of an error where two arrays differ in rows: what to do where the examples are the columns of
    one, or where one has tokens for rows.

    >>> rows_hint("x", (64, 5), "y", (9, 64))
    '; pass y.T where the columns of y are the examples'
    >>> rows_hint("x", (64, 5), "y", (640, 5)).partition(",")[0]
    '; if y has 10 tokens for each example'
    """
    sides = (name_y, shape_y, shape_x), (name_x, shape_x, shape_y)
    turned = [name for name, own, other in sides if own[1] == other[0] > 1]
    if turned:
        return "; " + ", or ".join(
            f"pass {name}.T where the columns of {name} are the examples" for name in turned
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
    """The layouts that are usual for so many dimensions, for an error; first: only with examples first."""
    usual = [text for text in COMMON.get(dimensions, ()) if text[0] == "N" or not first]
    return " or ".join(f'"{text}"' for text in usual) or 'a string such as "N" + positions + "C"'


class Layouts:
    """The layouts that a user gave: one text for all layers, several for several numbers of dimensions, or a
    mapping from names and patterns to these.

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
        """The layout of a layer with so many dimensions, by the first entry that covers it and fits.

        Raises ValueError where an entry has the layer's very name and does not fit.
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
        """Raises ValueError for an entry that covers none of the layers."""
        check_patterns(self._function, "layout", [p for p in self._patterns if p != "**"], names)


def check_patterns(function: str, argument: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    """Raises ValueError for a pattern that covers none of the layers."""
    for pattern in patterns:
        if not any(covers(pattern, name) for name in names):
            shown = ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
            raise ValueError(
                f"{function}: {argument}[{pattern!r}] is for no layer that is compared; these are {shown}"
            )
