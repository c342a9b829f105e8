"""compare_models: masks nested in a batch, without a known name, or not marking valid tokens."""

from __future__ import annotations

import numpy as np
import pytest
from by_definition import debiased_cka

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402

N, LENGTH, WIDTH = 40, 6, 8


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


def ids(seed):
    return torch.randint(1, 50, (N, LENGTH), generator=torch.Generator().manual_seed(seed))


def mask(seed, rows=N):
    lengths = torch.randint(2, LENGTH + 1, (rows,), generator=torch.Generator().manual_seed(seed))
    return (torch.arange(LENGTH) < lengths[:, None]).long()


def mean(output, valid):
    return ((output * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)).detach().double().numpy()


def seeded(make):
    torch.manual_seed(0)
    return make().eval()


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(50, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids, attention_mask=None):
        return self.mix(self.embed(input_ids))


class Pair(nn.Module):
    """A bi-encoder: each of its towers gets its own mapping."""

    def __init__(self):
        super().__init__()
        self.a, self.b = Encoder(), Encoder()

    def forward(self, query, document):
        return self.a(**query).mean(1) * self.b(**document).mean(1)


@pytest.fixture
def texts():
    return [{"input_ids": ids(seed), "attention_mask": mask(seed + 1)} for seed in (0, 2)]


def test_each_of_several_mappings_has_its_own_mask(texts):
    net, (query, document) = seeded(Pair), texts
    towers = (net.a, query), (net.b, document)
    rows = [mean(tower(**text), text["attention_mask"]) for tower, text in towers]
    plain = [tower(**text).mean(1).detach() for tower, text in towers]
    nested = {"query": query, "document": document}
    in_a_list = {"forward": lambda model, batch: model(*batch[0])}  # as sentence-transformers has it
    for batch, options in ((nested, {}), (([query, document], torch.zeros(N)), in_a_list)):
        found = quiet(net, None, [batch], layers=["a.mix", "b.mix"], **options).matrix[0, 1]
        assert found == pytest.approx(debiased_cka(*rows), abs=1e-6)
    assert abs(debiased_cka(*rows) - debiased_cka(*plain)) > 1e-3


def test_a_tower_without_a_mask_has_none(texts):
    net, (query, document) = seeded(Pair), texts
    batch = {"query": query, "document": {"input_ids": document["input_ids"]}}
    rows = mean(net.a(**query), query["attention_mask"]), net.b(document["input_ids"]).mean(1).detach()
    found = quiet(net, None, [batch], layers=["a.mix", "b.mix"]).matrix[0, 1]
    assert found == pytest.approx(debiased_cka(*rows), abs=1e-6)


class Segments(nn.Module):
    """Two entries have the mask's length; `used` is the expected use of the mask."""

    def __init__(self, used):
        super().__init__()
        self.tokens, self.segments = nn.Embedding(50, WIDTH), nn.Embedding(2, WIDTH)
        self.mix, self.used = nn.Linear(WIDTH, WIDTH), used

    def forward(self, tokens, segments, attention_mask):
        hidden = self.tokens(tokens) + self.segments(segments)
        if self.used:
            hidden = hidden * attention_mask[..., None]
        return self.mix(hidden).tanh()


def test_a_mask_is_for_the_tokens_it_is_multiplied_with():
    batch = {"tokens": ids(0), "segments": ids(1) % 2, "attention_mask": mask(2)}
    net = seeded(lambda: Segments(True))
    other = seeded(lambda: nn.Sequential(nn.Linear(LENGTH, 4)))
    found = quiet(
        net,
        other,
        [batch],
        layers=["mix"],
        layers_b=["0"],
        forward=lambda model, b: model(**b) if model is net else model(b["tokens"].float()),
    ).matrix[0, 0]
    hidden = net.tokens(batch["tokens"]) + net.segments(batch["segments"])
    rows = net.mix(hidden * batch["attention_mask"][..., None]), other(batch["tokens"].float()).detach()
    assert found == pytest.approx(debiased_cka(mean(rows[0], batch["attention_mask"]), rows[1]), abs=1e-6)
    assert abs(found - debiased_cka(rows[0].mean(1).detach(), rows[1])) > 1e-4


