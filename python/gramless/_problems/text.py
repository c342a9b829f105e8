"""A problem as text and numbers: in a traced graph the text is a constant, and the numbers may change."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from .contrast import Contrast, Ignoring, WideLogs
from .distillation import Distillation
from .guided import Guided
from .hsic import Hsic
from .measures import Alignment, CosineDiversity, PairMean, ParticipationRatio
from .mmd import Mmd
from .positives import Masked, OwnKeys
from .sigmoid import Sigmoid

NUMBER = "#"  # stands in the text for a float

_LOSSES = Contrast, WideLogs, Ignoring, OwnKeys, Guided, Masked, Distillation, Sigmoid
_MEASURES = PairMean, ParticipationRatio, CosineDiversity, Alignment
_CLASSES = {cls.__name__: cls for cls in (Hsic, Mmd, *_MEASURES, *_LOSSES)}


def parted(problem: Any) -> tuple[tuple[Any, ...], list[float]]:
    """The object whose repr is a problem's text, and its floats, which torch.compile may trace as symbols."""
    numbers: list[float] = []

    def marked(x: Any) -> Any:
        if not isinstance(x, float):
            return x
        numbers.append(x)
        return NUMBER

    own = [getattr(problem, name) for name in problem.__dataclass_fields__]
    return _with((type(problem).__name__, *own), marked), numbers


@lru_cache(maxsize=256)
def problem_of(text: str, numbers: tuple[float, ...] | None = None) -> Any:
    """The problem of a text; without numbers, a problem with the same shapes."""
    values = iter([1.0] * text.count(NUMBER) if numbers is None else numbers)
    name, *fields, _ = _with(ast.literal_eval(text), lambda x: next(values) if x == NUMBER else x)
    return _CLASSES[name](*fields)


@lru_cache(maxsize=256)
def labels_of(text: str) -> Sequence[str | None]:
    """The names of the inputs of a text's problem in errors."""
    *_, labels = ast.literal_eval(text)
    return labels  # type: ignore[no-any-return]


def _with(fields: Sequence[Any], change: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The problem with `change` applied to each field; fields are numbers, text, None and tuples of these."""
    return tuple([_with(x, change) if isinstance(x, tuple) else change(x) for x in fields])
