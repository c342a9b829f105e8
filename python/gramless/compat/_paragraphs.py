"""Paragraphs that several docstrings of `gramless.compat` share; each replaces its name in braces."""

from __future__ import annotations

from .._docs import SHARED
from .._paragraphs import T, inserted

_GATHERED = """
    Whether to use the batches of all processes of torch.distributed, which must hold equally many rows.
    The loss is that of this process's anchors, and its gradients are those of the sum of all processes'
    losses. DistributedDataParallel averages these, which gives the gradient of the whole batch."""
_RANKING = """
model : callable
    A SentenceTransformer, or a callable that returns a dict with "sentence_embedding".
scale : float
    The factor of the similarities, 1 / temperature; above 0.
similarity_fct : callable, optional
    None or `cos_sim` for cosines, or `dot_score`, both of sentence_transformers.util. Others would need
    the n x n matrix."""
_DIRECTIONS = """
directions : sequence of {"query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"}
    The similarities in an anchor's softmax. "query_to_doc", which is required, are those of the anchor
    with all documents; "query_to_query" those of the anchor with other anchors; "doc_to_query" those of
    its positive with anchors; "doc_to_doc" those of its positive with documents of other anchors.
partition_mode : {"joint", "per_direction"}
    One softmax over all directions, or the mean of one softmax for each direction, which excludes
    "query_to_query" and "doc_to_doc". "query_to_doc" alone, and "per_direction" in one process, take one
    walk over the pairs and one for gradients; others take a walk for each direction."""
_HARDNESS = """
hardness_mode, hardness_strength
    Must be None and 0: similarities are not weighted by hardness here."""
_GUIDED = """
model : callable
    A SentenceTransformer, or a callable that returns a dict with "sentence_embedding".
guide : callable
    Another such model, which runs without gradients.
temperature : float
    The divisor of the cosines; not 0."""
_MARGINS = f"""
margin_strategy : {{"absolute", "relative"}}
    What is subtracted from the guide's cosine of a_i and p_i: the margin, or the margin times the
    magnitude of that cosine.
margin : float
    0 leaves out pairs that are more similar than a_i and p_i, and keeps pairs that are equally similar.
contrast_anchors, contrast_positives : bool
    Whether pairs of two anchors, and pairs of two positives, are negatives.
gather_across_devices : bool{_GATHERED}"""
_MINI_BATCH_SIZE = """
mini_batch_size : int
    The largest number of texts that a model encodes at once."""
_PROGRESS_BAR = """
show_progress_bar : bool
    Without effect."""
