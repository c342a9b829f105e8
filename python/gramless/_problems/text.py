"""A problem as text and numbers: what is a constant of a traced graph, and what varies from call to call."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .contrast import Contrast, Ignoring
from .distillation import Distillation
from .hsic import Hsic
from .positives import Masked, Moco

NUMBER = "#"  # stands in the text for a float

_CLASSES = {cls.__name__: cls for cls in (Hsic, Contrast, Ignoring, Moco, Masked, Distillation)}


def parted(problem: Any, *temperature: float) -> tuple[tuple[Any, ...], list[float]]:
    """What a problem's text is the repr of, and its floats; fields are numbers, text, None and tuples.

    temperature: an input that is a number and goes with the fields.
    """
    own = [getattr(problem, name) for name in problem.__dataclass_fields__]
    fields, numbers = _without_floats([*own, *temperature])
    return (type(problem).__name__, *fields), numbers


def _without_floats(fields: Sequence[Any]) -> tuple[tuple[Any, ...], list[float]]:
    """torch.compile traces this: a float may be a symbol."""
    rest: list[Any] = []
    numbers: list[float] = []
    for x in fields:
        if isinstance(x, float):
            rest.append(NUMBER)
            numbers.append(x)
        elif isinstance(x, tuple):
            inner, more = _without_floats(x)
            rest.append(inner)
            numbers.extend(more)
        else:
            rest.append(x)
    return tuple(rest), numbers


@lru_cache(maxsize=256)
def problem_of(text: str, numbers: tuple[float, ...] | None = None) -> tuple[Any, float | None]:
    """What was parted: the problem, without its numbers one with the same shapes; perhaps a temperature."""
    values = iter([1.0] * text.count(NUMBER) if numbers is None else numbers)
    name, *fields = _with_floats(ast.literal_eval(text), values)
    own = len(_CLASSES[name].__dataclass_fields__)
    return _CLASSES[name](*fields[:own]), fields[own] if len(fields) > own else None


def _with_floats(fields: Sequence[Any], numbers: Iterator[float]) -> tuple[Any, ...]:
    return tuple(
        [
            _with_floats(x, numbers) if isinstance(x, tuple) else next(numbers) if x == NUMBER else x
            for x in fields
        ]
    )
