"""InfoNCE among the pairs of a batch that a guide keeps, the loss of GISTEmbed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._losses import Reduction, as_margin, as_reduction, check_guide, is_share
from ._paragraphs import documented
from .contrastive import Value
from .gram import Array
from .logits import Mask, as_embeddings, check_rows, row_losses, unit_rows, unit_rows_backward
from .options import ScalarReduction, as_scalar_reduction, contrast_options

__all__ = ["guided_info_nce", "guided_info_nce_value_and_grad"]


def _cosines(x: Array, y: Array) -> Array:
    """Cosines of unit rows x (n, e) with y (m, e), summed in one order, so that equal ones stay equal."""
    return np.array([np.sum(row * y, axis=1) for row in x])


class _Guided:
    """The pairs of each anchor in one row: (a, p), (a, a), (p, p) and (a, n)."""

    def __init__(
        self,
        function: str,
        rows: dict[str, Any],
        guide: dict[str, Any],
        temperature: Any,
        normalize: Any,
        margin: tuple[Any, Any],
        contrast: tuple[Any, Any],
    ) -> None:
        rows = {name: x for name, x in rows.items() if x is not None}
        guide = {name: x for name, x in guide.items() if x is not None}
        if len(rows) != len(guide):
            absent = "negatives" if len(rows) < len(guide) else "guide_negatives"
            raise ValueError(
                f"{function}: negatives and guide_negatives must both be given or neither, but {absent} "
                "is None"
            )
        self.options = contrast_options(function, temperature, normalize)
        self.inputs = as_embeddings(function, rows)
        of_guide = as_embeddings(function, guide)
        check_rows(function, "anchors", self.inputs[0], "positives", self.inputs[1])
        for name, x, of_name, y in zip(rows, self.inputs, guide, of_guide, strict=True):
            check_rows(function, name, x, of_name, y)
            check_guide(function, of_name, np.isfinite(y).all(axis=1))
        self.z = [unit_rows(x) if self.options.normalize else x for x in self.inputs]
        anchors, positives = map(bool, contrast)
        self.pairs = [(0, 1), *[(0, 0)] * anchors, *[(1, 1)] * positives, *[(0, 2)] * (len(rows) == 3)]
        with np.errstate(invalid="ignore", over="ignore"):
            self.logits = (
                np.hstack([self.z[i] @ self.z[j].T for i, j in self.pairs]) / self.options.temperature
            )
        left = self._left([unit_rows(x) for x in of_guide], _limit_of(function, *margin))
        positive = np.eye(len(self.logits), self.logits.shape[1], dtype=bool)
        self.losses, self.slopes = row_losses(self.logits, positive, left & ~positive, False)

    def _left(self, guide: list[Array], limit_of: Any) -> Mask:
        cosines = [_cosines(guide[i], guide[j]) for i, j in self.pairs]
        return np.asarray(~(np.hstack(cosines) > limit_of(np.diag(cosines[0]))[:, None]))

    def backward(self, weight: float) -> tuple[list[Array], float]:
        """Gradients of weight times the sum of all losses, with respect to inputs and temperature."""
        tau, dz = self.options.temperature, [np.zeros_like(z) for z in self.z]
        ends = np.cumsum([len(self.z[j]) for _, j in self.pairs])
        with np.errstate(invalid="ignore", over="ignore"):
            ds = weight * self.slopes
            for (i, j), part in zip(self.pairs, np.split(ds / tau, ends[:-1], axis=1), strict=True):
                dz[i] += part @ self.z[j]
                dz[j] += part.T @ self.z[i]
            by_temperature = -float(np.sum(np.where(ds == 0, 0, ds * self.logits))) / tau
        if self.options.normalize:
            dz = [unit_rows_backward(x, d) for x, d in zip(self.inputs, dz, strict=True)]
        return dz, by_temperature


def _limit_of(function: str, margin: Any, strategy: Any) -> Any:
    """The function from the guide's cosines of anchors and positives to the limits."""
    relative, number = is_share(function, strategy), as_margin(function, margin)
    return lambda cosines: cosines - (np.abs(cosines) * number if relative else number)


