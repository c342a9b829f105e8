"""compare_models leaves out no layer silently, compares only layers, and accepts all of their names."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations  # noqa: E402

ignored = pytest.mark.filterwarnings("ignore")  # torch deprecates functions that users still call


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


def random(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def padded():
    lengths = torch.arange(16) % 5 + 3
    return {"x": random(16, 7, 8), "attention_mask": (torch.arange(7)[None] < lengths[:, None]).long()}


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x, attention_mask):
        return self.encoder(x, src_key_padding_mask=attention_mask == 0)


def masked_means(tensors, mask):
    valid = mask[:, :, None].bool()
    return [(torch.where(valid, t, 0).sum(1) / mask.sum(1, keepdim=True)).detach().numpy() for t in tensors]


def test_torch_encoders_under_a_padding_mask(padded):
    """The fast path calls no layer of the blocks and returns nested tensors."""
    torch.manual_seed(0)
    net = Encoder()
    blocks = quiet(net, None, [padded])
    assert blocks.layers_a == ["encoder.layers.0", "encoder.layers.1"]
    assert len(quiet(net, None, [padded], layers="leaves").layers_a) == 10
    assert torch.backends.mha.get_fastpath_enabled()
    hidden, found = padded["x"], []
    for layer in net.encoder.layers.train():  # training has no fast path; dropout is off
        for module in layer.modules():
            if isinstance(module, (nn.Dropout, nn.MultiheadAttention)):
                module.eval()
        hidden = layer(hidden, src_key_padding_mask=padded["attention_mask"] == 0)
        found.append(hidden)
    expected = gramless.cka_matrix(masked_means(found, padded["attention_mask"]))
    assert blocks.matrix == pytest.approx(expected, abs=1e-5)


@ignored
def test_the_owner_of_computed_weights_is_the_layer():
    torch.manual_seed(0)
    net = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(8, 9)),
        parametrizations.spectral_norm(nn.Linear(9, 9)),
        nn.utils.weight_norm(nn.Linear(9, 9)),
        nn.utils.spectral_norm(nn.Linear(9, 9)),
        parametrizations.orthogonal(nn.Linear(9, 9)),
    )
    x = random(9, 8)
    assert quiet(net, None, [x]).layers_a == [str(i) for i in range(5)]
    assert quiet(net, None, [x], layers="**").layers_a == [str(i) for i in range(5)]


@ignored
def test_quantised_layers_are_layers():
    quantise = torch.ao.quantization.quantize_dynamic
    x = random(16, 7, 8)
    net = quantise(nn.Sequential(nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 3)), {nn.Linear})
    with torch.no_grad():
        means = [net[:k](x).mean(1).numpy() for k in (1, 2, 3)]
    found = quiet(net, None, [x])
    assert found.layers_a == ["0", "1", "2"]
    assert found.matrix == pytest.approx(gramless.cka_matrix(means), abs=1e-6)
    recurrent = quantise(nn.Sequential(nn.LSTM(8, 9, batch_first=True)), {nn.LSTM})
    assert quiet(recurrent, None, [x]).layers_a == ["0"]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.attention = nn.Linear(8, 8), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.linear(x)
        return self.attention(x, x, x)[0]


def test_attention_is_a_layer_and_its_projection_is_none():
    assert quiet(Attention(), None, [random(16, 7, 8)]).layers_a == ["linear", "attention"]
    net = nn.MultiheadAttention(8, 2, batch_first=True)
    found = quiet(net, None, [random(16, 7, 8)], forward=lambda model, x: model(x, x, x))
    assert found.layers_a == ["MultiheadAttention"]


class Functional(nn.Module):
    """Uses the weights of a module that it never calls, as torchvision's Swin does."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(8, 6), nn.Linear(6, 4)

    def forward(self, x):
        return nn.functional.linear(nn.functional.linear(x, self.inner.weight), self.outer.weight)


def test_a_module_that_calls_no_other_is_a_leaf():
    net = nn.Sequential(nn.Linear(8, 8), Functional())
    with pytest.warns(UserWarning, match=r"'1.inner', '1.outer' \(never ran\)"):
        found = quiet(net, None, [random(12, 8)])
    assert found.layers_a == ["0", "1"]


@ignored
def test_compiled_children_are_layers_by_their_own_names():
    net = nn.Sequential(
        nn.Linear(8, 9),
        torch.compile(nn.Sequential(nn.Linear(9, 9), nn.ReLU()), backend="eager"),
        nn.Linear(9, 3),
    )
    plain = nn.Sequential(net[0], net[1]._orig_mod, net[2])
    x = random(16, 8)
    with torch.no_grad():
        net(x)
    found, expected = quiet(net, None, [x]), quiet(plain, None, [x])
    assert found.layers_a == expected.layers_a == ["0", "1.0", "1.1", "2"]
    assert np.array_equal(found.matrix, expected.matrix)
    assert quiet(net, None, [x], layers=[net[1], "1.0"]).layers_a == ["1", "1.0"]
    plain[1].compile(backend="eager")
    with torch.no_grad():
        plain(x)
    assert np.array_equal(quiet(plain, None, [x]).matrix, expected.matrix)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, x, attention_mask):
        lengths, pad = attention_mask.sum(1), nn.utils.rnn.pad_packed_sequence
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])[0])


def test_packed_sequences_are_averaged_over_their_tokens(padded):
    torch.manual_seed(0)
    net = Packed()
    hidden = [net.rnn(padded["x"])[0], net.head(net.rnn(padded["x"])[0])]
    expected = gramless.cka_matrix(masked_means(hidden, padded["attention_mask"]))
    assert quiet(net, None, [padded]).matrix == pytest.approx(expected, abs=1e-5)


