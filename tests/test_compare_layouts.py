"""compare_models infers the dimensions of every layer from its module, or raises an error."""

from __future__ import annotations

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


def seeded(make, seed=0):
    torch.manual_seed(seed)
    return make()


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Channels(nn.Module):
    """(n, channels, height, width), then (n, height, width, channels)."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.act = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, 32), nn.GELU()

    def forward(self, x):
        return self.act(self.fc(self.conv(x).permute(0, 2, 3, 1)))


def test_features_of_pictures_are_where_the_module_has_them():
    torch.manual_seed(0)
    net, x = Channels(), torch.randn(64, 3, 8, 8)
    with torch.no_grad():
        maps = net.conv(x)
        tokens = net.fc(maps.permute(0, 2, 3, 1))
    expected = [maps.mean((2, 3)), tokens.mean((1, 2)), net.act(tokens).mean((1, 2))]
    for layers in (["conv", "fc", "act"], None):
        found = quiet(net, None, [x], layers=layers)
        assert found.matrix == pytest.approx(gramless.cka_matrix([t.numpy() for t in expected]), abs=1e-6)
    assert found.matrix[0, 1] == pytest.approx(0.9798, abs=5e-5)
    minibatch = quiet(net, None, [x], method="minibatch")
    assert minibatch.matrix == pytest.approx(found.matrix, abs=1e-6)


def test_features_of_sequences_are_where_the_module_has_them():
    """(n, channels, length) of Conv1d with as many channels as positions."""
    net = seeded(lambda: nn.Sequential(nn.Conv1d(4, 12, 3, padding=1), nn.BatchNorm1d(12), nn.ReLU()))
    x = random(40, 4, 12)
    with torch.no_grad():
        expected = gramless.cka_matrix(
            [m(x).mean(2).numpy() for m in (net[:1].eval(), net[:2].eval(), net.eval())]
        )
    assert quiet(net, None, [x]).matrix == pytest.approx(expected, abs=1e-6)


class Recurrent(nn.Module):
    def __init__(self, kind, batch_first):
        super().__init__()
        self.rnn, self.head, self.act = kind(8, 12, batch_first=batch_first), nn.Linear(12, 5), nn.Tanh()

    def forward(self, x):
        x = x if self.rnn.batch_first else x.transpose(0, 1)
        return self.act(self.head(self.rnn(x)[0]))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("batch", [20, 16])
def test_recurrent_layers_with_tokens_first(kind, batch):
    """As many tokens as examples in a batch: shapes are ambiguous."""
    x = random(80, 20, 8)
    nets = [seeded(lambda first=first: Recurrent(kind, first)) for first in (False, True)]
    found, expected = (quiet(net, None, list(x.split(batch))).matrix for net in nets)
    assert found == pytest.approx(expected, abs=1e-6)
    with torch.no_grad():
        outputs = [nets[1].rnn(x)[0], nets[1].head(nets[1].rnn(x)[0]), nets[1](x)]
    truth = gramless.cka_matrix([t.mean(1).numpy() for t in outputs])
    assert expected == pytest.approx(truth, abs=1e-5)


def test_batches_with_tokens_first_are_read_by_the_module_that_takes_them():
    """Only batch_first determines which of 20 and 20 the examples are."""
    net = seeded(lambda: nn.Sequential(nn.Linear(8, 8), nn.LSTM(8, 12)))
    batches = [batch.transpose(0, 1) for batch in random(80, 20, 8).split(20)]
    first = seeded(lambda: nn.Sequential(nn.Linear(8, 8), nn.LSTM(8, 12, batch_first=True)))
    found = quiet(net, None, batches, layers=["0", "1"])
    expected = quiet(first, None, [batch.transpose(0, 1) for batch in batches], layers=["0", "1"])
    assert found.matrix == pytest.approx(expected.matrix, abs=1e-6)
    assert found.settings["examples"] == 80


def test_a_module_and_a_batch_that_contradict_each_other_are_named():
    x, labels = random(24, 10, 8), torch.arange(24)
    with pytest.raises(ValueError, match=r"^compare_models: LSTM of model_a has batch_first=False") as error:
        quiet(nn.LSTM(8, 12), None, [(x, labels)])
    assert "entry '1' of the batch has 24 examples, not 10" in str(error.value)


@pytest.mark.parametrize("norm_first", [False, True])
def test_torch_encoders_with_tokens_first(norm_first):
    x = random(16, 16, 8)

    def make(batch_first):
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=batch_first, norm_first=norm_first)
        return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    second, first = seeded(lambda: make(False)), seeded(lambda: make(True))
    expected = quiet(first, None, [x], layers="leaves")
    options = {"layers": "leaves", "forward": lambda model, batch: model(batch.transpose(0, 1))}
    found = quiet(second, None, [x], **options)
    assert found.layers_a == expected.layers_a
    assert "layers.0.self_attn" in found.layers_a
    assert found.matrix == pytest.approx(expected.matrix, abs=1e-5)
    assert quiet(first, None, [x]).layers_a == ["layers.0", "layers.1"]


class OpenCLIPBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.attn, self.mlp = nn.LayerNorm(8), nn.MultiheadAttention(8, 2), nn.Linear(8, 8)

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(x)


class Vision(nn.Module):
    """Patches, class token, position embeddings, blocks of (tokens, batch, features)."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.token, self.position = nn.Parameter(torch.randn(8)), nn.Parameter(torch.randn(17, 8))
        self.blocks = nn.Sequential(*(OpenCLIPBlock() for _ in range(2)))

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), 1, -1), x], 1) + self.position
        return self.blocks(x.transpose(0, 1)).transpose(0, 1)[:, 0]


def test_blocks_of_tokens_first_behind_a_vision_stem():
    net, x = seeded(Vision), random(17, 3, 8, 8)  # 17 tokens, 17 examples
    kept = {}
    for name in ("0", "1"):
        net.blocks.get_submodule(name).register_forward_hook(
            lambda m, i, o, name=name: kept.update({name: o})
        )
    net.eval()(x)
    expected = gramless.cka_matrix([kept[name].mean(0).detach().numpy() for name in ("0", "1")])
    found = quiet(net, None, [x])
    assert found.layers_a == ["blocks.0", "blocks.1"]
    assert found.matrix == pytest.approx(expected, abs=1e-6)


class Windows(nn.Module):
    """Attention in windows: their number and the examples are one dimension."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 6, 1), nn.Linear(6, 5)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        x = x.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        return self.inner(x)


def test_windows_are_positions():
    net, x = seeded(Windows), random(12, 3, 8, 8)
    with torch.no_grad():
        expected = gramless.cka(
            *(t.numpy() for t in (net.stem(x).mean((2, 3)), net(x).view(12, 4, 16, 5).mean((1, 2))))
        )
    found = quiet(net, None, [x[:8], x[8:]])  # batches of different sizes
    assert found.matrix[0, 1] == pytest.approx(expected, abs=1e-6)
