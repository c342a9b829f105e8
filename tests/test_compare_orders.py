"""compare_models: tokens in another order, learned queries and channels in the place of tokens, and features
that are divided or joined.
"""

from __future__ import annotations

import pytest
from by_definition import debiased_cka

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import pad, scaled_dot_product_attention  # noqa: E402

N, LENGTH, WIDTH = 40, 6, 8


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def text():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, LENGTH + 1, (N,), generator=generator)
    ids = torch.randint(1, 50, (N, LENGTH), generator=generator)
    return {"input_ids": ids, "attention_mask": (torch.arange(LENGTH) < lengths[:, None]).long()}


def mean(output, valid=None):
    valid = torch.ones(output.shape[:2]) if valid is None else valid
    return ((output * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)).detach().double().numpy()


def heads(tensor):
    return tensor.unflatten(-1, (2, -1)).transpose(-2, -3)


ATTENTION = {
    "products": lambda q, k, v, m: (q.expand(N, -1, -1) @ k.mT).masked_fill(~m, -torch.inf).softmax(-1) @ v,
    "heads": lambda q, k, v, m: (
        ((heads(q) @ heads(k).mT).masked_fill(~m[:, None], -torch.inf).softmax(-1) @ heads(v))
        .transpose(1, 2)
        .flatten(2)
    ),
    "fused": lambda q, k, v, m: scaled_dot_product_attention(q.expand(N, -1, -1), k, v, m),
    "einsum": lambda q, k, v, m: torch.einsum(
        "bql,bld->bqd", torch.einsum("qd,bld->bql", q, k).masked_fill(~m, -torch.inf).softmax(-1), v
    ),
}


class Resampler(nn.Module):
    """As many learned queries as there are tokens, as Perceiver and Q-Former have them."""

    def __init__(self, attend):
        super().__init__()
        self.embed, self.queries = nn.Embedding(50, WIDTH), nn.Parameter(random(LENGTH, WIDTH))
        self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.attend = attend

    def forward(self, input_ids, attention_mask):
        hidden = self.embed(input_ids)
        valid = attention_mask[:, None].bool().expand(-1, LENGTH, -1)
        return self.out(self.attend(self.queries, self.key(hidden), self.value(hidden), valid))


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.queries = nn.Embedding(50, WIDTH), nn.Parameter(random(LENGTH, WIDTH))
        self.out = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, input_ids, attention_mask):
        hidden = self.embed(input_ids)
        return self.out(self.queries.expand(N, -1, -1), hidden, hidden, key_padding_mask=attention_mask == 0)[
            0
        ]


@pytest.mark.parametrize("name", [*ATTENTION, "module"])
def test_learned_queries_are_not_averaged_under_the_mask_of_tokens(text, name):
    torch.manual_seed(0)
    net = Attends() if name == "module" else Resampler(ATTENTION[name])
    net.eval()
    valid = text["attention_mask"]
    tokens, output = mean(net.embed(text["input_ids"]), valid), net(**text)
    right, wrong = debiased_cka(tokens, mean(output)), debiased_cka(tokens, mean(output, valid))
    assert abs(right - wrong) > 1e-4
    found = quiet(net, None, [text], layers=["embed", "out"]).matrix[0, 1]
    assert found == pytest.approx(right, abs=2e-6)


