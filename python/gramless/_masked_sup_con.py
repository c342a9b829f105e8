"""Supervised contrastive loss of arrays whose positives a mask says, or some of whose rows are ignored.

The log-sum-exps come from the core; the positives' mean logits are a product with the mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _arrays
from ._arrays import Floats
from ._contrast import (
    NO_GROUPS,
    ContrastProblem,
    SelfContrast,
    describe_embeddings,
    reduced,
    self_contrast,
    weights_of,
    wrap_rows,
)
from ._losses import ContrastOptions, Reduction, ScalarReduction, as_groups, as_mask, ignored_rows
from ._unit_rows import unit_rows


class MaskedSupCon:
    """The problem, the share of every positive (n, n), and which rows have one."""

    def __init__(self, function: str, z: Any, mask: Any, options: ContrastOptions) -> None:
        _refuse_device(function, "mask", z)
        self.z, self.options = z, options
        self.described = describe_embeddings(function, {"z": z})
        weights = as_mask(function, mask, _arrays.rows_of(self.described[0]))
        count = weights.sum(1)
        self.counted = count > 0
        self.share = weights / np.where(self.counted, count, 1)[:, None]
        self.rows = unit_rows(z, options.normalize)
        self.problem = ContrastProblem(self.described, [], NO_GROUPS, NO_GROUPS, options, "log_sum_exp")

    def _losses(self, log_sums: Floats) -> tuple[Floats, Floats]:
        """The losses, and the mean logits of positives."""
        with np.errstate(invalid="ignore", over="ignore"):
            means = (self.rows.z * (self.share @ self.rows.z)).sum(1) / self.options.temperature
            return np.where(self.counted, log_sums - means, 0), np.where(self.counted, means, 0)

    def value(self, reduction: Reduction) -> Any:
        """The loss as the user gets it."""
        losses, _ = self._losses(self.problem.forward().losses)
        return _arrays.wrap(reduced(losses, self.counted, reduction), self.z, self.described)

    def value_and_grad(self, reduction: ScalarReduction) -> tuple[Any, tuple[Any, Any]]:
        """The loss, and its gradients with respect to z and the temperature."""
        forward = self.problem.forward(keep=True)
        weights, temperature = weights_of(self.counted, reduction), self.options.temperature
        losses, means = self._losses(forward.losses)
        (grad,), by_temperature = self.problem.backward(forward, weights, None, [True])
        assert grad is not None
        pull = weights[:, None] * self.share
        with np.errstate(invalid="ignore", over="ignore"):
            d_rows = -(pull @ self.rows.z + pull.T @ self.rows.z) / temperature
            grad += self.rows.backward(d_rows).astype(grad.dtype)
        by_temperature += float((weights * means).sum()) / temperature
        loss = float((losses * weights).sum())
        loss, by_temperature = (_arrays.wrap(x, self.z, self.described) for x in (loss, by_temperature))
        return loss, (wrap_rows(grad, self.z), by_temperature)


class PartlyIgnored:
    """Labelled rows without those to be ignored, as the loss and the gradient of all."""

    def __init__(
        self, function: str, z: Any, labels: Any, ignored: npt.NDArray[np.bool_], options: ContrastOptions
    ) -> None:
        _refuse_device(function, "ignore_index", z)
        self.z, self.described = z, describe_embeddings(function, {"z": z})
        groups = as_groups(function, labels, _arrays.rows_of(self.described[0]))
        self.kept = np.flatnonzero(~ignored)
        self.contrast: SelfContrast | None = None  # no row is left
        if len(self.kept):
            rows = _arrays.to_host(z)[self.kept]
            groups = np.unique(groups[self.kept], return_inverse=True)[1].astype(np.int64)
            described = describe_embeddings(function, {"z": rows})
            self.contrast = self_contrast([rows], described, groups, options)

    def value(self, reduction: Reduction) -> Any:
        """The loss as the user gets it; ignored rows have loss 0."""
        n = _arrays.rows_of(self.described[0])
        found: Any = 0.0 if self.contrast is None else self.contrast.value(reduction)
        if reduction == "none":
            losses = np.zeros(n)
            losses[self.kept] = found
            found = losses
        return _arrays.wrap(found, self.z, self.described)

    def value_and_grad(self, reduction: ScalarReduction) -> tuple[Any, tuple[Any, Any]]:
        """The loss, and its gradients with respect to z, 0 where rows are ignored, and the temperature."""
        loss, of_kept, by_temperature = 0.0, None, 0.0
        if self.contrast is not None:
            loss, (of_kept, by_temperature) = self.contrast.value_and_grad(reduction)
        shape = _arrays.rows_of(self.described[0]), _arrays.columns_of(self.described[0])
        wide = _arrays.computes_in_float64(self.described)
        grad = np.zeros(shape, np.float64 if wide else np.float32)
        if of_kept is not None:
            grad[self.kept] = of_kept
        loss, by_temperature = (_arrays.wrap(x, self.z, self.described) for x in (loss, by_temperature))
        return loss, (wrap_rows(grad, self.z), by_temperature)


def _refuse_device(function: str, option: str, z: Any) -> None:
    if _arrays.is_on_device(z) and not _arrays.is_tensor(z):
        raise TypeError(
            f"{function}: {option} needs z to be a tensor or in the host's memory "
            f"but it is a {type(z).__name__} on a GPU"
        )


def chosen_rows(
    function: str, z: Any, labels: Any, mask: Any, ignore_index: Any, options: ContrastOptions
) -> MaskedSupCon | PartlyIgnored | None:
    """The problem where a mask says the positives or rows are ignored; None: labels alone say it."""
    if mask is not None:
        return MaskedSupCon(function, z, mask, options)
    ignored = ignored_rows(labels, ignore_index)
    return None if ignored is None else PartlyIgnored(function, z, labels, ignored, options)
