"""The softmax loss of an anchor's positive among all documents of a batch, including hard negatives, with the
further directions of sentence-transformers' MultipleNegativesRankingLoss, in one process or several.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import _loss_calls
from .._arrays import checks
from .._evaluate import evaluate
from .._problems.contrast import WideLogs
from ._gather import all_gather, check_shards, rank, world_size
from ._namespace import TORCH
from ._tensors import compute_dtype, on_device, unit_rows

DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
SAME_SIDE = ("query_to_query", "doc_to_doc")

Rows: TypeAlias = tuple[str, Tensor]  # the name in errors, and the rows (n, d)


class OtherRows(torch.autograd.Function):
    """Rows (n, d) of this process -> rows of all other processes, (others, n, d).

    The backward pass sums the gradients from all processes, so that all processes must run it. The gradient
    is therefore that of the sum of the losses of all processes.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        every = all_gather(rows.detach().resolve_neg())
        return torch.stack([x for process, x in enumerate(every) if process != rank()])

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        wide = torch.promote_types(grad.dtype, torch.float32)
        every = torch.zeros(world_size(), *grad.shape[1:], dtype=wide, device=grad.device)
        every[[process for process in range(world_size()) if process != rank()]] = grad.to(wide)
        torch.distributed.all_reduce(every)
        return every[rank()].to(grad.dtype)


@dataclass(frozen=True)
class Ranking:
    """The settings of a loss. per_direction: the loss is the mean of one softmax loss for each direction."""

    function: str
    scale: float
    normalize: bool
    directions: tuple[str, ...]
    per_direction: bool
    gather: bool

    @property
    def temperature(self) -> float:
        return 1.0 / self.scale

    def loss(self, embeddings: Sequence[Tensor]) -> Tensor:
        """The loss of anchors, positives and negatives."""
        if len(embeddings) < 2:
            raise ValueError(
                f"{self.function}: needs at least 2 embeddings, anchors and positives, "
                f"but {len(embeddings)} are given"
            )
        names = ["anchor", "positive", *[f"negative_{i + 1}" for i in range(len(embeddings) - 2)]]
        named = list(zip(names, embeddings, strict=True))
        arrays = checks.matrices(self.function, TORCH, named)
        for place, (name, _) in enumerate(named[1:], 1):
            checks.same_columns(self.function, "anchor", arrays[0], name, arrays[place])
            checks.same_rows(self.function, "anchor", arrays[0], name, arrays[place])
        named = list(zip(names, arrays, strict=True))
        if self.gather and world_size() > 1:
            return self._of_batch(_Batch(*self._with_others(named), len(named) - 1))
        return self._of_batch(_Batch(named[:1], named[1:], len(named) - 1))

    def _with_others(self, named: list[Rows]) -> tuple[list[Rows], list[Rows]]:
        """The queries and documents of this process, followed by those of the other processes."""
        arrays = [x for _, x in named]
        use = f"{' '.join(self.directions)} {self.per_direction}"
        also = "number of embeddings", len(arrays)
        check_shards(self.function, arrays, self.temperature, self.normalize, use=use, also=also)
        with_queries = bool({"query_to_query", "doc_to_query"} & set(self.directions))
        others = OtherRows.apply(torch.cat(arrays if with_queries else arrays[1:]))
        n = len(arrays[0]) if with_queries else 0
        documents = [*named[1:], ("documents of other processes", others[:, n:].flatten(0, 1))]
        if not with_queries:
            return named[:1], documents
        return [named[0], ("anchors of other processes", others[:, :n].flatten(0, 1))], documents

    def _of_batch(self, batch: _Batch) -> Tensor:
        """The loss of this process's anchors."""
        anchors, positives = batch.queries[0], batch.documents[0]
        if self.per_direction or self.directions == ("query_to_doc",):
            both = "doc_to_query" in self.directions
            if batch.alone or not both:
                return self._softmax([anchors, *batch.documents], both)
            return (
                self._softmax([anchors, *batch.documents]) + self._softmax([positives, *batch.queries])
            ) / 2
        apart = not on_device(anchors[1])  # only the CPU supports ids
        logs = [self._logs(batch, direction, apart) for direction in self.directions]
        with_own = len(set(self.directions) - set(SAME_SIDE))
        dtype = compute_dtype([anchors[1], positives[1]])
        with torch.autocast(anchors[1].device.type, enabled=False):
            wide = [x.double() for _, x in (anchors, positives)]
            a, b = (unit_rows(x, torch.float64) for x in wide) if self.normalize else wide
            own = self.scale * (a * b).sum(1)  # in both terms of the difference, so that its rounding cancels
            logs += [own + math.log(with_own)] * apart
            return (torch.logsumexp(torch.stack(logs), 0) - own).mean().to(dtype)

    def _softmax(self, named: list[Rows], symmetric: bool = False) -> Tensor:
        chosen = _loss_calls.Chosen(self.temperature, self.normalize, symmetric=symmetric)
        found: Tensor = evaluate(_loss_calls.instances(self.function, "softmax", named, 1, chosen))
        return found

    def _logs(self, batch: _Batch, direction: str, apart: bool) -> Tensor:
        """The log-sum-exp of one direction for each anchor, (n,). apart: without the anchor's positive."""
        rows = batch.queries[0] if direction.startswith("query") else batch.documents[0]
        columns = batch.documents if direction.endswith("doc") else batch.queries
        ids, chosen = None, (self.temperature, self.normalize)
        if direction not in SAME_SIDE and apart:
            n, count = len(rows[1]), sum(len(x) for _, x in columns)
            ids = torch.cat([torch.arange(n), torch.full((count - n,), -1)])
        elif direction in SAME_SIDE and len(columns) > 1:
            ids = batch.examples(direction == "doc_to_doc")
        elif direction in SAME_SIDE:
            columns = []  # all pairs of different rows of one array, with each product computed once
        found: Tensor = evaluate(
            _loss_calls.log_sum_exps_of_all(self.function, [rows, *columns], ids, *chosen, WideLogs)
        )
        return found


@dataclass(frozen=True)
class _Batch:
    """Queries and documents; this process's are the first array of queries and `own` first of documents."""

    queries: list[Rows]
    documents: list[Rows]
    own: int

    @property
    def alone(self) -> bool:
        return len(self.documents) == self.own

    def examples(self, of_documents: bool) -> Tensor:
        """The example of this process that each document (or query) belongs to; -1 for other processes."""
        arrays, own = (self.documents, self.own) if of_documents else (self.queries, 1)
        others = sum(len(x) for _, x in arrays[own:])
        return torch.cat([torch.arange(len(arrays[0][1])).repeat(own), torch.full((others,), -1)])
