"""GISTEmbedLoss of sentence-transformers (imported there from `sentence_transformers.losses`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import _loss_calls
from .._arrays import checks
from .._counts import as_flag, at_least
from .._evaluate import evaluate
from .._losses import as_margin, as_temperature, check_guide, is_share
from ..torch._gather import check_available, check_shards, ends_together, world_size
from ..torch._namespace import TORCH
from ..torch._ranking import OtherRows, Rows
from ._paragraphs import documented
from .sentence_transformers import checkpointed, mini_batches


def _reads_other_tokens(model: Any, guide: Any) -> bool:
    """Whether the guide needs its own tokens: its vocabulary differs, or it reads fewer tokens."""
    own, other = (getattr(one, "tokenizer", None) for one in (model, guide))
    if not (hasattr(own, "get_vocab") and hasattr(other, "get_vocab")):
        return False
    most, fewest = (getattr(one, "max_seq_length", None) for one in (model, guide))
    shorter = most is not None and fewest is not None and fewest < most
    return bool(own.get_vocab() != other.get_vocab() or shorter)  # type: ignore[union-attr]


def _token_ids(features: dict[str, Any]) -> Any:
    """The token ids of each text; texts without padding are one row, with their ends in cu_seq_lens_q."""
    if "cu_seq_lens_q" not in features:
        return features["input_ids"]
    ids, ends = features["input_ids"][0].tolist(), features["cu_seq_lens_q"].tolist()
    return [ids[first:end] for first, end in itertools.pairwise(ends)]


@documented
class GISTEmbedLoss(nn.Module):
    """The softmax of each anchor's positive among the pairs of the batch that a guide keeps.

    {guided_call}

    Parameters
    ----------
    {guided}

    Raises
    ------
    {guided_errors}

    References
    ----------
    {solatorio}

    Examples
    --------
    >>> import torch
    >>> z = torch.eye(4)
    >>> loss = GISTEmbedLoss(None, None, 0.5, contrast_anchors=False, contrast_positives=False)
    >>> round(loss.compute_loss_from_embeddings([z, z], [z, z]).item(), 6)
    0.340753
    """

    def __init__(
        self,
        model: Any,
        guide: Any,
        temperature: float = 0.01,
        margin_strategy: str = "absolute",
        margin: float = 0.0,
        contrast_anchors: bool = True,
        contrast_positives: bool = True,
        gather_across_devices: bool = False,
    ) -> None:
        super().__init__()
        function = type(self).__name__
        self.model, self.guide = model, guide
        self.temperature = as_temperature(function, temperature)
        is_share(function, margin_strategy)
        self.margin_strategy, self.margin = margin_strategy, as_margin(function, margin)
        self.contrast_anchors = as_flag(function, "contrast_anchors", contrast_anchors)
        self.contrast_positives = as_flag(function, "contrast_positives", contrast_positives)
        check_available(function, gather_across_devices)
        self.gather_across_devices = bool(gather_across_devices)
        self.must_retokenize = _reads_other_tokens(model, guide)

    @property
    def gather_distributed(self) -> bool:
        """The value of `gather_across_devices`, under its name in the losses of `gramless.torch`."""
        return self.gather_across_devices

    def get_config_dict(self) -> dict[str, Any]:
        """The entries that sentence-transformers writes into a model card."""
        names = "guide", "temperature", "margin_strategy", "margin", "contrast_anchors", "contrast_positives"
        return {name: getattr(self, name) for name in (*names, "gather_across_devices")}

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Any = None) -> Tensor:
        embeddings, guided = [], []
        for features in sentence_features:
            given = dict(features)  # a copy, because models write into their features
            embeddings.append(self._embedded(features))
            with torch.no_grad():
                guided.append(self._guided(given))
        return self.compute_loss_from_embeddings(embeddings, guided, labels)

    def _embedded(self, features: dict[str, Any]) -> Tensor:
        found: Tensor = self.model(features)["sentence_embedding"]
        return found

    def _guided(self, features: dict[str, Any]) -> Tensor:
        if self.must_retokenize:
            texts = self.model.tokenizer.batch_decode(_token_ids(features), skip_special_tokens=True)
            read = getattr(self.guide, "preprocess", None) or self.guide.tokenize
            features = {
                name: x.to(self.guide.device) if isinstance(x, Tensor) else x
                for name, x in read(texts).items()
            }
        found: Tensor = self.guide(features)["sentence_embedding"]
        return found

    @ends_together
    def compute_loss_from_embeddings(
        self, embeddings: Sequence[Tensor], guide_embeddings: Sequence[Tensor], labels: Any = None
    ) -> Tensor:
        """The loss of anchors, positives and negatives.

        Parameters
        ----------
        embeddings : sequence of tensors (n, d)
            The model's anchors, positives and any number of negatives.
        guide_embeddings : sequence of tensors (n, e)
            The guide's embeddings of the same texts.
        labels
            Ignored.

        Returns
        -------
        Tensor
            0-d.

        Raises
        ------
        ValueError
            If the numbers of embeddings or their shapes do not match.
        """
        function, count = type(self).__name__, len(embeddings)
        if count < 2 or count != len(guide_embeddings):
            raise ValueError(
                f"{function}: there must be anchors and positives, and the guide's for each, but {count} "
                f"embeddings and {len(guide_embeddings)} of the guide are given"
            )
        names = ["anchor", "positive", *[f"negative_{i + 1}" for i in range(count - 2)]]
        rows = list(zip(names, embeddings, strict=True))
        guide = [(f"guide_{name}", x) for name, x in zip(names, guide_embeddings, strict=True)]
        gathers = self.gather_across_devices and world_size() > 1
        if gathers:
            rows, guide = self._alike(rows), self._alike(guide)
            for name, x in guide:
                check_guide(function, name, x.isfinite().all(1).long())
            rows = self._with_others(rows)
            with torch.no_grad():
                guide = self._with_others(guide)
        chosen, contrast = (
            _loss_calls.Chosen(self.temperature),
            (self.contrast_anchors, self.contrast_positives),
        )
        margin = self.margin, self.margin_strategy
        call = _loss_calls.guided(function, rows, guide, chosen, margin, contrast, gathers)
        found: Tensor = evaluate(call)
        return found

    def _alike(self, named: list[Rows]) -> list[Rows]:
        """The arrays, after a check that they have one shape."""
        function, first = type(self).__name__, named[0][0]
        arrays = checks.matrices(function, TORCH, named)
        for (name, _), x in zip(named[1:], arrays[1:], strict=True):
            checks.same_columns(function, first, arrays[0], name, x)
            checks.same_rows(function, first, arrays[0], name, x)
        return list(zip([name for name, _ in named], arrays, strict=True))

    def _with_others(self, named: list[Rows]) -> list[Rows]:
        """The rows of this process, then negatives of the others, if there are any, then their positives."""
        arrays = [x for _, x in named]
        options = self.margin, self.margin_strategy, self.contrast_anchors, self.contrast_positives
        also = "number of embeddings", len(arrays)
        use = " ".join(map(str, options))
        check_shards(type(self).__name__, arrays, self.temperature, use=use, also=also)
        n, others = len(arrays[0]), OtherRows.apply(torch.cat(arrays[1:]))
        more = [("negatives of other processes", others[:, n:].flatten(0, 1))] if len(arrays) > 2 else []
        return [*named, *more, ("positives of other processes", others[:, :n].flatten(0, 1))]


@documented
class CachedGISTEmbedLoss(GISTEmbedLoss):
    """`GISTEmbedLoss` with a model that keeps the activations of one mini-batch at a time.

    The loss itself needs no mini-batches, because it makes no n x n matrix. mini_batch_size bounds the
    activations that the model keeps for its backward, which runs each mini-batch through the model once more
    (Gao et al. 2021; here with `torch.utils.checkpoint`), and the texts that the guide encodes at once. There
    may be several negatives. Tensors among the features must have the example as their first dimension.

    {guided_call}

    Parameters
    ----------
    {cached_guided}

    Raises
    ------
    {guided_errors}

    References
    ----------
    {gao}
    {solatorio}

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> encoder, guide = nn.Linear(6, 4), nn.Linear(6, 3)
    >>> model = lambda features: {"sentence_embedding": encoder(features["x"])}
    >>> guided = lambda features: {"sentence_embedding": guide(features["x"])}
    >>> anchors, positives = torch.randn(2, 10, 6)
    >>> loss = CachedGISTEmbedLoss(model, guided, mini_batch_size=4)
    >>> loss([{"x": anchors}, {"x": positives}]).backward()
    >>> encoder.weight.grad.shape, guide.weight.grad
    (torch.Size([4, 6]), None)
    """

    def __init__(
        self,
        model: Any,
        guide: Any,
        temperature: float = 0.01,
        mini_batch_size: int = 32,
        show_progress_bar: bool = False,
        margin_strategy: str = "absolute",
        margin: float = 0.0,
        contrast_anchors: bool = True,
        contrast_positives: bool = True,
        gather_across_devices: bool = False,
    ) -> None:
        chosen = margin_strategy, margin, contrast_anchors, contrast_positives, gather_across_devices
        super().__init__(model, guide, temperature, *chosen)
        self.mini_batch_size = at_least(1, type(self).__name__, "mini_batch_size", mini_batch_size)
        self.show_progress_bar = show_progress_bar

    def get_config_dict(self) -> dict[str, Any]:
        """The entries that sentence-transformers writes into a model card."""
        return super().get_config_dict() | {"mini_batch_size": self.mini_batch_size}

    def _embedded(self, features: dict[str, Any]) -> Tensor:
        parts = mini_batches(type(self).__name__, features, self.mini_batch_size)
        return checkpointed(super()._embedded, parts)

    def _guided(self, features: dict[str, Any]) -> Tensor:
        parts = mini_batches(type(self).__name__, features, self.mini_batch_size)
        guided = super()._guided
        return torch.cat([guided(part) for part in parts])
