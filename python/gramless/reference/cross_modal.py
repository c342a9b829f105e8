"""Anchors against keys that are not anchors: InfoNCE with a queue or in both directions, MoCo and UniCL."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .._losses import OfRows, Reduction, as_reduction, check_queue
from ._paragraphs import documented
from .contrastive import PairGradient, Value, reduced
from .logits import Contrast, as_embeddings, check_rows, reduction_weights
from .options import ContrastOptions, ScalarReduction, as_groups, as_scalar_reduction, contrast_options

__all__ = [
    "info_nce",
    "info_nce_value_and_grad",
    "moco",
    "moco_value_and_grad",
    "uni_cl",
    "uni_cl_value_and_grad",
]


def directions(
    function: str,
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    queue: npt.ArrayLike | None,
    negatives: npt.ArrayLike | None,
    ids: Any,
    symmetric: bool,
    options: ContrastOptions,
) -> list[Contrast]:
    """Anchors against [keys; negatives; queue] and, if symmetric, keys against anchors.

    Row i of anchors and keys is a positive pair. Other pairs whose keys have one id are left out.
    """
    more = {"negatives": negatives, "queue": queue}
    named = {"anchors": anchors, "keys": keys} | {name: x for name, x in more.items() if x is not None}
    a, k, *others = as_embeddings(function, named)
    check_rows(function, "anchors", a, "keys", k)
    all_keys = np.concatenate([k, *others])
    n, own = len(a), np.eye(len(a), len(all_keys), dtype=bool)
    same = own
    if ids is not None:
        groups = as_groups(OfRows(function, len(all_keys), "ids", tuple(named)[1:]), ids)
        same = groups[:n, None] == groups
    both = [Contrast(a, all_keys, own, ~same, options)]
    if symmetric:
        both.append(Contrast(k, a, own[:, :n], ~same[:, :n], options))
    return both


@documented
def info_nce(
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    queue: npt.ArrayLike | None = None,
    *,
    negatives: npt.ArrayLike | None = None,
    ids: npt.ArrayLike | None = None,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: Reduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> Value:
    """The cross entropy of each anchor's own key among all keys.

    loss_i = log sum_j exp(<a_i, k_j> / tau) - <a_i, k_i> / tau, over all keys j, with negatives and queue.

    {anchors_and_keys}
    {value_excluding}

    References
    ----------
    Van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive coding",
    arXiv:1807.03748, equation 4. Radford et al. 2021, arXiv:2103.00020 (symmetric).

    Examples
    --------
    >>> round(info_nce([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], temperature=1.0), 6)
    0.313262
    """
    options = contrast_options(
        "info_nce", temperature, normalize, exclude_above, exclude_hardest, exclude_easiest
    )
    reduction = as_reduction("info_nce", reduction)
    both = directions("info_nce", anchors, keys, queue, negatives, ids, symmetric, options)
    losses = np.mean([contrast.losses for contrast in both], axis=0)
    return losses if reduction == "none" else float(losses.mean() if reduction == "mean" else losses.sum())


@documented
def info_nce_value_and_grad(
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    queue: npt.ArrayLike | None = None,
    *,
    negatives: npt.ArrayLike | None = None,
    ids: npt.ArrayLike | None = None,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = False,
    reduction: ScalarReduction = "mean",
    exclude_above: float | None = None,
    exclude_hardest: float | None = None,
    exclude_easiest: float | None = None,
) -> tuple[float, tuple[Any, ...]]:
    """`info_nce` with its gradients: the loss and (grad_anchors, grad_keys, grad_temperature).

    grad_negatives, if negatives are given, is before the last.

    {anchors_and_keys}
    {gradient_excluding}

    Examples
    --------
    >>> round(info_nce_value_and_grad(np.eye(2), np.eye(2), temperature=1.0)[1][-1], 6)
    0.268941
    """
    function = "info_nce_value_and_grad"
    options = contrast_options(
        function, temperature, normalize, exclude_above, exclude_hardest, exclude_easiest
    )
    reduction = as_scalar_reduction(function, reduction)
    both = directions(function, anchors, keys, queue, negatives, ids, symmetric, options)
    n = len(both[0].losses)
    weights = np.full(n, 1 / (len(both) * (n if reduction == "mean" else 1)))
    loss = sum(float(np.sum(contrast.losses * weights)) for contrast in both)
    d_anchors, d_all_keys, d_temperature = both[0].backward(weights)
    d_keys = d_all_keys[:n]
    d_negatives = [] if negatives is None else [d_all_keys[n : n + np.shape(negatives)[0]]]
    if symmetric:
        d_keys_back, d_anchors_back, d_temperature_back = both[1].backward(weights)
        d_anchors, d_keys = d_anchors + d_anchors_back, d_keys + d_keys_back
        d_temperature += d_temperature_back
    return loss, (d_anchors, d_keys, *d_negatives, d_temperature)


def _queued(
    function: str, q: npt.ArrayLike, k: npt.ArrayLike, queue: npt.ArrayLike, options: ContrastOptions
) -> Contrast:
    """Queries against [keys; queue]: the own key is positive, the queue negative, other keys are left out."""
    if np.ndim(q) == np.ndim(queue) == 2:
        check_queue(function, np.shape(q)[1], np.shape(queue))
    a, b, queued = as_embeddings(function, {"q": q, "k": k, "queue": queue})
    check_rows(function, "q", a, "k", b)
    n, m = len(a), len(queued)
    own = np.eye(n, n + m, dtype=bool)
    in_queue = np.broadcast_to(np.arange(n + m) >= n, (n, n + m))
    return Contrast(a, np.concatenate([b, queued]), own, in_queue, options)


@documented
def moco(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    queue: npt.ArrayLike,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: Reduction = "mean",
) -> Value:
    """The cross entropy of each query's own key among this key and a queue of negatives.

    loss_i = log(exp(s_i) + sum_j exp(<q_i, queue_j> / tau)) - s_i, s_i = <q_i, k_i> / tau

    {queries}
    {value}

    References
    ----------
    He et al. 2020, "Momentum contrast for unsupervised visual representation learning", arXiv:1911.05722,
    equation 1.

    Examples
    --------
    >>> round(moco([[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]], temperature=1.0), 6)
    0.313262
    """
    contrast = _queued("moco", q, k, queue, contrast_options("moco", temperature, normalize))
    return reduced(contrast.losses, contrast.counted, as_reduction("moco", reduction))


@documented
def moco_value_and_grad(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    queue: npt.ArrayLike,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    reduction: ScalarReduction = "mean",
) -> PairGradient:
    """`moco` with its gradients: the loss and (grad_q, grad_k, grad_temperature).

    {queries}
    {gradient}

    Examples
    --------
    >>> round(moco_value_and_grad([[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]], temperature=1.0)[1][-1], 6)
    0.268941
    """
    function = "moco_value_and_grad"
    contrast = _queued(function, q, k, queue, contrast_options(function, temperature, normalize))
    weights = reduction_weights(contrast.counted, as_scalar_reduction(function, reduction))
    d_q, d_keys, d_temperature = contrast.backward(weights)
    return float(np.sum(contrast.losses * weights)), (d_q, d_keys[: len(d_q)], d_temperature)


def _of_labels(
    function: str,
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    labels: Any,
    symmetric: bool,
    options: ContrastOptions,
) -> list[Contrast]:
    """Anchors against keys and, if symmetric, keys against anchors; pairs with one label are positive."""
    a, k = as_embeddings(function, {"anchors": anchors, "keys": keys})
    check_rows(function, "anchors", a, "keys", k)
    groups = as_groups(OfRows(function, len(a), arrays=("anchors", "keys")), labels)
    same = groups[:, None] == groups
    sides = [(a, k), (k, a)] if symmetric else [(a, k)]
    return [Contrast(one, other, same, ~same, options) for one, other in sides]


@documented
def uni_cl(
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = True,
    reduction: Reduction = "mean",
) -> Value:
    """The mean cross entropy of the keys with an anchor's label among all keys.

    loss_i = mean over keys p with the label of i of [log sum_j exp(<a_i, k_j> / tau) - <a_i, k_p> / tau]

    {labelled_keys}
    {value}

    References
    ----------
    Yang, Li, Zhang, Xiao, Liu, Yuan and Gao 2022, "Unified contrastive learning in image-text-label space",
    arXiv:2204.03610.

    Examples
    --------
    >>> round(uni_cl([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], [3, 3], temperature=1.0), 6)
    0.813262
    """
    options = contrast_options("uni_cl", temperature, normalize)
    both = _of_labels("uni_cl", anchors, keys, labels, symmetric, options)
    losses = np.mean([contrast.losses for contrast in both], axis=0)
    return reduced(losses, both[0].counted, as_reduction("uni_cl", reduction))


@documented
def uni_cl_value_and_grad(
    anchors: npt.ArrayLike,
    keys: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
    symmetric: bool = True,
    reduction: ScalarReduction = "mean",
) -> PairGradient:
    """`uni_cl` with its gradients: the loss and (grad_anchors, grad_keys, grad_temperature).

    {labelled_keys}
    {gradient}

    Examples
    --------
    >>> z = [[1.0, 0.0], [0.0, 1.0]]
    >>> round(uni_cl_value_and_grad(z, z, [3, 3], temperature=1.0)[1][-1], 6)
    -0.231059
    """
    function = "uni_cl_value_and_grad"
    options = contrast_options(function, temperature, normalize)
    both = _of_labels(function, anchors, keys, labels, symmetric, options)
    weights = reduction_weights(both[0].counted, as_scalar_reduction(function, reduction)) / len(both)
    loss = sum(float(np.sum(contrast.losses * weights)) for contrast in both)
    d_anchors, d_keys, d_temperature = both[0].backward(weights)
    for contrast in both[1:]:
        d_keys_back, d_anchors_back, d_temperature_back = contrast.backward(weights)
        d_anchors, d_keys = d_anchors + d_anchors_back, d_keys + d_keys_back
        d_temperature += d_temperature_back
    return loss, (d_anchors, d_keys, d_temperature)
