"""compare_models: the dimension of the examples, where sizes of 1 or other entries of a batch mislead."""

from __future__ import annotations

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Encoder(nn.Module):
    """(tokens, batch, features), as is torch's default."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16)
        self.first, self.second = nn.Linear(8, 8), nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x):
        return self.second(self.first(x))


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), kind(8, 12, **options)

    def forward(self, x):
        return self.second(self.first(x))[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Recurrent(nn.LSTM),
        lambda: Recurrent(nn.GRU, bidirectional=True, num_layers=2),
        lambda: Recurrent(nn.LSTM, proj_size=3),
        Encoder,
    ],
)
@pytest.mark.parametrize("sizes", [[1] * 9, [1, 8], [8, 1]])
@pytest.mark.filterwarnings("ignore")
def test_one_example_whose_tokens_come_first(make, sizes):
    """(tokens, 1, features) looked like as many examples as there are tokens."""
    torch.manual_seed(0)
    net, x = make().eval(), random(6, 9, 8)
    with torch.no_grad():
        outputs = [net.first(x), net(x)]
    expected = gramless.cka_matrix([t.mean(0).numpy() for t in outputs])
    found = quiet(net, None, list(x.split(sizes, dim=1)), layers=["first", "second"])
    assert found.settings["examples"] == 9
    assert found.matrix == pytest.approx(expected, abs=1e-6)


class Step(nn.Module):
    """Every row is a sequence of one token."""

    def __init__(self, batch_first):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.LSTM(8, 12, batch_first=batch_first)

    def forward(self, x):
        place = 1 if self.second.batch_first else 0
        return self.second(self.first(x).unsqueeze(place))[0].squeeze(place)


@pytest.mark.parametrize("batch_first", [True, False])
def test_rows_that_become_sequences_of_one_token(batch_first):
    torch.manual_seed(0)
    net, x = Step(batch_first).eval(), random(20, 8)
    with torch.no_grad():
        expected = gramless.cka(net.first(x).numpy(), net(x).numpy())
    found = quiet(net, None, list(x.split(5)), layers=["first", "second"])
    assert found.matrix[0, 1] == pytest.approx(expected, abs=1e-6)


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places, self.mix = nn.Embedding(50, 8), nn.Embedding(7, 8), nn.Linear(8, 5)

    def forward(self, position_ids, input_ids, attention_mask):
        return self.mix(self.words(input_ids) + self.places(position_ids))


def test_position_ids_that_come_first_in_a_batch_are_no_examples():
    torch.manual_seed(0)
    net = Positions()
    ids = torch.randint(0, 50, (20, 7), generator=torch.Generator().manual_seed(0))
    batch = {"position_ids": torch.arange(7)[None], "input_ids": ids, "attention_mask": torch.ones(20, 7)}
    found = quiet(net, None, [batch], layers=["words", "mix"])
    with torch.no_grad():
        rows = [net.words(ids).mean(1).numpy(), net(**batch).mean(1).numpy()]
    assert found.settings["examples"] == 20
    assert found.matrix == pytest.approx(gramless.cka_matrix(rows), abs=1e-6)
    single = {name: value[:1] for name, value in batch.items()}
    assert quiet(net, None, [single, batch], layers=["words", "mix"]).settings["examples"] == 21


class Behind(nn.Module):
    """A recurrent layer behind an operation that no rule follows."""

    def __init__(self, batch_first):
        super().__init__()
        self.first, self.head = nn.LSTM(8, 12, batch_first=batch_first), nn.Linear(12, 5)

    def forward(self, x):
        x = x if self.first.batch_first else x.transpose(0, 1)
        return self.head(self.first(torch.masked_select(x, x == x).view(x.shape))[0])


@pytest.mark.parametrize("batch_first", [True, False])
def test_what_follows_a_recurrent_layer_has_its_examples(batch_first):
    """As many tokens as examples: only batch_first of the layer before distinguishes them."""
    torch.manual_seed(0)
    net, x = Behind(batch_first).eval(), random(20, 20, 8)
    with torch.no_grad():
        given = x if batch_first else x.transpose(0, 1)
        outputs = [net.first(given)[0], net(x)]
    rows = [t.mean(1 if batch_first else 0).numpy() for t in outputs]
    found = quiet(net, None, [x], layers=["first", "head"])
    assert found.matrix == pytest.approx(gramless.cka_matrix(rows), abs=1e-6)