class TokenMixer(nn.Module):
    """Mixes tokens, as many as channels."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix = nn.Embedding(50, LENGTH), nn.Linear(LENGTH, 5)

    def forward(self, input_ids, attention_mask):
        return self.mix(self.embed(input_ids).transpose(1, 2))


def test_channels_are_not_averaged_under_the_mask_of_tokens(text):
    with pytest.raises(ValueError, match=r"layer 'mix' .* which does not match the attention mask \(40, 6\)"):
        quiet(TokenMixer(), None, [text], layers=["mix"])


class Moved(nn.Module):
    def __init__(self, move):
        super().__init__()
        self.embed, self.inner, self.outer = nn.Embedding(50, WIDTH), nn.Linear(8, 8), nn.Linear(8, 8)
        self.move = move

    def forward(self, input_ids, attention_mask):
        hidden = self.embed(input_ids)
        return self.outer(self.inner(self.move(hidden)) + hidden)


MOVES = {
    "roll": lambda x: x.roll(1, 1),
    "shift by padding": lambda x: pad(x, (0, 0, 1, -1)),
    "shift back": lambda x: pad(x, (0, 0, -2, 2)),
}


@pytest.mark.parametrize("name", MOVES)
def test_tokens_that_moved_are_not_averaged_under_the_mask(text, name):
    torch.manual_seed(0)
    net = Moved(MOVES[name])
    with pytest.raises(ValueError, match=r"layer 'inner' of model_a returns .* in another order than those"):
        quiet(net, None, [text], layers=["inner"])
    truth = debiased_cka(
        *(mean(t, text["attention_mask"]) for t in (net.embed(text["input_ids"]), net(**text)))
    )
    assert quiet(net, None, [text], layers=["embed", "outer"]).matrix[0, 1] == pytest.approx(truth, abs=2e-6)


class Reordered(nn.Module):
    """Adds tokens and the same tokens in another order; the dimensions of the input are not known before."""

    def __init__(self, first):
        super().__init__()
        self.one, self.other, self.first = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), first

    def forward(self, inputs_embeds, attention_mask=None):
        moved = inputs_embeds[:, torch.arange(LENGTH - 1, -1, -1)]
        return self.other(self.one(moved + inputs_embeds if self.first else inputs_embeds + moved).relu())


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_tokens_and_the_same_in_another_order_may_be_added(text, first, masked):
    torch.manual_seed(0)
    net, batch = Reordered(first), {"inputs_embeds": random(LENGTH, LENGTH, WIDTH)}  # equal sizes
    valid = text["attention_mask"][:LENGTH] if masked else None
    batch |= {"attention_mask": valid} if masked else {}
    x = batch["inputs_embeds"]
    hidden = net.one(x + x.flip(1))
    truth = debiased_cka(mean(hidden, valid), mean(net.other(hidden.relu()), valid))
    found = quiet(net, None, [batch], layers=["one", "other"]).matrix[0, 1]
    assert found == pytest.approx(truth, abs=2e-6)


class Patches(nn.Module):
    """Pixels of a patch are the features that a linear layer takes, as with einops."""

    def forward(self, x):
        n, c, h, w = x.shape
        x = x.reshape(n, c, h // 2, 2, w // 2, 2)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(n, h * w // 4, 4 * c)


@pytest.mark.parametrize("behind", [nn.Linear(12, 5), nn.LayerNorm(12)])
def test_patches_are_positions_and_their_pixels_features(behind):
    net, x = nn.Sequential(Patches(), behind, nn.ReLU()), random(16, 3, 8, 8)
    rows = [mean(net[:count](x)) for count in (1, 2, 3)]
    found = quiet(net, None, [x]).matrix
    assert found[0, 1] == pytest.approx(debiased_cka(*rows[:2]), abs=2e-6)
    assert found[1, 2] == pytest.approx(debiased_cka(*rows[1:]), abs=2e-6)


@pytest.mark.parametrize("behind", [nn.Conv1d(8, 4, 1), nn.BatchNorm1d(8)])
def test_features_that_become_channels_and_positions(behind):
    """As in the decoder of an autoencoder: the modules that follow show that these are not features."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(5, 64), nn.Unflatten(1, (8, 8)), nn.ReLU(), behind).eval(), random(16, 5)
    rows = [net[:1](x).detach(), *(net[:count](x).mean(2).detach() for count in (2, 3, 4))]
    found = quiet(net, None, [x]).matrix
    for place in (1, 2, 3):
        assert found[0, place] == pytest.approx(debiased_cka(rows[0], rows[place]), abs=2e-6)
    flat = quiet(net[:3], None, [x]).matrix  # without modules after them they remain features
    assert flat[0, 2] == pytest.approx(debiased_cka(rows[0], net[:3](x).flatten(1).detach()), abs=2e-6)


class Fourier(nn.Module):
    """Mixes tokens as FNet does."""

    def forward(self, x):
        return torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real


class Rotated(nn.Module):
    """Multiplies pairs of features as complex numbers, as rotary embeddings do."""

    def forward(self, x):
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
        turned = pairs * torch.polar(torch.ones(8), torch.arange(8.0))[:, None]
        return torch.view_as_real(turned).flatten(2)


@pytest.mark.parametrize("mix", [Fourier(), Rotated()])
def test_complex_numbers_on_the_way_change_no_layout(mix):
    """As many examples as tokens and features: only the operations distinguish them."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(8, 8), mix, nn.ReLU()), random(8, 8, 8)
    rows = [mean(net[:count](x)) for count in (1, 2, 3)]
    found = quiet(net, None, [x]).matrix
    assert found[0, 1] == pytest.approx(debiased_cka(*rows[:2]), abs=2e-6)
    assert found[1, 2] == pytest.approx(debiased_cka(*rows[1:]), abs=2e-6)


class Twofold(nn.Bilinear):
    def forward(self, x):
        return super().forward(x, x)


def test_a_bilinear_layer_keeps_examples_and_tokens():
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(8, 8), Twofold(8, 8, 8), nn.ReLU()), random(8, 8, 8)
    rows = [mean(net[:count](x)) for count in (2, 3)]
    assert quiet(net, None, [x]).matrix[1, 2] == pytest.approx(debiased_cka(*rows), abs=2e-6)