def test_a_mask_that_may_be_for_several_tensors_is_refused():
    """Its padding was averaged."""
    batch = {"tokens": ids(0), "segments": ids(1) % 2, "attention_mask": mask(2)}
    net = seeded(lambda: Segments(False))
    sentence = (
        r"^compare_models: layer 'mix' of model_a returns shape \(40, 6, 8\), whose tokens may be those of "
        r"'attention_mask', 'tokens', 'segments'; pass a mapping from patterns of layers to masks"
    )
    with pytest.raises(ValueError, match=sentence):
        quiet(net, None, [batch], layers=["mix"])
    found = quiet(net, None, [batch], layers=["mix", "tokens"], attention_mask={"**": "attention_mask"})
    hidden = net.tokens(batch["tokens"])
    rows = [net.mix(hidden + net.segments(batch["segments"])), hidden]
    truth = debiased_cka(*(mean(t, batch["attention_mask"]) for t in rows))
    assert found.matrix[0, 1] == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("count", [LENGTH, N])
def test_a_mask_beside_tokens_that_come_first(count):
    """(tokens, examples, features) as for nn.LSTM, with as many examples as tokens or not."""
    x, valid = torch.randn(N, LENGTH, WIDTH, generator=torch.Generator().manual_seed(5)), mask(6)
    net = seeded(lambda: Recurrent())
    parts = list(zip(x.split(count), valid.split(count), strict=True))[: N // count]
    batches = [{"x": part.transpose(0, 1), "attention_mask": own} for part, own in parts]
    outputs = [[mean(t.transpose(0, 1), b["attention_mask"]) for t in net.both(b["x"])] for b in batches]
    rows = [np.concatenate(layer) for layer in zip(*outputs, strict=True)]
    found = quiet(net, None, batches).matrix[0, 1]
    assert found == pytest.approx(debiased_cka(*rows), abs=1e-6)
    outputs = [[t.mean(0).detach() for t in net.both(b["x"])] for b in batches]
    plain = [np.concatenate(layer) for layer in zip(*outputs, strict=True)]
    assert abs(debiased_cka(*rows) - debiased_cka(*plain)) > 1e-3


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(WIDTH, 5), nn.Linear(5, 4)

    def both(self, x):
        hidden = self.rnn(x)[0]
        return hidden, self.head(hidden.tanh())

    def forward(self, x, attention_mask):
        return self.both(x)[1]


class Heads(nn.Module):
    """Normalises within heads, (examples, tokens, heads, features), as Qwen3 does."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Embedding(50, WIDTH), nn.LayerNorm(4)

    def forward(self, input_ids, attention_mask):
        return self.norm(self.embed(input_ids).unflatten(2, (2, 4)))


def test_padding_in_a_later_batch_of_the_same_shape_is_not_averaged():
    full = {"input_ids": ids(0), "attention_mask": torch.ones(N, LENGTH)}
    padded = {"input_ids": ids(1), "attention_mask": mask(1)}
    net = seeded(Heads)
    assert quiet(net, None, [full, full], layers=["norm"]).matrix.shape == (1, 1)
    for batches in ([full, padded], [padded, full]):
        sentence = r"layer 'norm' of model_a returns .* the attention mask \(40, 6\)"
        with pytest.raises(ValueError, match=sentence):
            quiet(net, None, batches, layers=["norm"])


def test_what_is_no_mask_of_valid_tokens_is_refused(texts):
    net, text = seeded(Encoder), texts[0]
    sentence = (
        r"^compare_models: the attention mask must hold only 1 \(True\) for valid tokens and 0 \(False\)"
    )
    valid = text["attention_mask"]
    for wrong in ((1 - valid) * -1e4, torch.where(valid == 1, 0.0, -torch.inf), valid * 2, valid * np.nan):
        with pytest.raises(ValueError, match=sentence):
            quiet(net, None, [text | {"attention_mask": wrong}], layers=["mix"])
    expected = quiet(net, None, [text], layers=["embed", "mix"]).matrix
    for same in (valid.bool(), valid.float(), valid.to(torch.uint8), valid.numpy()):
        found = quiet(net, None, [text | {"attention_mask": same}], layers=["embed", "mix"]).matrix
        assert np.array_equal(found, expected)


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)

    def forward(self, x, padding):
        return self.encoder(x, src_key_padding_mask=padding)


def test_a_padding_mask_of_torch_is_no_mask_of_valid_tokens():
    """True marks padding: earlier, only the padding was averaged."""
    x, valid = torch.randn(N, LENGTH, WIDTH, generator=torch.Generator().manual_seed(5)), mask(6)
    net, batch = seeded(Padded), {"x": x, "padding": valid == 0}
    sentence = (
        r"^compare_models: TransformerEncoder of model_a uses the attention mask 'padding' as "
        r"src_key_padding_mask, in which True is padding, but here valid tokens must be 1 or True; "
        r"pass a callable as attention_mask=, such as lambda batch: ~batch\['padding'\]$"
    )
    with pytest.raises(ValueError, match=sentence):
        quiet(net, None, [batch], attention_mask="padding")
    found = quiet(net, None, [batch], attention_mask=lambda batch: ~batch["padding"])
    assert found.matrix.shape == (1, 1)


class Backwards(nn.Module):
    """A second pass over the tokens in reversed or another order, restored at the end."""

    def __init__(self, order):
        super().__init__()
        self.embed, self.inner, self.outer = nn.Embedding(50, WIDTH), nn.Linear(8, 8), nn.Linear(8, 8)
        self.order = order

    def forward(self, input_ids, attention_mask):
        hidden = self.embed(input_ids)
        if self.order is None:
            return self.outer(hidden + self.inner(hidden.flip(1)).flip(1))
        inner = self.inner(hidden[:, self.order])
        return self.outer(hidden + inner[:, self.order.argsort()])


@pytest.mark.parametrize("order", [None, torch.tensor([3, 1, 0, 2, 5, 4])])
def test_tokens_in_another_order_than_those_of_the_mask_are_not_averaged_under_it(texts, order):
    net, text = seeded(lambda: Backwards(order)), texts[0]
    sentence = "layer 'inner' of model_a returns .* whose tokens are in another order than those of the"
    with pytest.raises(ValueError, match=sentence):
        quiet(net, None, [text], layers=["inner"])
    hidden = net.embed(text["input_ids"])
    truth = debiased_cka(*(mean(t, text["attention_mask"]) for t in (hidden, net(**text))))
    found = quiet(net, None, [text], layers=["embed", "outer"]).matrix[0, 1]
    assert found == pytest.approx(truth, abs=1e-6)


class Types(nn.Module):
    """Embeddings of tokens and of their types, which are added, as in BERT."""

    def __init__(self):
        super().__init__()
        self.tokens, self.types, self.norm = nn.Embedding(50, 8), nn.Embedding(3, 8), nn.LayerNorm(8)
        self.heads = nn.Linear(8, 8)

    def forward(self, input_ids, token_type_ids, attention_mask):
        types = self.types(token_type_ids)
        hidden = self.norm(self.tokens(input_ids) + types)
        return self.heads(hidden[:, :, None])  # one head


def test_entries_that_are_added_to_tokens_have_their_mask(texts):
    """The types of padding tokens were averaged."""
    net, batch = seeded(Types), texts[0] | {"token_type_ids": ids(4) % 3}
    names, valid = ["types", "tokens", "norm", "heads"], batch["attention_mask"]
    outputs = [net.types(batch["token_type_ids"]), net.tokens(batch["input_ids"])]
    outputs.append(net.norm(outputs[0] + outputs[1]))
    outputs.append(net.heads(outputs[2]))
    rows = [mean(output, valid) for output in outputs]
    found = quiet(net, None, [batch], layers=names).matrix
    truth = np.array([[debiased_cka(x, y) for y in rows] for x in rows])
    assert found == pytest.approx(truth, abs=1e-6)
    assert abs(truth[0, 1] - debiased_cka(outputs[0].mean(1).detach(), rows[1])) > 1e-3
