"""Softmax losses over similarities, log-sum-exps of their rows, and the derivatives of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._arrays.namespaces import Arrays, Library, Wanted
from .._backends.values import SAVED_ROWS, ContrastTask
from .._losses import NOTHING, Exclusions, exclusions
from .._progress import Report
from .problem import Forward, Loss, Saved, Shape


@dataclass(frozen=True)
class Contrast(Loss):
    """The inputs are anchors, keys, the temperature and, where labelled, a label of each anchor.

    Labels of log-sum-exps belong to the keys, and the first of them to the anchors as well; pairs with one
    label are left out. Other labels beside keys belong to row i of anchors and of keys; or labels of the
    anchors, numbers from 0, are followed by those of the keys, and the reduction is "none".
    Without keys, the anchors are the keys as well. Without labels, row i of all anchors and of the first keys
    is one example; other keys have no example, and the last of them may be queues, constant for autograd.
    """

    kind: str  # "softmax", "decoupled" or "log_sum_exp"
    anchors: int
    arrays: int  # anchors and keys
    labelled: bool = False
    symmetric: bool = False  # averages the losses of anchors with those of the first keys as anchors
    excluded: Exclusions = NOTHING
    queues: int = 0

    def _options(self, backend: Any, inputs: Arrays) -> tuple[Any, ...]:
        """The options of a task; raises ValueError for invalid numbers."""
        temperature = backend.temperature(self.function, inputs[self.arrays])
        excluded = exclusions(self.function, self.excluded)
        return temperature, self.normalize, self.kind, excluded, self.symmetric

    def task(self, backend: Any, inputs: Arrays) -> tuple[ContrastTask, Any]:
        """The backend's task, and the number of anchors in a mean."""
        anchors, keys = inputs[: self.anchors], inputs[self.anchors : self.arrays]
        count = sum([x.shape[0] for x in anchors])
        if self.kind == "log_sum_exp":
            labels = inputs[self.arrays + 1 :]
            groups = backend.groups_of_ids(labels[0], count) if labels else backend.no_groups
        elif self.labelled and keys and len(inputs) == self.arrays + 2:
            (of_both, _), _ = backend.labelled_groups(inputs[self.arrays + 1])
            groups = of_both, of_both  # each anchor has a positive, its own key
        elif self.labelled and keys:
            groups, count = backend.given_groups(*inputs[self.arrays + 1 :]), None
        elif self.labelled:
            groups, count = backend.labelled_groups(inputs[self.arrays + 1])
        else:
            groups = backend.instance_groups(anchors, keys)
        return ContrastTask(anchors, keys, groups, *self._options(backend, inputs)), count

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        task, count = self.task(backend, inputs)
        found = backend.contrast_forward(task, keep == "tiles")
        saved = Saved((found.saved,), (task, count, found.kept) if keep == "tiles" else None)
        if found.mean is not None and self.is_plain_mean:
            return found.mean, saved
        losses = found.of_anchors
        if self.symmetric:
            losses = losses / 2 + found.of_keys[: task.rows] / 2
        return self.reduced(backend, losses, count), saved

    @property
    def is_plain_mean(self) -> bool:
        return self.reduction == "mean" and not (self.symmetric or self.labelled)

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        task, count, tiles = saved.kept or (*self.task(backend, inputs), None)
        weights, scale = self.weighed(backend, grad, count, task.rows)
        if self.symmetric:
            weights = weights / 2
        own = saved.arrays[0], tiles, weights, scale, wanted[: self.arrays]
        grads, by_temperature = backend.contrast_backward(task, *own)
        of_labels = [None] * (len(inputs) - self.arrays - 1)
        return [*grads, by_temperature if wanted[self.arrays] else None, *of_labels]

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n, every = (sum([s[0] for s in shapes[:count]]) for count in (self.anchors, self.arrays))
        return self.value_shape(n), [(self._height(on_device), every)]

    def _height(self, on_device: bool) -> int:
        """The number of rows of the saved array."""
        if on_device:
            return SAVED_ROWS["cuda"]
        return SAVED_ROWS["cpu"] + sum([fraction is not None for fraction in self.excluded[1:]])


@dataclass(frozen=True)
class WideLogs(Contrast):
    """Log-sum-exps (kind "log_sum_exp") in float64, because subtracting logits from them cancels digits."""

    def dtype(self, library: Library, inputs: Arrays) -> str:
        return "float64"


@dataclass(frozen=True)
class Ignoring(Contrast):
    """`Contrast` of labelled rows without the rows of one label, whose loss and gradient are 0."""

    ignored: int = 0

    def _others(self, backend: Any, inputs: Arrays) -> tuple[Any, list[Any], Contrast]:
        """The indices of the other rows, the inputs of their problem, and that problem."""
        z, temperature, labels = inputs[0], inputs[1], backend.placed(inputs[2])
        rows = backend.xp.flatnonzero(labels != self.ignored)  # waits for the device to count them
        fields = {name: getattr(self, name) for name in Contrast.__dataclass_fields__}
        return rows, [z[rows], temperature, labels[rows]], Contrast(**fields)

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        n, height = inputs[0].shape[0], self._height(not backend.here)
        rows, others, problem = self._others(backend, inputs)
        losses, sums = backend.zeros(n), backend.zeros(height, n)
        if len(rows) == 0:
            self._options(backend, inputs)  # raises for invalid options without rows, too
            return self.reduced(backend, losses, 1), Saved((sums,))
        value, ((of_rows,), kept) = problem.forward(backend, others, keep)
        sums[:, : len(rows)] = of_rows
        if self.reduction == "none":
            losses[rows] = value
            value = losses
        return value, Saved((sums,), kept and (rows, others, problem, kept))

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        rows, others, problem, kept = saved.kept or (*self._others(backend, inputs), None)
        z = inputs[0]
        if len(rows) == 0:
            zeros = backend.zeros(*z.shape)
            return [backend.as_gradient(zeros, [z]), backend.total(zeros[0]), None]
        if self.reduction == "none":
            grad = grad[rows]
        of_rows = Saved((backend.copied(saved.arrays[0][:, : len(rows)]),), kept)
        by_z, by_temperature, _ = problem.backward(backend, others, of_rows, grad, wanted)
        return [None if by_z is None else backend.scattered(by_z, rows, len(z)), by_temperature, None]
