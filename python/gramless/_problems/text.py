"""A problem as text and numbers: what is a constant of a traced graph, and what varies from call to call."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from .contrast import Contrast, Ignoring
from .distillation import Distillation
from .hsic import Hsic
from .mmd import Mmd
from .positives import Identified, Masked, Moco
from .sigmoid import Sigmoid

NUMBER = "#"  # stands in the text for a float

_LOSSES = Contrast, Ignoring, Moco, Identified, Masked, Distillation, Sigmoid
_CLASSES = {cls.__name__: cls for cls in (Hsic, Mmd, *_LOSSES)}


def parted(problem: Any, *temperature: float) -> tuple[tuple[Any, ...], list[float]]:
    """What a problem's text is the repr of, and its floats; fields are numbers, text, None and tuples.

    temperature: an input that is a number and goes with the fields.
    """
    numbers: list[float] = []
    own = [getattr(problem, name) for name in problem.__dataclass_fields__]
    return _without_floats((type(problem).__name__, *own, *temperature), numbers), numbers


def _without_floats(fields: Sequence[Any], numbers: list[float]) -> tuple[Any, ...]:
    """The same with a mark in place of each float, which `numbers` gets; torch.compile may trace symbols."""
    rest: list[Any] = []
    for x in fields:
        if isinstance(x, tuple):
            x = _without_floats(x, numbers)
        elif isinstance(x, float):
            numbers.append(x)
            x = NUMBER
        rest.append(x)
    return tuple(rest)


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
