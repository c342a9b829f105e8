"""sentence-transformers' ranking losses under their names, compared with their formula in plain torch."""

from __future__ import annotations

import inspect

import gramless
import numpy as np
import pytest
from tolerance import FLOOR

torch = pytest.importorskip("torch")

from gramless.compat import (  # noqa: E402
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
    MultipleNegativesSymmetricRankingLoss,
)
from torch import nn  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402

ALL = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
CHOICES = [
    (ALL[:1], "joint"),
    (ALL[:1], "per_direction"),
    ((ALL[2], ALL[0]), "per_direction"),
    ((ALL[0], ALL[2]), "joint"),
    ((ALL[0], ALL[1]), "joint"),
    ((ALL[0], ALL[3]), "joint"),
    (ALL, "joint"),
]


def plain(embeddings, scale=20.0, cosine=True, directions=ALL[:1], partition_mode="joint"):
    """Equations of its documentation, with all matrices."""
    if cosine:
        embeddings = [normalize(x) for x in embeddings]
    queries, positives, documents = *embeddings[:2], torch.cat(list(embeddings[1:]))
    own = torch.eye(len(queries), dtype=torch.bool)
    logits = {
        "query_to_doc": scale * queries @ documents.T,
        "query_to_query": (scale * queries @ queries.T).masked_fill(own, -torch.inf),
        "doc_to_query": scale * positives @ queries.T,
        "doc_to_doc": (scale * positives @ documents.T).masked_fill(
            own.repeat(1, len(embeddings) - 1), -torch.inf
        ),
    }
    chosen = [logits[name] for name in directions]
    if partition_mode == "joint":
        log_z = torch.logsumexp(torch.cat(chosen, 1), 1)
    else:
        log_z = sum(torch.logsumexp(one, 1) for one in chosen) / len(chosen)
    return (log_z - logits["query_to_doc"].diagonal()).mean()


