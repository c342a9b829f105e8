"""What problems have in common. Their fields are numbers, text, None and tuples of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from .._arrays.namespaces import Arrays, Library, computed_in


class Saved(NamedTuple):
    """What a forward leaves for the backward."""

    arrays: Sequence[Any] = ()  # where the backend computes; operators hand them on as tensors
    kept: Any = None  # what else makes a backward faster, once


NOTHING_SAVED = Saved()
Forward: TypeAlias = tuple[Any, Saved]  # the value first
Shape: TypeAlias = Sequence[int]


class Problem:
    """Frozen, and without arrays; `arrays` says how many of the inputs are."""

    arrays: int
    queues: int = 0  # how many arrays at the end are constant for autograd

    def dtype(self, library: Library, inputs: Arrays) -> str:
        """What is computed in. Numbers that follow the arrays play no part."""
        return computed_in(library, inputs[: self.arrays])

    def differentiated(self) -> Any:
        """The same where a backward will follow a traced forward."""
        return self

    def saved_dtype(self, place: int, computed: str) -> str:
        """That of one of the arrays that a forward saves."""
        return "float64"

    def constants(self) -> Sequence[int]:
        """The positions of inputs to which autograd gives no gradient."""
        return range(self.arrays - self.queues, self.arrays)


@dataclass(frozen=True)
class Loss(Problem):
    """Whose value is made of the losses of n anchors: those (n,), their sum or their mean."""

    function: str
    normalize: bool
    reduction: str

    @property
    def is_plain_mean(self) -> bool:
        """Whether the value is the mean of all anchors' losses and of nothing else."""
        return self.reduction == "mean"

    def value_shape(self, n: int) -> Shape:
        return (n,) if self.reduction == "none" else ()

    def reduced(self, backend: Any, losses: Any, count: Any) -> Any:
        """The value; the mean is over `count` losses, those not counted are 0."""
        if self.reduction == "none":
            return losses
        total = backend.total(losses)
        return total / count if self.reduction == "mean" else total

    def by_each_loss(self, grad: Any, count: Any) -> Any:  # (n,), or one number for all
        """The derivative by the losses, from that by the value."""
        return grad / count if self.reduction == "mean" else grad

    def by_losses(self, backend: Any, grad: Any, count: Any, n: int) -> Any:  # (n,)
        """The same as an array."""
        found = self.by_each_loss(grad, count)
        return found if self.reduction == "none" else backend.full(n, found)

    def weighed(self, backend: Any, grad: Any, count: Any, n: int) -> tuple[Any, Any]:
        """Weights of the losses (n,), or for a device None beside what their mean is multiplied by."""
        if not self.is_plain_mean:
            return self.by_losses(backend, grad, count, n), None
        return (backend.full(n, grad / count), None) if backend.here else (None, grad)
