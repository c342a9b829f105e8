"""GISTEmbedLoss of sentence-transformers: its formula in plain torch, and what torch does to functions."""

from __future__ import annotations

import inspect

import gramless
import numpy as np
import pytest
from tolerance import FLOOR

torch = pytest.importorskip("torch")

from gramless.compat import CachedGISTEmbedLoss, GISTEmbedLoss  # noqa: E402
from test_sentence_transformers import Encoder, features_of, gradients_of  # noqa: E402
from test_siglip_torch import assert_all_close, value_and_grads  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cosine_similarity, cross_entropy  # noqa: E402

CHOICES = [
    {},
    {"margin": 0.1},
    {"margin": 0.3, "margin_strategy": "relative", "contrast_anchors": False},
    {"margin": -0.4, "contrast_positives": False, "temperature": 0.2},
]
NAMES = ("anchors", "positives", "negatives")


def plain(
    rows,
    guide,
    temperature=0.01,
    margin=0.0,
    margin_strategy="absolute",
    contrast_anchors=True,
    contrast_positives=True,
    own=slice(None),
):
    """With all matrices, as its documentation has it; own: the rows of one of several processes."""

    def similarities(x):
        a, p = x[0][own], x[1][own]
        pairs = [(a, x[1]), *[(a, a)] * contrast_anchors, *[(p, x[1])] * contrast_positives]
        pairs += [(a, more) for more in x[2:]]
        return torch.cat([cosine_similarity(u[:, None], v[None], dim=-1) for u, v in pairs], 1)

    scores, cosines = similarities(rows), similarities(guide)
    positive = torch.arange(len(rows[1]))[own]
    of_pairs = cosines.gather(1, positive[:, None])
    limit = of_pairs - (margin if margin_strategy == "absolute" else of_pairs.abs() * margin)
    left_out = (cosines > limit).scatter(1, positive[:, None], False)
    return cross_entropy(scores.masked_fill(left_out, -torch.inf) / temperature, positive)


def inputs_of(*batch, count=3, n=6, d=5, e=4, dtype=torch.float64):
    """Embeddings and the guide's; negatives are two rows more."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for columns, noise in ((d, 1.0), (e, 0.5)):
        base = torch.randn(*batch, n + 2, columns, dtype=torch.float64, generator=generator)
        rows = [base + noise * torch.randn(base.shape, dtype=torch.float64, generator=generator)
                for _ in range(count)]  # fmt: skip
        found.append([x[..., : n + 2 * (i > 1), :].to(dtype) for i, x in enumerate(rows)])
    return found


def guided(rows, guide, temperature=0.01, **options):
    named = dict(zip(NAMES, rows, strict=False))
    named |= {f"guide_{name}": x for name, x in zip(NAMES, guide, strict=False)}
    return gramless.guided_info_nce(**named, temperature=temperature, **options)


@pytest.mark.parametrize("options", CHOICES, ids=str)
@pytest.mark.parametrize("count", [2, 3])
def test_it_is_the_formula(count, options):
    loss = GISTEmbedLoss(None, None, **options)
    for n in (1, 65):
        for dtype, limit in ((torch.float32, 1e-6), (torch.float64, 1e-10)):
            rows, guide = inputs_of(count=count, n=n, d=24, e=16, dtype=dtype)
            rows[0], rows[1] = (x + 2 * (rows[0] + rows[1]) for x in rows[:2])
            wide = [x.double() for x in guide]
            exact = value_and_grads(lambda *x, g=wide: plain(x, g, **options), [x.double() for x in rows])
            naive = value_and_grads(lambda *x, g=guide: plain(x, g, **options), rows)
            found = value_and_grads(lambda *x, g=guide: loss.compute_loss_from_embeddings(x, g), rows)
            for own, theirs, true in zip(found, naive, exact, strict=True):
                assert own.dtype == theirs.dtype
                size = max(true.abs().max().item(), 1.0)
                error, rough = ((x.double() - true).abs().max().item() / size for x in (own, theirs))
                assert error <= max(2 * rough + FLOOR[np.dtype(str(dtype)[6:])], limit)


def test_texts_given_twice_are_as_similar_as_the_positive():
    """Ties of the guide, in every kind of pair, are kept, as with torch's cosines of the same rows."""
    for dtype in (torch.float32, torch.float64):
        rows, guide = inputs_of(n=60, e=300, dtype=dtype)
        for i, j, x, y in ((3, 3, 0, 1), (5, 4, 1, 1), (9, 8, 0, 1), (7, 6, 2, 1), (11, 10, 0, 0)):
            guide[x][i] = guide[y][j]
        found = value_and_grads(lambda *x, g=guide: guided(x, g, 0.2), rows)
        expected = value_and_grads(lambda *x, g=guide: plain(x, g, 0.2), rows)
        assert_all_close(found, expected, rtol=1e-4, atol=1e-6)