def embeddings_of(count, n=7, d=5, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(n, d, dtype=torch.float64, generator=generator)
    noise = torch.randn(count, n, d, dtype=torch.float64, generator=generator)
    return [(base + noise[i]).to(dtype).requires_grad_() for i in range(count)]


def value_and_grads(loss, embeddings):
    leaves = [x.detach().clone().requires_grad_() for x in embeddings]
    value = loss(leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


@pytest.mark.parametrize(("directions", "partition_mode"), CHOICES)
@pytest.mark.parametrize("count", [2, 4])
def test_it_is_the_formula(count, directions, partition_mode):
    options = {"directions": directions, "partition_mode": partition_mode}
    loss = MultipleNegativesRankingLoss(None, **options)
    for n in (1, 2, 65, 200):
        for dtype, limit in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
            embeddings = embeddings_of(count, n, 24, dtype)
            exact = value_and_grads(lambda x: plain(x, **options), [x.double() for x in embeddings])
            naive = value_and_grads(lambda x: plain(x, **options), embeddings)
            found = value_and_grads(loss.compute_loss_from_embeddings, embeddings)
            for own, theirs, true in zip(found, naive, exact, strict=True):
                assert own.dtype == theirs.dtype
                size = max(true.abs().max().item(), 1.0)
                error, rough = ((x.double() - true).abs().max().item() / size for x in (own, theirs))
                assert error <= max(2 * rough + FLOOR[np.dtype(str(dtype)[6:])], limit)


def test_small_losses_of_several_directions_keep_their_digits():
    """Log-sum-exps and the positive's logit are 20 here, a float32 of which is rounded by 1e-6."""
    for seed in range(20):
        for n in (1, 2, 3):
            embeddings = embeddings_of(2, n, 24, torch.float32, seed)
            loss = MultipleNegativesRankingLoss(None, directions=ALL)
            exact = plain([x.double() for x in embeddings], directions=ALL).item()
            assert loss.compute_loss_from_embeddings(embeddings).item() == pytest.approx(exact, abs=3e-7)


def similarity(name):
    def chosen(a, b):
        raise AssertionError("it is known by its name")

    chosen.__module__, chosen.__name__ = "sentence_transformers.util.similarity", name
    return chosen


def test_similarities_are_known_by_their_names():
    embeddings = embeddings_of(3)
    for name, cosine in (("cos_sim", True), ("dot_score", False)):
        loss = MultipleNegativesRankingLoss(None, 1.5, similarity(name), directions=ALL)
        expected = plain(embeddings, 1.5, cosine, ALL)
        torch.testing.assert_close(loss.compute_loss_from_embeddings(embeddings), expected)
        assert loss.get_config_dict()["similarity_fct"] == name


def test_the_symmetric_loss_is_the_mean_of_both_directions():
    embeddings = embeddings_of(3)
    loss = MultipleNegativesSymmetricRankingLoss(None, 10.0)
    expected = plain(embeddings, 10.0, directions=(ALL[0], ALL[2]), partition_mode="per_direction")
    torch.testing.assert_close(loss.compute_loss_from_embeddings(embeddings), expected)
    a, b, more = embeddings
    ours = gramless.info_nce(a, b, negatives=more, temperature=0.1, symmetric=True)
    assert torch.equal(loss.compute_loss_from_embeddings(embeddings), ours)


class Encoder(nn.Module):
    """The interface of a sentence-transformers model; like those it writes into its features."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Dropout(0.3), nn.Linear(32, 5)).double()
        self.largest, self.calls = 0, 0

    def forward(self, features):
        self.largest, self.calls = max(self.largest, len(features["x"])), self.calls + 1
        features["sentence_embedding"] = self.layers(features["x"])
        return features


def features_of(count=3, n=23):
    generator = torch.Generator().manual_seed(1)
    return [
        {"x": torch.randn(n, 6, dtype=torch.float64, generator=generator), "task": "search"}
        for _ in range(count)
    ]


def gradients_of(loss, features):
    value = loss(features, torch.empty(0))
    (2 * value).backward()
    found = [value.detach(), *(p.grad for p in loss.parameters())]
    loss.zero_grad()
    return found


def test_the_encoder_is_part_of_the_loss():
    torch.manual_seed(0)
    loss = MultipleNegativesRankingLoss(Encoder().eval())
    features = features_of()
    found = gradients_of(loss, features)
    value = plain([loss.model.layers(one["x"]) for one in features])
    (2 * value).backward()
    for ours, theirs in zip(found, [value.detach(), *(p.grad for p in loss.parameters())], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("directions", [ALL[:1], ALL])
def test_the_cached_loss_is_the_same_with_an_encoder_that_sees_mini_batches(directions):
    torch.manual_seed(0)
    model, options = Encoder().eval(), {"directions": directions}
    cached = CachedMultipleNegativesRankingLoss(model, mini_batch_size=8, **options)
    expected = gradients_of(MultipleNegativesRankingLoss(model, **options), features_of())
    model.largest = model.calls = 0
    found = gradients_of(cached, features_of())
    assert (model.largest, model.calls) == (8, 2 * 9)  # three mini-batches of three, forward and again
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        assert torch.equal(cached(features_of()), found[0])
    assert model.calls == 3 * 9


def test_the_cached_loss_repeats_the_random_numbers_of_dropout():
    torch.manual_seed(0)
    model = Encoder()
    loss = CachedMultipleNegativesRankingLoss(model, mini_batch_size=8)
    torch.manual_seed(5)
    found = gradients_of(loss, features_of())
    torch.manual_seed(5)
    parts = [[model.layers(part) for part in one["x"].split(8)] for one in features_of()]
    value = plain([torch.cat(part) for part in parts])
    (2 * value).backward()
    for ours, theirs in zip(found, [value.detach(), *(p.grad for p in loss.parameters())], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_cached_loss_keeps_no_activations_of_the_encoder():
    """Tensors that autograd saves in a forward: none of the encoder's hidden layer of 32 columns."""
    model = Encoder().eval()

    def saved_by(loss):
        shapes = []

        def pack(x):
            shapes.append(tuple(x.shape))
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            loss(features_of(n=24))
        return [shape for shape in shapes if shape in ((24, 32), (8, 32))]

    assert saved_by(MultipleNegativesRankingLoss(model))
    assert not saved_by(CachedMultipleNegativesRankingLoss(model, mini_batch_size=8))


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"scale": 0}, ValueError, "scale must be positive and finite but is 0.0"),
        ({"scale": "20"}, TypeError, "scale must be a number but is '20'"),
        ({"similarity_fct": max}, NotImplementedError, "similarity_fct must be None, or cos_sim or"),
        ({"directions": ()}, ValueError, 'directions must have "query_to_doc"'),
        ({"directions": ("query_to_doc", "docs")}, ValueError, "directions must be among .* but has 'docs'"),
        ({"partition_mode": "mean"}, ValueError, 'partition_mode must be "joint" or "per_direction"'),
        (
            {"directions": ALL, "partition_mode": "per_direction"},
            ValueError,
            "with partition_mode=\"per_direction\" directions must not have 'query_to_query'",
        ),
        ({"hardness_mode": "all_negatives"}, NotImplementedError, "hardness_mode must be None but is 'all_"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(options, error, sentence):
    for cls in (MultipleNegativesRankingLoss, CachedMultipleNegativesRankingLoss):
        with pytest.raises(error, match=f"^{cls.__name__}: {sentence}"):
            cls(None, **options)


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ([(3, 2)], "needs at least 2 embeddings, anchors and positives, but 1 are given"),
        ([(3, 2), (3, 4)], "anchor has 2 columns but positive has 4"),
        ([(3, 2), (4, 2)], "anchor has 3 rows but positive has 4"),
        ([(3, 2), (3, 2), (4, 2)], "anchor has 3 rows but negative_1 has 4"),
        ([(3, 2), (3, 2, 2)], "positive must have 2 dimensions"),
    ],
)
def test_shapes_that_do_not_fit_are_one_sentence(shapes, sentence):
    loss = MultipleNegativesRankingLoss(None)
    with pytest.raises(ValueError, match=f"^MultipleNegativesRankingLoss: {sentence}"):
        loss.compute_loss_from_embeddings([torch.ones(shape) for shape in shapes])


def test_signatures_are_those_of_sentence_transformers():
    def defaults(cls):
        parameters = inspect.signature(cls).parameters
        return [(name, p.default) for name, p in parameters.items() if name != "similarity_fct"][1:]

    directions = [("directions", ("query_to_doc",)), ("partition_mode", "joint")]
    hardness = [("hardness_mode", None), ("hardness_strength", 0.0)]
    gathered = ("gather_across_devices", False)
    assert defaults(MultipleNegativesRankingLoss) == [("scale", 20.0), gathered, *directions, *hardness]
    progress = ("show_progress_bar", False)
    mini = ("mini_batch_size", 32)
    cached = [("scale", 20.0), mini, gathered, *directions, progress, *hardness]
    assert defaults(CachedMultipleNegativesRankingLoss) == cached
    assert defaults(MultipleNegativesSymmetricRankingLoss) == [("scale", 20.0), gathered]
    assert MultipleNegativesRankingLoss(None).temperature == 0.05
