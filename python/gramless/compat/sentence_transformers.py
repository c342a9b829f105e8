"""Contrastive losses of sentence-transformers (imported there from `sentence_transformers.losses`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .._counts import as_number, at_least
from ..torch._gather import check_available, ends_together
from ..torch._ranking import DIRECTIONS, SAME_SIDE, Ranking
from ._paragraphs import documented

_PARTITIONS = ("joint", "per_direction")
_SIMILARITIES = {"cos_sim": True, "pytorch_cos_sim": True, "dot_score": False}  # whether rows are normalised

Similarity = Callable[[Tensor, Tensor], Tensor]


def _is_normalizing(function: str, similarity_fct: Similarity | None) -> bool:
    """Whether similarities are cosines; raises NotImplementedError unless they are products of rows."""
    if similarity_fct is None:
        return True
    package = str(getattr(similarity_fct, "__module__", "")).partition(".")[0]
    name = getattr(similarity_fct, "__name__", "")
    if package != "sentence_transformers" or name not in _SIMILARITIES:
        raise NotImplementedError(
            f"{function}: similarity_fct must be None, or cos_sim or dot_score of sentence_transformers.util "
            f"but is {name or similarity_fct!r} of {package or 'no package'}"
        )
    return _SIMILARITIES[name]


def mini_batches(function: str, features: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """Features of at most `size` examples each, the first dimension of all tensors."""
    rows = [len(x) for x in features.values() if isinstance(x, Tensor) and x.ndim > 0]
    if not rows:
        raise ValueError(f"{function}: features must contain a tensor but contain {list(features)}")

    def part(some: slice) -> dict[str, Any]:
        return {name: x[some] if isinstance(x, Tensor) and x.ndim > 0 else x for name, x in features.items()}

    return [part(slice(start, start + size)) for start in range(0, rows[0], size)]


def checkpointed(model: Callable[..., Tensor], parts: Sequence[dict[str, Any]]) -> Tensor:
    """The model's embeddings of all parts, one after the other; the backward computes them once more."""

    def embedded(part: dict[str, Any]) -> Tensor:
        return model(dict(part))  # a copy, because models write into their features

    return torch.cat([checkpoint(embedded, part, use_reentrant=False) for part in parts])


def _as_directions(function: str, directions: Iterable[str], partition_mode: str) -> tuple[str, ...]:
    """The directions, checked to be valid for the partition."""
    chosen = (directions,) if isinstance(directions, str) else tuple(directions)
    unknown = [one for one in chosen if one not in DIRECTIONS]
    if unknown:
        raise ValueError(
            f"{function}: directions must be among {', '.join(DIRECTIONS)} but has {unknown[0]!r}"
        )
    if "query_to_doc" not in chosen:
        raise ValueError(
            f'{function}: directions must have "query_to_doc", which has the positives, but is {chosen}'
        )
    if partition_mode not in _PARTITIONS:
        raise ValueError(
            f'{function}: partition_mode must be "joint" or "per_direction" but is {partition_mode!r}'
        )
    alike = [one for one in chosen if one in SAME_SIDE]
    if partition_mode == "per_direction" and alike:
        raise ValueError(
            f'{function}: with partition_mode="per_direction" directions must not have {alike[0]!r}, '
            'which has no positives; pass partition_mode="joint"'
        )
    return tuple(one for one in DIRECTIONS if one in chosen)


@documented
class MultipleNegativesRankingLoss(nn.Module):
    """The softmax of each anchor's positive among all positives and hard negatives of the batch.

    loss = mean_i [log sum_j exp(scale s_ij) - scale s_ii], s_ij the similarity of anchor i and document j

    Documents are the positives and then the negatives.

    {ranking_call}

    Parameters
    ----------
    {ranking}
    {directions}

    Raises
    ------
    {ranking_errors}

    References
    ----------
    {henderson}

    Examples
    --------
    >>> import torch
    >>> x = torch.eye(6)
    >>> loss = MultipleNegativesRankingLoss(model=None, scale=2.0)
    >>> round(loss.compute_loss_from_embeddings([x[:2], x[:2], x[2:4], x[4:]]).item(), 6)
    0.516814
    """

    def __init__(
        self,
        model: Any,
        scale: float = 20.0,
        similarity_fct: Similarity | None = None,
        gather_across_devices: bool = False,
        directions: Iterable[str] = ("query_to_doc",),
        partition_mode: str = "joint",
        hardness_mode: str | None = None,
        hardness_strength: float = 0.0,
    ) -> None:
        super().__init__()
        function = type(self).__name__
        self.model, self.similarity_fct = model, similarity_fct
        self.scale = as_number(function, "scale", scale)
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"{function}: scale must be positive and finite but is {self.scale!r}")
        self._normalizes = _is_normalizing(function, similarity_fct)
        check_available(function, gather_across_devices)
        self.gather_across_devices = bool(gather_across_devices)
        self.directions = _as_directions(function, directions, partition_mode)
        self.partition_mode = partition_mode
        if hardness_mode is not None:
            raise NotImplementedError(
                f"{function}: hardness_mode must be None but is {hardness_mode!r}; weights are not supported"
            )
        self.hardness_mode, self.hardness_strength = hardness_mode, hardness_strength

    @property
    def temperature(self) -> float:
        """The divisor of the similarities, 1 / scale."""
        return 1.0 / self.scale

    @property
    def gather_distributed(self) -> bool:
        """The value of `gather_across_devices`, under its name in the losses of `gramless.torch`."""
        return self.gather_across_devices

    def get_config_dict(self) -> dict[str, Any]:
        """The entries that sentence-transformers writes into a model card."""
        names = ("scale", "gather_across_devices", "directions", "partition_mode")
        similarity = "cos_sim" if self.similarity_fct is None else self.similarity_fct.__name__
        return {name: getattr(self, name) for name in names} | {"similarity_fct": similarity}

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Any = None) -> Tensor:
        embeddings = [self._embedded(features) for features in sentence_features]
        return self.compute_loss_from_embeddings(embeddings, labels)

    def _embedded(self, features: dict[str, Tensor]) -> Tensor:
        found: Tensor = self.model(features)["sentence_embedding"]
        return found

    @ends_together
    def compute_loss_from_embeddings(self, embeddings: Sequence[Tensor], labels: Any = None) -> Tensor:
        """The loss of anchors, positives and negatives.

        Parameters
        ----------
        embeddings : sequence of tensors (n, d)
            Anchors, positives and any number of negatives.
        labels
            Ignored.

        Returns
        -------
        Tensor
            0-d.

        Raises
        ------
        ValueError
            If there are fewer than two, or shapes do not match.
        """
        one_each = self.partition_mode == "per_direction"
        chosen = self.scale, self._normalizes, self.directions, one_each, self.gather_across_devices
        return Ranking(type(self).__name__, *chosen).loss(embeddings)


