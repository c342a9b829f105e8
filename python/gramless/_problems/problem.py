"""What problems have in common. Their fields are numbers, text, None and tuples of these."""

from __future__ import annotations

from collections.abc import Sequence

from .._arrays.namespaces import Array, Library, computed_in


class Problem:
    """Frozen, and without arrays; `arrays` says how many of the inputs are."""

    arrays: int

    def dtype(self, library: Library, inputs: Sequence[Array]) -> str:
        """What is computed in. Numbers that follow the arrays play no part."""
        return computed_in(library, inputs[: self.arrays])

    def constants(self) -> Sequence[int]:
        """The positions of inputs that have no derivative."""
        return ()
