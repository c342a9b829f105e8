"""compare_models reports the layers that it leaves out once, with a reason for each: in a warning, in repr,
in the plot's caption and, in full, in the settings. No layer is left out by mistake.
"""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib").use("agg")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations  # noqa: E402

N = 16


class Returns(nn.Module):
    """A module without parameters that applies a function to its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Linear(8, 6))


def by_mask(x):
    """Repeats the rows in a way that no rule follows."""
    return torch.masked_select(x, x == x).view(-1, x.shape[-1] // 2)


LEFT_OUT = {  # a module, and the reason why it is not a layer
    "text": (Returns(lambda x: "x"), "returns str without a tensor inside"),
    "nothing": (Returns(lambda x: None), "returns NoneType without a tensor inside"),
    "complex": (Returns(lambda x: x * 1j), "returns torch.complex64; only real numbers are supported"),
    "sparse": (Returns(lambda x: x.to_sparse()), "returns a sparse tensor; only dense tensors are supported"),
    "constant": (Returns(lambda x: torch.ones(N, 3)), "returns a tensor that is not computed from the batch"),
    "merged": (
        Returns(by_mask),
        f"returns shape ({2 * N}, 4) for a batch of {N} examples: its rows are not the examples",
    ),
    "number": (Returns(lambda x: x.mean()), "returns a single number"),
    "scripted": (scripted(), "never ran as a module: 'scripted' is compiled by torch.jit"),
    "unused": (nn.Linear(3, 3), "never ran"),
}


class Net(nn.Module):
    def __init__(self, names):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.others = [LEFT_OUT[name][0] for name in names if name != "unused"]
        for name in names:
            setattr(self, name, LEFT_OUT[name][0])

    def forward(self, x):
        x = self.first(x)
        for other in self.others:
            other(x)
        return x


def compared(net, *others, x=None, **options):
    x = torch.randn(N, 8, generator=torch.Generator().manual_seed(1)) if x is None else x
    return compare_models(net, *others, [x], progress=False, **options)


def caption(result):
    """The caption of the plot about layers left out, with or without line breaks."""
    [text] = [
        " ".join(text.get_text().split()) for text in result.plot().texts if "left out" in text.get_text()
    ]
    return text[text.index("left out") :]


@pytest.mark.filterwarnings("ignore:.*jit")
@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_layer_that_is_left_out_is_named_with_its_reason(name):
    reason = LEFT_OUT[name][1]
    with pytest.warns(UserWarning, match="layers are left out of model_a") as caught:
        result = compared(Net([name]), None)
    assert [str(w.message) for w in caught] == [
        f"compare_models: layers are left out of model_a: {name!r} ({reason})"
    ]
    assert result.layers_a == ["first"]
    assert result.settings["left_out_a"] == {name: reason}
    assert repr(result).endswith(f", left out: {name!r} ({reason}))")
    assert caption(result) == f"left out: {name!r} ({reason})"
    if name == "constant":  # if it is selected by its name, it is a layer
        return
    with pytest.raises(ValueError, match=f"^compare_models: layer {name!r} of model_a"):
        compared(Net([name]), None, layers=["first", name])


@pytest.mark.filterwarnings("ignore:.*jit")
def test_all_of_them_are_in_one_warning():
    with pytest.warns(UserWarning, match="left out") as caught:
        result = compared(Net(LEFT_OUT), Net(["unused"]))
    [message] = [str(w.message) for w in caught]
    for name, (_, reason) in LEFT_OUT.items():
        assert f"{name!r} ({reason})" in message
    assert message.endswith("; model_b: 'unused' (never ran)")
    assert result.settings["left_out_a"] == {name: reason for name, (_, reason) in LEFT_OUT.items()}
    assert result.settings["left_out_b"] == {"unused": "never ran"}
    for shown in (repr(result), caption(result)):
        assert "6 more for other reasons of a; 'unused' (never ran) of b" in shown


def quantised():
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(8, 6)), {nn.Linear})[0]


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]


class Packs(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(8, 5, batch_first=True)

    def forward(self, x):
        lengths = torch.arange(N) % 3 + 1
        return self.rnn(
            nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        )[0]


class Pads(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)

    def forward(self, x):
        padding = torch.arange(x.shape[1])[None] > torch.arange(N)[:, None] % 3 + 1
        return self.encoder(x, src_key_padding_mask=padding)


LAYERS = {  # modules that were left out, or whose weights were layers, and the layers that they are
    "parametrised": (lambda: parametrizations.orthogonal(nn.Linear(8, 8)), ["0"], False),
    "weight-normed": (lambda: parametrizations.weight_norm(nn.Linear(8, 6)), ["0"], False),
    "weight-normed of old": (lambda: nn.utils.weight_norm(nn.Linear(8, 6)), ["0"], False),
    "spectral-normed": (lambda: parametrizations.spectral_norm(nn.Linear(8, 6)), ["0"], False),
    "quantised": (quantised, ["0"], False),
    "attention": (Attends, ["0.attention"], True),
    "packed": (Packs, ["0.rnn"], True),
    "padded": (
        Pads,
        [f"0.encoder.layers.{block}" for block in range(2)],
        True,
    ),
}


@pytest.mark.filterwarnings("ignore:.*(quantization|weight_norm|deprecated)")
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_a_layer_is_one_and_nothing_is_said(name):
    make, names, tokens = LAYERS[name]
    torch.manual_seed(0)
    x = torch.randn(N, 6, 8) if tokens else torch.randn(N, 8)
    result = compared(nn.Sequential(make(), nn.Identity()), None, x=x)
    assert result.layers_a == names
    assert result.settings["left_out_a"] == {}
    assert "left out" not in repr(result)
    assert all("left out" not in text.get_text() for text in result.plot().texts)
