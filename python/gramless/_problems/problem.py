"""What problems have in common. Their fields are numbers, text, None and tuples of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from .._arrays.namespaces import Arrays, Library, computed_in

Forward: TypeAlias = tuple[Any, Any, Any]  # value, saved, kept
Shape: TypeAlias = Sequence[int]


class Problem:
    """Frozen, and without arrays; `arrays` says how many of the inputs are."""

    arrays: int

    def dtype(self, library: Library, inputs: Arrays) -> str:
        """What is computed in. Numbers that follow the arrays play no part."""
        return computed_in(library, inputs[: self.arrays])

    def constants(self) -> Sequence[int]:
        """The positions of inputs that have no derivative."""
        return ()