def test_gradcheck():
    for reduction in ("mean", "none"):
        for options in ({}, {"margin": -0.8, "normalize": False}):
            rows, guide = inputs_of(n=4)
            leaves = [x.requires_grad_() for x in (*rows, torch.tensor(0.4, dtype=torch.float64))]
            chosen = options | {"reduction": reduction}
            assert torch.autograd.gradcheck(
                lambda *x, g=guide, o=chosen: guided(x[:3], g, x[3], **o), leaves, fast_mode=True
            )


@pytest.mark.filterwarnings("ignore")
def test_compiled_functional_and_mapped_gradients_are_those_of_backward():
    torch._dynamo.reset()
    rows, guide = inputs_of()
    inputs = [*rows, torch.tensor(0.2, dtype=torch.float64)]

    def loss(a, b, negatives, temperature):
        return guided([a, b, negatives], guide, temperature, margin=-0.8)

    expected = value_and_grads(loss, inputs)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert_all_close(value_and_grads(compiled, inputs), expected)
    assert_all_close(torch.func.grad(loss, argnums=(0, 1, 2, 3))(*inputs), expected[1:])
    rows, guides = inputs_of(2)
    mapped = torch.vmap(torch.func.grad(lambda a, b, g, h: guided([a, b], [g, h], 0.2)))(
        *rows[:2], *guides[:2]
    )
    for i in range(2):
        one = torch.func.grad(lambda a, i=i: guided([a, rows[1][i]], [g[i] for g in guides[:2]], 0.2))
        torch.testing.assert_close(mapped[i], one(rows[0][i]))


def test_the_operators_pass_opcheck():
    from gramless._problems.guided import Guided
    from gramless.torch._autograd import operands

    rows, guide = inputs_of(n=4)
    inputs = [x.requires_grad_() for x in (*rows, *guide, torch.tensor(0.4, dtype=torch.float64))]
    problem = Guided("guided_info_nce", True, "mean", 6, -0.8, False, True, True, True)
    torch.library.opcheck(torch.ops.gramless.forward.default, operands(problem, inputs))


def test_a_guide_gets_no_gradient_and_16_bits_keep_their_dtype():
    rows, guide = inputs_of(n=40)
    leaves = [x.to(torch.bfloat16).requires_grad_() for x in rows]
    guide = [x.requires_grad_() for x in guide]
    loss = guided(leaves, guide, 0.2)
    grads = torch.autograd.grad(loss, [*leaves, *guide], allow_unused=True)
    assert [None if x is None else x.dtype for x in grads] == [torch.bfloat16] * 3 + [None] * 3
    expected = value_and_grads(lambda *x: guided(x, guide, 0.2), [x.float() for x in leaves])
    assert_all_close(grads[:3], expected[1:], rtol=2**-8, atol=1e-7, check_dtype=False)


class Guide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.largest = nn.Linear(6, 3).double(), 0

    def forward(self, features):
        assert "sentence_embedding" not in features  # what the model has written
        self.largest = max(self.largest, len(features["x"]))
        features["sentence_embedding"] = self.layer(features["x"])
        return features


def test_encoder_and_guide_are_parts_of_the_loss():
    torch.manual_seed(0)
    model, guide = Encoder().eval(), Guide()
    loss, features = GISTEmbedLoss(model, guide, 0.1), features_of()
    found = gradients_of(loss, features)
    embeddings = [model.layers(one["x"]) for one in features]
    value = plain(embeddings, [guide.layer(one["x"]).detach() for one in features], 0.1)
    (2 * value).backward()
    torch.testing.assert_close(found[0], value.detach())
    for ours, theirs in zip(found[1:], loss.parameters(), strict=True):
        assert (ours is None) == (theirs.grad is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs.grad)
    model.zero_grad()
    cached = CachedGISTEmbedLoss(model, guide, 0.1, mini_batch_size=8)
    model.largest = model.calls = guide.largest = 0
    in_parts = gradients_of(cached, features_of())
    assert (model.largest, guide.largest, model.calls) == (8, 8, 2 * 9)
    for ours, theirs in zip(in_parts, found, strict=True):
        assert theirs is None or torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    several = [model.layers(one["x"]).detach() for one in features_of(4)]
    theirs = plain(several, several, 0.1)
    torch.testing.assert_close(cached.compute_loss_from_embeddings(several, several), theirs)


class Tokenizer:
    def __init__(self, words):
        self.words = words

    def get_vocab(self):
        return {word: i for i, word in enumerate(self.words)}

    def batch_decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return [" ".join(self.words[i] for i in row if i) for row in ids.tolist()]


