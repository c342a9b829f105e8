"""Contrastive losses from the compiled core. The one place that knows how they are handed to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _arrays, _core
from ._arrays import Floats
from ._losses import TIE, ContrastOptions, Reduction, ScalarReduction

Groups: TypeAlias = npt.NDArray[np.int64]
Limits: TypeAlias = "float | tuple[Floats, Floats] | None"
Kind: TypeAlias = Literal["softmax", "decoupled", "log_sum_exp"]
Rows: TypeAlias = npt.NDArray[Any]  # float32 or float64, whichever the core computes in

NO_GROUPS: Groups = np.empty(0, np.int64)


class Forward(NamedTuple):
    """What a problem's forward returns."""

    losses: Floats  # of anchors (n,)
    key_losses: Floats | None  # of keys as anchors (m,)
    saved: Floats  # what the backward needs
    kept: _core.ContrastPass | None  # what makes it faster


@dataclass(frozen=True)
class ContrastProblem:
    """Anchors that meet each other or, where there are keys, the keys; pairs of one group are positive."""

    anchors: Sequence[_arrays.Described]
    keys: Sequence[_arrays.Described]
    anchor_groups: Groups
    key_groups: Groups
    options: ContrastOptions
    kind: Kind
    limits: Limits = None  # negatives above them are left out; one for all, or one for each anchor and key

    def _arguments(self) -> tuple[Any, ...]:
        options = self.options
        groups = self.anchor_groups, self.key_groups
        return (
            self.anchors,
            self.keys,
            *groups,
            options.temperature,
            options.normalize,
            self.kind,
            self.limits,
        )

    def forward(self, keep: bool = False) -> Forward:
        """The losses; `keep`: for a `backward`, tiles too, as far as the limit of the workspace goes."""
        arguments = (*self._arguments(), keep)
        return Forward(*_core.contrast_forward(*arguments))

    def backward(
        self, forward: Forward, row_weights: Floats, column_weights: Floats | None, wanted: Sequence[bool]
    ) -> tuple[list[Rows | None], float]:
        """Gradients of sum_i row_weights_i loss_i + sum_j column_weights_j loss_j, by arrays and temperature.

        `wanted` says for each of anchors, then keys, whether its gradient is.
        """
        arrays = [*self.anchors, *self.keys]
        dtype = compute_dtype(arrays)
        grads = [
            np.empty((_arrays.rows_of(array), _arrays.columns_of(array)), dtype) if want else None
            for array, want in zip(arrays, wanted, strict=True)
        ]
        arguments = forward.saved, row_weights, column_weights, grads
        if forward.kept is not None:
            return grads, forward.kept.backward(*arguments)
        whole = (*self._arguments(), *arguments, None)
        return grads, _core.contrast_backward(*whole)


def compute_dtype(described: Sequence[_arrays.Described]) -> npt.DTypeLike:
    """What the core computes these inputs in."""
    return np.float64 if _arrays.computes_in_float64(described) else np.float32


def describe_embeddings(function: str, named: dict[str, Any]) -> list[_arrays.Described]:
    """Every input as the core reads it, once all have one width; rows are compared by the caller."""
    described = {name: _arrays.describe(function, name, z) for name, z in named.items()}
    first = next(iter(described))
    for name, z in described.items():
        _arrays.check_columns(function, first, described[first], name, z)
    return list(described.values())


def weights_of(counted: npt.NDArray[np.bool_], reduction: ScalarReduction) -> Floats:  # (n,)
    """What every anchor's loss is multiplied by: those that are not counted by 0."""
    return counted / max(int(np.sum(counted)), 1) if reduction == "mean" else counted.astype(np.float64)


def reduced(losses: Floats, counted: npt.NDArray[np.bool_], reduction: Reduction) -> float | Floats:
    """The losses of the anchors (n,), or their sum, or their mean over those that are counted."""
    if reduction == "none":
        return losses
    return float(np.sum(losses * weights_of(counted, reduction)))


def wrap_rows(rows: Rows | None, like: Any) -> Any:
    """A gradient as the user gets it: a tensor for tensors, itself otherwise."""
    return sys.modules["torch"].from_numpy(rows) if rows is not None and _arrays.is_tensor(like) else rows


def hardest_limits(
    fraction: float,
    normalize: bool,
    anchors: Sequence[_arrays.Described],
    keys: Sequence[_arrays.Described],
    groups: tuple[Groups, Groups],
    of_keys: bool = False,
) -> tuple[Floats, Floats]:
    """For every anchor, then key, the similarity above which a negative is among its hardest: see `nt_xent`.

    of_keys: the first keys are anchors too; other keys have no limit.
    """
    return _core.contrast_limits(anchors, keys, *groups, normalize, fraction, TIE, of_keys)


def exclusion(
    options: ContrastOptions,
    anchors: Sequence[_arrays.Described],
    keys: Sequence[_arrays.Described],
    groups: tuple[Groups, Groups],
    of_keys: bool = False,
) -> Limits:
    """What is left out of these arrays, as the core is told."""
    if options.exclude_hardest is None:
        return options.exclude_above
    return hardest_limits(options.exclude_hardest, options.normalize, anchors, keys, groups, of_keys)


@dataclass(frozen=True)
class SelfContrast:
    """Rows that meet each other: the problem, and which of them have a positive."""

    arrays: list[Any]
    problem: ContrastProblem
    counted: npt.NDArray[np.bool_]

    def value(self, reduction: Reduction) -> Any:
        """The loss as the user gets it."""
        loss = reduced(self.problem.forward().losses, self.counted, reduction)
        return _arrays.wrap(loss, self.arrays[0], self.problem.anchors)

    def value_and_grad(self, reduction: ScalarReduction) -> tuple[Any, tuple[Any, ...]]:
        """The loss, and its gradients by the arrays and by the temperature."""
        forward = self.problem.forward(keep=True)
        weights = weights_of(self.counted, reduction)
        grads, by_temperature = self.problem.backward(forward, weights, None, [True] * len(self.arrays))
        loss = float(np.sum(forward.losses * weights))
        loss, by_temperature = (
            _arrays.wrap(value, self.arrays[0], self.problem.anchors) for value in (loss, by_temperature)
        )
        wrapped = [wrap_rows(g, a) for g, a in zip(grads, self.arrays, strict=True) if g is not None]
        return loss, (*wrapped, by_temperature)


def self_contrast(
    arrays: list[Any], described: list[_arrays.Described], groups: Groups, options: ContrastOptions
) -> SelfContrast:
    """Users' arrays, one below the other, whose rows meet each other; those of one group are positive."""
    limits = exclusion(options, described, [], (groups, NO_GROUPS))
    kind: Any = "decoupled" if options.decoupled else "softmax"
    counted = np.bincount(groups)[groups] > 1
    return SelfContrast(
        arrays, ContrastProblem(described, [], groups, NO_GROUPS, options, kind, limits), counted
    )