@documented
def guided_info_nce(
    anchors: npt.ArrayLike,
    positives: npt.ArrayLike,
    negatives: npt.ArrayLike | None = None,
    *,
    guide_anchors: npt.ArrayLike,
    guide_positives: npt.ArrayLike,
    guide_negatives: npt.ArrayLike | None = None,
    temperature: float = 0.01,
    normalize: bool = True,
    margin: float = 0.0,
    margin_strategy: str = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
    reduction: Reduction = "mean",
) -> Value:
    """InfoNCE of anchors and positives, without the pairs that a guide finds more similar.

    loss_i = log(exp(s_ii) + sum exp(s)) - s_ii, s the dot products divided by tau. The sum is over the pairs
    of a_i with p_j, j != i, with negatives and with a_j, and of p_i with p_j, except those whose cosine in
    the guide is above that of a_i and p_i, less the margin.

    {guided}
    {value}

    References
    ----------
    Solatorio 2024, "GISTEmbed: guided in-sample selection of training negatives for text embedding
    fine-tuning", arXiv:2402.16829, equations 1 to 4.

    Examples
    --------
    >>> z = [[1.0, 0.0], [0.0, 1.0]]
    >>> options = {"contrast_anchors": False, "contrast_positives": False, "temperature": 1.0}
    >>> round(guided_info_nce(z, z, guide_anchors=z, guide_positives=z, **options), 6)
    0.313262
    """
    function = "guided_info_nce"
    reduction = as_reduction(function, reduction)
    rows = {"anchors": anchors, "positives": positives, "negatives": negatives}
    guide = {
        "guide_anchors": guide_anchors, "guide_positives": guide_positives, "guide_negatives": guide_negatives
    }  # fmt: skip
    chosen = (margin, margin_strategy), (contrast_anchors, contrast_positives)
    losses = _Guided(function, rows, guide, temperature, normalize, *chosen).losses
    return losses if reduction == "none" else float(losses.mean() if reduction == "mean" else losses.sum())


@documented
def guided_info_nce_value_and_grad(
    anchors: npt.ArrayLike,
    positives: npt.ArrayLike,
    negatives: npt.ArrayLike | None = None,
    *,
    guide_anchors: npt.ArrayLike,
    guide_positives: npt.ArrayLike,
    guide_negatives: npt.ArrayLike | None = None,
    temperature: float = 0.01,
    normalize: bool = True,
    margin: float = 0.0,
    margin_strategy: str = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
    reduction: ScalarReduction = "mean",
) -> tuple[float, tuple[Any, ...]]:
    """`guided_info_nce` with its gradients: the loss and (grad_anchors, grad_positives, grad_temperature).

    grad_negatives, if negatives are given, is before the last.

    {guided}
    {gradient}

    Examples
    --------
    >>> z = [[1.0, 0.0], [0.0, 1.0]]
    >>> options = {"contrast_anchors": False, "contrast_positives": False, "temperature": 1.0}
    >>> loss, grads = guided_info_nce_value_and_grad(z, z, guide_anchors=z, guide_positives=z, **options)
    >>> round(grads[-1], 6)
    0.268941
    """
    function = "guided_info_nce_value_and_grad"
    reduction = as_scalar_reduction(function, reduction)
    rows = {"anchors": anchors, "positives": positives, "negatives": negatives}
    guide = {
        "guide_anchors": guide_anchors, "guide_positives": guide_positives, "guide_negatives": guide_negatives
    }  # fmt: skip
    chosen = (margin, margin_strategy), (contrast_anchors, contrast_positives)
    found = _Guided(function, rows, guide, temperature, normalize, *chosen)
    weight = 1 / len(found.losses) if reduction == "mean" else 1.0
    grads, by_temperature = found.backward(weight)
    return float(found.losses.sum() * weight), (*grads, by_temperature)
