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
from .sentence_transformers import checkpointed, mini_batches


def _reads_other_tokens(model: Any, guide: Any) -> bool:
    """Whether the guide needs tokens of its own: its vocabulary differs, or it reads fewer of them."""
    own, other = (getattr(one, "tokenizer", None) for one in (model, guide))
    if not (hasattr(own, "get_vocab") and hasattr(other, "get_vocab")):
        return False
    most, fewest = (getattr(one, "max_seq_length", None) for one in (model, guide))
    shorter = most is not None and fewest is not None and fewest < most
    return bool(own.get_vocab() != other.get_vocab() or shorter)  # type: ignore[union-attr]


def _token_ids(features: dict[str, Any]) -> Any:
    """Of each text; texts without padding are behind each other in one row, and their ends are known."""
    if "cu_seq_lens_q" not in features:
        return features["input_ids"]
    ids, ends = features["input_ids"][0].tolist(), features["cu_seq_lens_q"].tolist()
    return [ids[first:end] for first, end in itertools.pairwise(ends)]


class GISTEmbedLoss(nn.Module):
    """For each anchor the softmax of its positive among what a guide leaves of the batch.

    forward(sentence_features, labels=None): features of anchors, of positives and, if there are any, of
    negatives, each of which model and guide turn into {"sentence_embedding": (n, d)}; labels play no part.
    `compute_loss_from_embeddings([anchors, positives, ...], [guide's anchors, ...])` starts from embeddings.
    Negatives of anchor i are the cosines of a_i with other positives, with negatives and with anchors, and of
    p_i with positives, unless the guide's cosine is above that of a_i and p_i less the margin. No n x n
    matrix is made: `gramless.guided_info_nce`. The guide gets no gradient.

    Where model and guide have tokenizers of different vocabularies, or the guide reads fewer tokens, texts
    are decoded and tokenised for the guide, as in sentence-transformers; where one has no tokenizer, both
    read the same features.

    Parameters
    ----------
    model : callable
        A SentenceTransformer, or what returns a dict with "sentence_embedding".
    guide : callable
        The same; it is run without gradients.
    temperature : float
        What cosines are divided by, not 0.
    margin_strategy : {"absolute", "relative"}
        What is subtracted from the guide's cosine of a_i and p_i: the margin, or the margin times the
        magnitude of that cosine.
    margin : float
        0 leaves out what is more similar than the positive; what is as similar stays.
    contrast_anchors, contrast_positives : bool
        Whether pairs of two anchors, and of two positives, are negatives.
    gather_across_devices : bool
        Whether positives and negatives of all processes of torch.distributed count, which must hold equally
        many rows. The loss is that of this process's anchors, and gradients are those of the sum of all
        processes' losses, so that the average DistributedDataParallel takes is the gradient of the whole.

    Raises
    ------
    ValueError
        For options and shapes that do not fit, rows of the guide that are not finite, and processes whose
        calls differ.
    NotImplementedError
        For tensors of a GPU.

    References
    ----------
    Solatorio 2024, "GISTEmbed: guided in-sample selection of training negatives for text embedding
    fine-tuning", arXiv:2402.16829.

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
        """The same as `gather_across_devices`, under the name that losses of `gramless.torch` have for it."""
        return self.gather_across_devices

    def get_config_dict(self) -> dict[str, Any]:
        """What sentence-transformers writes into a model card."""
        names = "guide", "temperature", "margin_strategy", "margin", "contrast_anchors", "contrast_positives"
        return {name: getattr(self, name) for name in (*names, "gather_across_devices")}

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Any = None) -> Tensor:
        embeddings, guided = [], []
        for features in sentence_features:
            given = dict(features)  # models write into them
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
        """The loss of anchors, positives and negatives, (n, d) each, and the guide's (n, e); labels play no
        part.
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
        """The same once they are known to have one shape."""
        function, first = type(self).__name__, named[0][0]
        arrays = checks.matrices(function, TORCH, named)
        for (name, _), x in zip(named[1:], arrays[1:], strict=True):
            checks.same_columns(function, first, arrays[0], name, x)
            checks.same_rows(function, first, arrays[0], name, x)
        return list(zip([name for name, _ in named], arrays, strict=True))

    def _with_others(self, named: list[Rows]) -> list[Rows]:
        """Behind the rows of this process negatives of the others, if there are any, then their positives."""
        arrays = [x for _, x in named]
        options = self.margin, self.margin_strategy, self.contrast_anchors, self.contrast_positives
        also = "number of embeddings", len(arrays)
        use = " ".join(map(str, options))
        check_shards(type(self).__name__, arrays, self.temperature, use=use, also=also)
        n, others = len(arrays[0]), OtherRows.apply(torch.cat(arrays[1:]))
        more = [("negatives of other processes", others[:, n:].flatten(0, 1))] if len(arrays) > 2 else []
        return [*named, *more, ("positives of other processes", others[:, :n].flatten(0, 1))]


class CachedGISTEmbedLoss(GISTEmbedLoss):
    """The same, with a model that keeps the activations of one mini-batch at a time.

    The loss itself needs no mini-batches: it makes no n x n matrix. mini_batch_size bounds what the model
    keeps for its backward, which runs each mini-batch through it once more (Gao et al. 2021; here by
    `torch.utils.checkpoint`), and what the guide sees at once. There may be several negatives. Tensors among
    the features have the example as their first dimension.

    Parameters
    ----------
    model, guide, temperature, margin_strategy, margin, contrast_anchors, contrast_positives
        As in `GISTEmbedLoss`.
    mini_batch_size : int
        How many texts model and guide see at once.
    show_progress_bar
        Without effect.
    gather_across_devices : bool
        As in `GISTEmbedLoss`.

    References
    ----------
    Gao, Zhang, Han and Callan 2021, "Scaling deep contrastive learning batch size under memory limited
    setup", arXiv:2101.06983.

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
        return super().get_config_dict() | {"mini_batch_size": self.mini_batch_size}

    def _embedded(self, features: dict[str, Any]) -> Tensor:
        parts = mini_batches(type(self).__name__, features, self.mini_batch_size)
        return checkpointed(super()._embedded, parts)

    def _guided(self, features: dict[str, Any]) -> Tensor:
        parts = mini_batches(type(self).__name__, features, self.mini_batch_size)
        guided = super()._guided
        return torch.cat([guided(part) for part in parts])
