"""The base of all problems. Their fields are numbers, text, None and tuples of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from .._arrays.namespaces import Arrays, Library, computed_in


class Saved(NamedTuple):
    """Values that a forward saves for the backward."""

    arrays: Sequence[Any] = ()  # on the backend's device; operators pass them on as tensors
    kept: Any = None  # an object that makes one backward faster


NOTHING_SAVED = Saved()
Forward: TypeAlias = tuple[Any, Saved]  # the value first
Shape: TypeAlias = Sequence[int]


class Problem:
    """Frozen, without arrays; `arrays` is the number of inputs that are arrays (n, d)."""

    arrays: int
    queues: int = 0  # how many arrays at the end are constant for autograd

    def dtype(self, library: Library, inputs: Arrays) -> str:
        """The dtype of the computation. Numbers that follow the arrays do not change it."""
        return computed_in(library, inputs[: self.arrays])

    def differentiated(self) -> Any:
        """The problem for a traced forward that a backward follows."""
        return self

    def saved_dtype(self, place: int, computed: str) -> str:
        """The dtype of one of the arrays that a forward saves."""
        return "float64"

    def constants(self) -> Sequence[int]:
        """The positions of inputs to which autograd gives no gradient."""
        return range(self.arrays - self.queues, self.arrays)


@dataclass(frozen=True)
class Loss(Problem):
    """A problem whose value is the loss of each of n anchors, (n,), their sum or their mean."""

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
        """The reduced value; the mean is over `count` losses, the others are 0."""
        if self.reduction == "none":
            return losses
        total = backend.total(losses)
        return total / count if self.reduction == "mean" else total

    def by_each_loss(self, grad: Any, count: Any) -> Any:  # (n,), or one number for all
        """The derivative with respect to the losses, from that with respect to the value."""
        return grad / count if self.reduction == "mean" else grad

    def by_losses(self, backend: Any, grad: Any, count: Any, n: int) -> Any:  # (n,)
        """`by_each_loss` as an array."""
        found = self.by_each_loss(grad, count)
        return found if self.reduction == "none" else backend.full(n, found)

    def weighed(self, backend: Any, grad: Any, count: Any, n: int) -> tuple[Any, Any]:
        """The weights (n,) of the losses and None; or, for a plain mean on a device, None and its factor."""
        if not self.is_plain_mean:
            return self.by_losses(backend, grad, count, n), None
        return (backend.full(n, grad / count), None) if backend.here else (None, grad)