PARAGRAPHS = SHARED | {
    "ranking_call": """
forward(sentence_features, labels=None) takes the features of anchors, of positives and optionally of
negatives; the model turns each into {"sentence_embedding": (n, d)}. It returns the loss, a 0-d tensor,
and ignores labels. `compute_loss_from_embeddings([anchors, positives, negatives, ...])` starts from
embeddings. All embeddings get gradients, and no n x n matrix is made: `gramless.info_nce` with
`negatives`.""",
    "ranking": f"{_RANKING}\ngather_across_devices : bool{_GATHERED}",
    "directions": f"{_DIRECTIONS}{_HARDNESS}",
    "cached_ranking": f"{_RANKING}{_MINI_BATCH_SIZE}\ngather_across_devices : bool{_GATHERED}"
    f"{_DIRECTIONS}{_PROGRESS_BAR}{_HARDNESS}",
    "ranking_errors": """
ValueError
    If an option is invalid, shapes do not match, or the calls of processes differ.
NotImplementedError
    For another similarity_fct and for hardness_mode; on a GPU for "doc_to_doc" with negatives, and for
    "query_to_query" and "doc_to_doc" over several processes.""",
    "guided_call": """
forward(sentence_features, labels=None) takes the features of anchors, of positives and optionally of
negatives; model and guide turn each into {"sentence_embedding": (n, d)}. It returns the loss, a 0-d
tensor, and ignores labels. `compute_loss_from_embeddings([anchors, positives, ...], [guide's anchors,
...])` starts from embeddings.

loss_i = log(exp(s(a_i, p_i)) + sum exp(s)) - s(a_i, p_i), with s the cosines divided by the temperature.
The sum is over the pairs of a_i with other positives, with negatives and with anchors, and of p_i with
positives, except those that the guide finds more similar than a_i and p_i less the margin. No n x n
matrix is made: `gramless.guided_info_nce`. The guide gets no gradient.

If model and guide have tokenizers of different vocabularies, or the guide reads fewer tokens, texts are
decoded and tokenised again for the guide, as in sentence-transformers. If one of them has no tokenizer,
both read the same features.""",
    "guided": f"{_GUIDED}{_MARGINS}",
    "cached_guided": f"{_GUIDED}{_MINI_BATCH_SIZE}{_PROGRESS_BAR}{_MARGINS}",
    "guided_errors": """
ValueError
    If an option is invalid, shapes do not match, the guide's rows are not finite, or the calls of
    processes differ.
NotImplementedError
    For tensors on a GPU.""",
    "labelled_call": """
forward(embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None) takes embeddings (n, d)
with integer labels (n,), and returns the loss, a 0-d tensor. With ref_emb (m, d) and ref_labels (m,), the
keys of each embedding are the rows of ref_emb; otherwise they are all other embeddings. Keys with the
embedding's label are its positives, all others its negatives. Both arrays get gradients.""",
    "labelled_differences": """
Differences from pytorch-metric-learning: indices_tuple must be None; a batch without a negative has the
loss of the formula, where theirs is 0; ref_labels may be the same object as labels, where theirs then
leaves the pairs (i, i) out.""",
    "labelled_temperature": """
temperature : float, tensor or parameter
    The divisor of the cosines; not 0. A 0-d tensor gets a gradient.""",
    "labelled_errors": """
ValueError
    If shapes do not match, or labels are missing.
TypeError
    If labels are not integers.""",
    "henderson": """
Henderson et al. 2017, "Efficient natural language response suggestion for Smart Reply", arXiv:1705.00652.
Li et al. 2023, "Towards general text embeddings with multi-stage contrastive learning", arXiv:2308.03281
(all four directions).""",
    "gao": """
Gao, Zhang, Han and Callan 2021, "Scaling deep contrastive learning batch size under memory limited
setup", arXiv:2101.06983.""",
    "solatorio": """
Solatorio 2024, "GISTEmbed: guided in-sample selection of training negatives for text embedding
fine-tuning", arXiv:2402.16829.""",
    "kornblith": """
Kornblith, Norouzi, Lee and Hinton 2019, "Similarity of neural network representations revisited",
arXiv:1905.00414.""",
    "nguyen": """
Nguyen, Raghu and Kornblith 2021, "Do wide and deep networks learn the same things?", arXiv:2010.15327.""",
    "models": """
pool : {"none", "mean", "class", "last", "tokens"} or callable
    Not in the original. How an output becomes (n, features): "none" flattens it; "mean" averages over
    positions; "class" and "last" take the first and the last valid token; "tokens" is "mean" and requires
    a mask; a callable takes the output's tensor.""",
    "model_errors": """
ValueError, TypeError
    If a layer does not exist or never runs, batches or outputs cannot be interpreted, dataloaders do not
    match, or the models are on different devices.""",
    "hsic_arrays": """
X, Y : array (n, p) and (n, q)
    Row i of both is one example: tensors, numpy arrays, or arrays of a GPU.""",
    "sigma": """
sigma : float or None
    The bandwidth of both kernels; above 0. None sets sigma^2 to the median squared distance between
    rows that differ, of X and of Y separately.""",
    "pair_errors": """
ValueError
    If X and Y have different numbers of rows, or sigma is not positive.
TypeError
    If an argument has a type or dtype that is not supported.""",
}


def documented(described: T) -> T:
    """Inserts the paragraphs above into a docstring, in place of their names in braces."""
    return inserted(described, PARAGRAPHS)