@documented
class CachedMultipleNegativesRankingLoss(MultipleNegativesRankingLoss):
    """`MultipleNegativesRankingLoss` with an encoder that keeps the activations of one mini-batch at a time.

    The loss itself needs no mini-batches, because it makes no n x n matrix. mini_batch_size bounds the
    activations that the encoder keeps for its backward: the forward encodes mini-batches without keeping
    activations, and the backward runs each mini-batch through the encoder once more (Gao et al. 2021; here
    with `torch.utils.checkpoint`, with the same random numbers for dropout). Values and gradients do not
    depend on mini_batch_size, unless the encoder combines rows, as batch normalisation does. Tensors among
    the features must have the example as their first dimension.

    {ranking_call}

    Parameters
    ----------
    {cached_ranking}

    Raises
    ------
    {ranking_errors}

    References
    ----------
    {gao}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> encoder = nn.Linear(6, 4)
    >>> model = lambda features: {"sentence_embedding": encoder(features["x"])}
    >>> anchors, positives = torch.randn(2, 10, 6)
    >>> loss = CachedMultipleNegativesRankingLoss(model, mini_batch_size=4)
    >>> loss([{"x": anchors}, {"x": positives}]).backward()
    >>> encoder.weight.grad.shape
    torch.Size([4, 6])
    """

    def __init__(
        self,
        model: Any,
        scale: float = 20.0,
        similarity_fct: Similarity | None = None,
        mini_batch_size: int = 32,
        gather_across_devices: bool = False,
        directions: Iterable[str] = ("query_to_doc",),
        partition_mode: str = "joint",
        show_progress_bar: bool = False,
        hardness_mode: str | None = None,
        hardness_strength: float = 0.0,
    ) -> None:
        chosen = directions, partition_mode, hardness_mode, hardness_strength
        super().__init__(model, scale, similarity_fct, gather_across_devices, *chosen)
        self.mini_batch_size = at_least(1, type(self).__name__, "mini_batch_size", mini_batch_size)
        self.show_progress_bar = show_progress_bar

    def get_config_dict(self) -> dict[str, Any]:
        """The entries that sentence-transformers writes into a model card."""
        return super().get_config_dict() | {"mini_batch_size": self.mini_batch_size}

    def _embedded(self, features: dict[str, Tensor]) -> Tensor:
        parts = mini_batches(type(self).__name__, features, self.mini_batch_size)
        return checkpointed(super()._embedded, parts)


@documented
class MultipleNegativesSymmetricRankingLoss(MultipleNegativesRankingLoss):
    """`MultipleNegativesRankingLoss` in both directions: each positive among all documents, and each anchor
    among all anchors.

    Its directions are "query_to_doc" and "doc_to_query", its partition_mode is "per_direction".

    {ranking_call}

    Parameters
    ----------
    {ranking}

    Raises
    ------
    ValueError
        If an option is invalid, shapes do not match, or the calls of processes differ.
    NotImplementedError
        For another similarity_fct.

    References
    ----------
    {henderson}

    Examples
    --------
    >>> import torch
    >>> z = torch.eye(4)
    >>> loss = MultipleNegativesSymmetricRankingLoss(model=None, scale=2.0)
    >>> round(loss.compute_loss_from_embeddings([z, z]).item(), 6)
    0.340753
    """

    def __init__(
        self,
        model: Any,
        scale: float = 20.0,
        similarity_fct: Similarity | None = None,
        gather_across_devices: bool = False,
    ) -> None:
        directions = "query_to_doc", "doc_to_query"
        super().__init__(model, scale, similarity_fct, gather_across_devices, directions, "per_direction")