class Nested(nn.Module):
    def __init__(self, layout):
        super().__init__()
        self.first, self.second, self.layout = nn.Linear(8, 6), nn.Linear(6, 4), layout

    def forward(self, x, attention_mask):
        lengths, hidden = attention_mask.sum(1).tolist(), self.first(x)
        parts = [row[:length] for row, length in zip(hidden, lengths, strict=True)]
        return self.second(torch.nested.nested_tensor(parts, layout=self.layout))


@ignored
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
def test_nested_tensors_are_averaged_over_their_tokens(padded, layout):
    torch.manual_seed(0)
    net = Nested(layout)
    hidden = net.first(padded["x"])
    expected = gramless.cka_matrix(masked_means([hidden, net.second(hidden)], padded["attention_mask"]))
    found = quiet(net, None, [padded], layers=["first", "second"])
    assert found.matrix == pytest.approx(expected, abs=1e-5)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu, self.unused = nn.Linear(8, 6), nn.Linear(6, 5), nn.ReLU(), nn.Linear(3, 3)

    def forward(self, x):
        return self.relu(self.b(self.relu(self.a(x))))


def test_names_that_a_result_shows_can_be_asked_for():
    net, x = Twice(), random(16, 8)
    both = quiet(net, None, [x], layers=["relu", "a"])
    assert both.layers_a == ["relu[0]", "relu[1]", "a"]
    again = quiet(net, None, [x], layers=both.layers_a)
    assert again.layers_a == both.layers_a
    assert np.array_equal(again.matrix, both.matrix)
    assert quiet(net, None, [x], layers="relu[1]").layers_a == ["relu[1]"]
    assert quiet(net, None, [x], layers=["relu", "relu[1]"]).layers_a == ["relu[0]", "relu[1]"]
    assert quiet(net, None, [x], layers=["a[0]", "Twice"]).layers_a == ["a[0]", "Twice"]
    sentence = (
        r"^compare_models: 'relu\[2\]' of model_a is not a layer: its module ran 2 times in the forward pass"
    )
    with pytest.raises(ValueError, match=sentence):
        quiet(net, None, [x], layers="relu[2]")


def test_patterns_skip_what_never_runs_and_say_so():
    net, x = Twice(), random(16, 8)
    with pytest.warns(UserWarning, match=r"left out of model_a: 'unused' \(never ran\)$") as caught:
        found = quiet(net, net, [x], [x], layers="*", layers_b=["a"])
    assert found.layers_a == ["a", "b", "relu[0]", "relu[1]"]
    assert len(caught) == 1
    with pytest.raises(ValueError, match="layer 'unused' of model_a never ran"):
        quiet(net, None, [x], layers=["*", "unused"])
    with pytest.raises(ValueError, match="layer 'unused' of model_a never ran"):
        quiet(net, None, [x], layers="unuse?")


def test_a_star_stays_within_one_level():
    net = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8))))
    x = random(16, 8)
    assert quiet(net, None, [x], layers="*").layers_a == ["0", "1"]
    assert quiet(net, None, [x], layers="1.*").layers_a == ["1.0", "1.1"]
    assert quiet(net, None, [x], layers="1.**").layers_a == ["1.0", "1.1", "1.1.0"]
    assert quiet(net, None, [x], layers="**.0").layers_a == ["0", "1.0", "1.1.0"]
    sentence = r"'1\*\*0' matches '1.0': \* stays within one level, \*\* crosses dots"
    with pytest.raises(ValueError, match=sentence):
        quiet(net, None, [x], layers="1*0")


@dataclass
class Output:
    loss: object
    logits: torch.Tensor
    hidden_states: tuple = ()


def test_dataclasses_are_understood():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, x):
            return Output(None, self.linear(x))

    found = quiet(Net(), None, [random(12, 8)], layers=["Net", "linear"])
    assert found.matrix[0, 1] == pytest.approx(1, abs=1e-9)


class Stage(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(Attention() for _ in range(2)))

    def forward(self, x):
        return self.blocks(x)


def test_the_default_of_transformers_is_their_blocks():
    net, x = nn.Sequential(nn.Linear(8, 8), Stage(), Stage()), random(16, 7, 8)
    blocks = [f"{stage}.blocks.{block}" for stage in (1, 2) for block in (0, 1)]
    assert quiet(net, None, [x]).layers_a == blocks
    assert quiet(net, None, [x], layers="blocks").layers_a == blocks
    leaves = quiet(net, None, [x], layers="leaves").layers_a
    assert leaves == ["0", *(f"{block}.{part}" for block in blocks for part in ("linear", "attention"))]
    of_timm = Stage()  # whose list of blocks has that name
    assert quiet(of_timm, None, [x], layers="blocks").layers_a == ["blocks.0", "blocks.1"]
    assert quiet(of_timm, None, [x], layers=["blocks"]).layers_a == ["blocks"]
    plain = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    assert quiet(plain, None, [x]).layers_a == ["0", "1"]
    with pytest.raises(ValueError, match="model_a has no repeated blocks; it is Sequential"):
        quiet(plain, None, [x], layers="blocks")


@ignored
def test_what_torch_jit_runs_is_left_out_with_the_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8)))
    found = quiet(nn.Sequential(scripted, nn.Linear(8, 2)), None, [random(12, 8)])
    assert found.settings["left_out_a"]["0.0"] == "never ran as a module: '0.0' is compiled by torch.jit"