class Words(nn.Module):
    """The mean of the embeddings of a text's words."""

    device = torch.device("cpu")

    def __init__(self, words, seed, longest=9):
        super().__init__()
        self.tokenizer, self.max_seq_length = Tokenizer(words), longest
        self.table = torch.randn(len(words), 4, generator=torch.Generator().manual_seed(seed))

    def tokenize(self, texts):
        ids = [[self.tokenizer.words.index(word) for word in text.split()] for text in texts]
        return {"input_ids": torch.tensor([row + [0] * (3 - len(row)) for row in ids])}

    def forward(self, features):
        features["sentence_embedding"] = self.table[features["input_ids"]].mean(1)
        return features


def test_texts_are_tokenised_for_a_guide_with_another_vocabulary():
    words = ["", "a", "b", "c", "d"]
    model, alike = Words(words, 0), Words(words, 1)
    other, shorter = Words(["", "d", "c", "b", "a"], 1), Words(words, 1, longest=2)
    other.table = alike.table[[0, 4, 3, 2, 1]]
    texts = [["a b", "c", "d a b"], ["a", "c d", "d"]]
    features = [model.tokenize(column) for column in texts]
    losses = [GISTEmbedLoss(model, guide, 0.2) for guide in (alike, other, shorter)]
    assert [loss.must_retokenize for loss in losses] == [False, True, True]
    values = [loss(features) for loss in losses]
    guide = [alike(alike.tokenize(column))["sentence_embedding"] for column in texts]
    rows = [model(model.tokenize(column))["sentence_embedding"] for column in texts]
    for value in values:
        torch.testing.assert_close(value, plain(rows, guide, 0.2))


def test_signatures_are_those_of_sentence_transformers():
    def defaults(cls):
        return [(name, p.default) for name, p in inspect.signature(cls).parameters.items()][2:]

    own = [("margin_strategy", "absolute"), ("margin", 0.0), ("contrast_anchors", True)]
    own += [("contrast_positives", True), ("gather_across_devices", False)]
    assert defaults(GISTEmbedLoss) == [("temperature", 0.01), *own]
    cached = [("mini_batch_size", 32), ("show_progress_bar", False)]
    assert defaults(CachedGISTEmbedLoss) == [("temperature", 0.01), *cached, *own]
    assert list(CachedGISTEmbedLoss(None, None).get_config_dict()) == [
        "guide", "temperature", "margin_strategy", "margin", "contrast_anchors", "contrast_positives",
        "gather_across_devices", "mini_batch_size",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "of_guide", "options", "sentence"),
    [
        (1, 1, {}, "there must be anchors and positives, and the guide's for each, but 1 embeddings"),
        (2, 3, {}, "there must be anchors and positives, and the guide's for each, but 2 embeddings and 3"),
        (2, 2, {"margin_strategy": None}, 'margin_strategy must be "absolute" or "relative" but is None'),
        (2, 2, {"margin": torch.nan}, "margin must be finite but is nan"),
        (2, 2, {"temperature": 0}, "temperature must be finite and not 0 but is 0.0"),
    ],
)
def test_what_does_not_fit_is_one_sentence(count, of_guide, options, sentence):
    for cls in (GISTEmbedLoss, CachedGISTEmbedLoss):
        ones = torch.ones(3, 2)
        with pytest.raises(ValueError, match=f"^{cls.__name__}: {sentence}"):
            cls(None, None, **options).compute_loss_from_embeddings([ones] * count, [ones] * of_guide)


def test_the_package_itself_agrees():
    """Where sentence-transformers is installed: its own class, of stand-ins for its models."""
    losses = pytest.importorskip("sentence_transformers.losses")
    rows, guide = inputs_of(n=50, d=24, e=16)
    for options in CHOICES:
        theirs = object.__new__(losses.GISTEmbedLoss)
        nn.Module.__init__(theirs)
        chosen = {name: p.default for name, p in inspect.signature(GISTEmbedLoss).parameters.items()}
        chosen["model"] = lambda features: {"sentence_embedding": features["x"]}
        chosen["guide"] = lambda features: {"sentence_embedding": features["g"]}
        vars(theirs).update(chosen | options | {"must_retokenize": False})
        theirs.similarity_fct, theirs.cross_entropy_loss = nn.CosineSimilarity(dim=-1), nn.CrossEntropyLoss()
        expected = value_and_grads(
            lambda *x, t=theirs: t([{"x": a, "g": b} for a, b in zip(x, guide, strict=True)], None), rows
        )
        ours = GISTEmbedLoss(None, None, **options)
        found = value_and_grads(lambda *x, o=ours: o.compute_loss_from_embeddings(x, guide), rows)
        assert_all_close(found, expected, rtol=1e-10, atol=1e-10)
