"""The softmax of each anchor's positive among the pairs that a guide keeps, and its derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays.namespaces import Arrays, Library, Wanted, computed_in
from .._backends.values import SAVED_ROWS, ContrastTask
from .._losses import as_margin, check_guide
from .._progress import Report
from .blocks import Pairs, UnitRows
from .positives import log_odds
from .problem import Forward, Loss, Saved, Shape

GUIDES = ("guide_anchors", "guide_positives", "guide_negatives")  # their names in errors


@dataclass(frozen=True)
class Guided(Loss):
    """The inputs are anchors, positives, perhaps more, the guide's rows for each, and the temperature.

    loss_i = log(1 + exp(odds_i)), odds_i the log odds of the pairs that the guide keeps against the positive.
    It leaves out pairs of anchor i whose cosine is above its cosine of anchor i and its positive, less a
    margin. One walk is over the pairs of anchors with all other rows, one over pairs of two anchors and one
    over pairs of two positives; the last two include pairs of a row with itself. Further embeddings are
    negatives; the last may be positives of other processes, which have a walk with positives.
    """

    arrays: int  # embeddings, and as many of the guide
    margin: float
    relative: bool  # whether the margin is a share of the cosine's magnitude
    contrast_anchors: bool
    contrast_positives: bool
    others: bool = False  # whether the last embeddings are positives of other processes

    @property
    def _embeddings(self) -> int:
        return self.arrays // 2

    @property
    def _walks(self) -> list[tuple[int, ...]]:
        """The positions of each walk's arrays; the walk sums over pairs of each row of its first array."""
        found: list[tuple[int, ...]] = [tuple(range(self._embeddings))]
        if self.contrast_anchors:
            found.append((0,))
        if self.contrast_positives:
            found.append((1,))
            if self.others:
                found.append((1, self._embeddings - 1))
        return found

    @property
    def _alone(self) -> list[int]:
        """The arrays whose walks include pairs of a row with itself."""
        return [places[0] for places in self._walks if len(places) == 1]

    def dtype(self, library: Library, inputs: Arrays) -> str:
        """The dtype of the computation, which does not depend on the guide's dtype."""
        return computed_in(library, inputs[: self._embeddings])

    def constants(self) -> Sequence[int]:
        return range(self._embeddings, self.arrays)

    def shapes(self, on_device: bool, shapes: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
        n, walks = shapes[0][0], self._walks
        of_walks = [(SAVED_ROWS["cpu"], sum([shapes[i][0] for i in places])) for places in walks]
        return self.value_shape(n), [*of_walks, (len(walks) + len(self._alone), n), (n,)]

    def _rows(self, backend: Any, inputs: Arrays) -> list[Any]:
        """The embeddings in one dtype, for walks over some of them."""
        rows = inputs[: self._embeddings]
        dtype = backend.dtype(rows)
        return [x if backend.dtype([x]) == dtype else backend.library.cast(x, dtype) for x in rows]

    def _limits(self, backend: Any, inputs: Arrays) -> tuple[Any, list[Any]]:
        """Limits (n,) of the guide's cosines, and cosines of rows with themselves, rounded as in tiles."""
        margin = as_margin(self.function, self.margin)
        guide, dtype = inputs[self._embeddings : self.arrays], backend.dtype(inputs[: self._embeddings])
        alone = [backend.paired_cosines(rows, rows, dtype) for rows in guide]
        for place, cosines in enumerate(alone):
            check_guide(self.function, GUIDES[min(place, 2)], np.isfinite(cosines))
        of_pairs = backend.paired_cosines(guide[0], guide[1], dtype)
        limits = of_pairs - (abs(of_pairs) * margin if self.relative else margin)
        return np.asarray(limits, np.float64), alone

    def _tasks(self, backend: Any, inputs: Arrays, limits: Any) -> list[ContrastTask]:
        """The log-sum-exps of each walk."""
        rows, guide = self._rows(backend, inputs), inputs[self._embeddings : self.arrays]
        t = backend.temperature(self.function, inputs[self.arrays])
        found = []
        for first, *others in self._walks:
            keys = [rows[i] for i in others]
            groups = backend.instance_groups(rows[:1], keys) if 1 in others else backend.no_groups
            task = ContrastTask([rows[first]], keys, groups, t, self.normalize, "log_sum_exp")
            found.append(task._replace(guide=([guide[first]], [guide[i] for i in others]), limits=limits))
        return found

    def _pairs(self, backend: Any, inputs: Arrays, temperature: Any) -> tuple[Pairs, Any]:
        """Anchors with their positives, and the logit of each anchor with its own positive."""
        pairs = Pairs(backend, inputs[:2], self.normalize)
        return pairs, pairs.products() / temperature

    def forward(self, backend: Any, inputs: Arrays, keep: str, report: Report = None) -> Forward:
        with np.errstate(invalid="ignore", over="ignore"):
            limits, alone = self._limits(backend, inputs)
            tasks = self._tasks(backend, inputs, limits)
            keeps = backend.kept_together(tasks) if keep == "tiles" else [False] * len(tasks)
            found = [backend.contrast_forward(*both) for both in zip(tasks, keeps, strict=True)]
            pairs, logits = of_pairs = self._pairs(backend, inputs, tasks[0].temperature)
            logs = backend.empty(len(found) + len(self._alone), len(logits))
            for i, one in enumerate(found):
                logs[i] = one.of_anchors
            for i, place in enumerate(self._alone, len(found)):
                with_itself = pairs.products(place, place) / tasks[0].temperature
                logs[i] = np.where(alone[place] > limits, -math.inf, with_itself)
            losses = backend.xp.softplus(log_odds(backend, np.logaddexp.reduce(logs), logits))
            value = self.reduced(backend, losses, len(logits))
        saved = *[one.saved for one in found], logs, limits
        return value, Saved(
            saved, (tasks, of_pairs, [one.kept for one in found]) if keep == "tiles" else None
        )

    def backward(self, backend: Any, inputs: Arrays, saved: Saved, grad: Any, wanted: Wanted) -> list[Any]:
        *sums, logs, limits = saved.arrays
        with np.errstate(invalid="ignore", over="ignore"):
            if saved.kept is None:
                tasks = self._tasks(backend, inputs, limits)
                of_pairs, tiles = self._pairs(backend, inputs, tasks[0].temperature), [None] * len(tasks)
            else:
                tasks, of_pairs, tiles = saved.kept
            pairs, logits = of_pairs
            total, t = np.logaddexp.reduce(logs), tasks[0].temperature
            # The remaining pairs' part of the softmax: 1 minus the positive's part, without cancellation.
            share = self.by_each_loss(grad, len(logits)) * backend.xp.sigmoid(
                log_odds(backend, total, logits)
            )
            shares = share * np.where(logs == -math.inf, 0.0, np.exp(logs - total))
            found: list[Any] = [None] * len(inputs)
            by_t, alone = backend.total(share * logits) / t, dict[int, Any]()
            walks = zip(self._walks, tasks, sums, tiles, shares, strict=False)
            for places, task, own, kept, weights in walks:
                asked = [wanted[i] for i in places]
                by_rows, of_t = backend.contrast_backward(task, own, kept, weights, None, asked)
                by_t += of_t
                for i, by_row in zip(places, by_rows, strict=True):
                    if found[i] is not None and by_row is not None:
                        by_row += found[i]
                    found[i] = by_row if by_row is not None else found[i]
            for i, place in enumerate(self._alone, len(tasks)):
                alone[place] = shares[i]
                by_t -= backend.total(np.where(logs[i] == -math.inf, 0.0, shares[i] * logs[i])) / t

            def by_z(i: int, block: slice, rows: UnitRows, others: UnitRows) -> Any:
                pull = -share[block, None] * others.z
                if i in alone:
                    pull += 2 * alone[i][block, None] * rows.z
                return pull / t

            pairs.add_gradients(found, inputs[: self._embeddings], wanted, by_z)
            found[self.arrays] = by_t if wanted[self.arrays] else None
        return found
