"""Losses of pytorch-metric-learning, with its arguments labels, ref_emb and ref_labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .._arrays import checks
from .._evaluate import Call, evaluate
from .._losses import as_array
from .._problems.contrast import Contrast
from ..torch._namespace import TORCH
from ..torch._tensors import compute_dtype, on_device, unit_rows
from ._paragraphs import documented

_PAIRS_AT_ONCE = 1 << 14  # pairs whose rows are in memory; torch sums so many on one thread


class _Rows(NamedTuple):
    """Anchors and keys, rows of length 1, with a number from 0 for each label; keys None: the anchors."""

    anchors: Tensor  # (n, d)
    keys: Tensor | None  # (m, d)
    groups: Tensor  # (n,)
    key_groups: Tensor  # (m,)
    counts: Tensor  # (n,), numbers of positives

    def losses(self, function: str, kind: str, temperature: Any) -> Tensor:  # (n,)
        """The loss of every anchor, 0 without a positive."""
        sides = [self.anchors] if self.keys is None else [self.anchors, self.keys]
        labels = [self.groups] if self.keys is None else [self.groups, self.key_groups]
        problem = Contrast(function, False, "none", kind, 1, len(sides), True)
        inputs = (*sides, TORCH.temperature(function, temperature), *labels)
        losses: Tensor = evaluate(Call(TORCH, problem, inputs, (None,) * len(inputs)))
        return losses


class _LabelledLoss(nn.Module):
    """A loss of labelled embeddings, whose keys are `ref_emb` or, without it, the other embeddings."""

    def __init__(self, temperature: Any) -> None:
        super().__init__()
        TORCH.temperature(type(self).__name__, temperature)
        self.temperature = temperature

    def forward(
        self,
        embeddings: Tensor,
        labels: Any = None,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Any = None,
    ) -> Tensor:
        if indices_tuple is not None:
            raise NotImplementedError(
                f"{type(self).__name__}: indices_tuple must be None, because labels define the pairs"
            )
        rows = _rows(type(self).__name__, embeddings, labels, ref_emb, ref_labels)
        with torch.autocast(rows.anchors.device.type, enabled=False):
            return self._loss(rows)

    def _loss(self, rows: _Rows) -> Tensor:
        raise NotImplementedError


@documented
class SupConLoss(_LabelledLoss):
    """The supervised contrastive loss (L_out) of embeddings, or of embeddings against reference embeddings.

    loss_i = mean over positives p of [log sum_j exp(s_ij) - s_ip]

    with s the cosines divided by the temperature, and the sum over all keys j of embedding i. The loss is the
    mean over the embeddings that have a positive.

    {labelled_call}

    {labelled_differences}

    Parameters
    ----------
    {labelled_temperature}

    Raises
    ------
    {labelled_errors}
    NotImplementedError
        For indices_tuple.

    References
    ----------
    Khosla et al. 2020, "Supervised contrastive learning", arXiv:2004.11362, equation 2.

    Examples
    --------
    >>> z = torch.eye(3)
    >>> round(SupConLoss(temperature=0.5)(z, torch.tensor([7, 7, 8])).item(), 6)
    0.693147
    >>> labels = torch.tensor([0, 1, 2])
    >>> round(SupConLoss(0.5)(z, labels, ref_emb=z, ref_labels=labels).item(), 6)  # log(1 + 2 exp(-2))
    0.239545
    """

    def __init__(self, temperature: Any = 0.1) -> None:
        super().__init__(temperature)

    def _loss(self, rows: _Rows) -> Tensor:
        return _mean_of_anchors(rows, "SupConLoss", self.temperature)


@documented
class NTXentLoss(_LabelledLoss):
    """NT-Xent of every positive pair of embeddings, or of embeddings with reference embeddings.

    loss_ip = -log(exp(s_ip) / (exp(s_ip) + sum_j exp(s_ij)))

    with s the cosines divided by the temperature, p a positive of embedding i, and the sum over its negatives
    j. The loss is the mean over all pairs (i, p). It equals `SupConLoss` if each embedding has one positive,
    and `gramless.nt_xent` if the two views of each example have a label of their own.

    {labelled_call}

    Positive pairs are computed one by one, some thousands at a time: with few labels this takes longer than
    all negatives. On a GPU, an embedding may have one positive only.

    {labelled_differences}

    Parameters
    ----------
    {labelled_temperature}

    Raises
    ------
    {labelled_errors}
    NotImplementedError
        For indices_tuple, and for several positives of one embedding on a GPU.

    References
    ----------
    Chen, Kornblith, Norouzi and Hinton 2020, "A simple framework for contrastive learning of visual
    representations", arXiv:2002.05709, equation 1.

    Examples
    --------
    >>> z, labels = torch.eye(4), torch.tensor([0, 0, 1, 1])
    >>> round(NTXentLoss(temperature=0.5)(z, labels).item(), 6)  # log(1 + 2)
    1.098612
    >>> round(NTXentLoss(temperature=0.5)(z, labels, ref_emb=z, ref_labels=labels).item(), 6)
    0.669079
    """

    def __init__(self, temperature: Any = 0.07) -> None:
        super().__init__(temperature)

    def _loss(self, rows: _Rows) -> Tensor:
        if int(rows.counts.max()) < 2:
            return _mean_of_anchors(rows, "NTXentLoss", self.temperature)
        if on_device(rows.anchors):
            raise NotImplementedError(
                "NTXentLoss: several positives of one embedding are computed on the CPU only; copy the "
                "embeddings there, or use SupConLoss"
            )
        decoupled = rows.losses("NTXentLoss", "decoupled", self.temperature)
        order = rows.key_groups.argsort(stable=True)
        first = torch.searchsorted(rows.key_groups[order], rows.groups)
        chosen, runs = (rows, decoupled, self.temperature, order, first), _runs(rows.counts)
        if len(runs) == 1:
            total = _of_pairs(*chosen, runs[0])
        else:
            total = torch.zeros((), dtype=torch.float64)
            for part in runs:
                part_total: Tensor = checkpoint(
                    _of_pairs, *chosen, part, use_reentrant=False, preserve_rng_state=False
                )
                total = total + part_total
        return (total / rows.counts.sum()).to(rows.anchors.dtype)


def _mean_of_anchors(rows: _Rows, function: str, temperature: Any) -> Tensor:
    """The mean loss of the anchors that have a positive."""
    losses = rows.losses(function, "softmax", temperature)
    return (losses.sum(dtype=torch.float64) / (rows.counts > 0).sum().clamp(min=1)).to(rows.anchors.dtype)


def _runs(counts: Tensor) -> list[slice]:
    """Consecutive anchors whose positives together are about as many as are computed at once."""
    before = counts.cumsum(0) - counts
    starts = torch.unique_consecutive(before // _PAIRS_AT_ONCE, return_counts=True)[1].cumsum(0).tolist()
    return [slice(start, stop) for start, stop in zip([0, *starts], starts, strict=False)]


def _of_pairs(
    rows: _Rows, decoupled: Tensor, temperature: Any, order: Tensor, first: Tensor, part: slice
) -> Tensor:
    """The sum of the losses of the positive pairs of some anchors."""
    anchors, counts = rows.anchors[part], rows.counts[part]
    keys, own = rows.keys, 0
    if keys is None:
        keys, own = rows.anchors, 1
    several = counts + own  # keys with the anchor's label, including itself
    anchor = torch.arange(len(counts)).repeat_interleave(several)
    place = torch.arange(len(anchor)) - (several.cumsum(0) - several)[anchor]
    key = order[first[part][anchor] + place]
    if own:
        others = key != anchor + (part.start or 0)
        anchor, key = anchor[others], key[others]
    logits = (anchors[anchor] * keys[key]).sum(1) / temperature
    means = torch.zeros_like(decoupled[part]).index_add(0, anchor, logits) / counts.clamp(min=1)
    negatives = decoupled[part] + means  # the logarithm of their sum
    losses = torch.nn.functional.softplus(negatives[anchor] - logits, threshold=50)
    return losses.sum(dtype=torch.float64)


def _rows(function: str, embeddings: Any, labels: Any, ref_emb: Any, ref_labels: Any) -> _Rows:
    """The checked rows of a call."""
    if (ref_emb is None) != (ref_labels is None):
        given = ("ref_labels", "ref_emb") if ref_emb is None else ("ref_emb", "ref_labels")
        raise ValueError(f"{function}: {given[0]} needs {given[1]}, which is None")
    named = [("embeddings", embeddings)] + ([] if ref_emb is None else [("ref_emb", ref_emb)])
    anchors, *others = checks.matrices(function, TORCH, named)
    found = [_labels(function, "labels", labels, "embeddings", anchors)]
    for keys in others:
        checks.same_columns(function, "embeddings", anchors, "ref_emb", keys)
        found.append(_labels(function, "ref_labels", ref_labels, "ref_emb", keys))
    numbers = torch.unique(torch.cat(found), return_inverse=True)[1]
    groups, *of_keys = numbers.split([len(part) for part in found])
    key_groups = of_keys[0] if of_keys else groups
    counts = torch.bincount(key_groups, minlength=int(numbers.max()) + 1)[groups] - (0 if others else 1)
    dtype = compute_dtype([anchors, *others])
    rows = [unit_rows(x, dtype) for x in (anchors, *others)]
    return _Rows(rows[0], rows[1] if others else None, groups, key_groups, counts)


def _labels(function: str, name: str, labels: Any, of: str, rows: Tensor) -> Tensor:
    """Integers (n,), one for each row."""
    if labels is None:
        raise ValueError(f"{function}: {name} must have one integer for each row of {of} but is None")
    if getattr(labels, "shape", None) == rows.shape:
        raise ValueError(
            f"{function}: {name} has shape {tuple(labels.shape)}, as {of}; two views of each example are for "
            "gramless.nt_xent"
        )
    if not isinstance(labels, Tensor):
        array = as_array(function, name, labels, "integers")
        if array.dtype.kind not in "biu":
            raise TypeError(f"{function}: {name} must be integers but has dtype {array.dtype}")
        labels = torch.from_numpy(array.astype("int64"))
    labels = TORCH.read(function, name, labels)
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"{function}: {name} must be integers but has dtype {labels.dtype}")
    if labels.ndim != 1 or len(labels) != len(rows):
        shape = tuple(labels.shape)
        raise ValueError(f"{function}: {of} has {len(rows)} rows but {name} has shape {shape}")
    integers: Tensor = labels.to(rows.device, torch.int64)
    return integers
