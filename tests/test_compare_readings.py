"""compare_models: layouts with two readings, pools that are callables, and batches of other lengths."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from by_definition import debiased_cka

torch = pytest.importorskip("torch")

from gramless.torch import TrainingCKA  # noqa: E402
from test_compare_layouts import Channels, quiet, random, seeded  # noqa: E402
from torch import nn  # noqa: E402


class Opaque(nn.Module):
    """An operation that no rule follows."""

    def forward(self, x):
        return torch.masked_select(x, x == x).view(x.shape) * 2


def test_a_layer_with_two_readings_is_refused_with_the_choice():
    net = nn.Sequential(nn.Linear(5, 5), Opaque())
    x = random(30, 7, 5)
    sentence = (
        r"^compare_models: layer '1' of model_a returns shape \(30, 7, 5\), and neither its module nor the "
        r"operations around it show which dimensions are examples, features and positions; pass "
        r"layout=\{'1': ...\} with \"NCL\" or \"NLC\"$"
    )
    for layers in (["1"], ["*"]):
        with pytest.raises(ValueError, match=sentence):
            quiet(net, None, [x], layers=layers)
    values = net(x).detach()
    for layout, axis in (("NLC", 1), ("NCL", 2)):
        expected = gramless.cka(*(t.detach().numpy() for t in (net[0](x).mean(1), values.mean(axis))))
        for given in ({"1": layout}, {"?": ["NHWC", "NLC"], "1": layout}, {"1": ["NHWC", layout]}):
            if "?" in given and layout == "NCL":
                continue  # the first entry that fits holds
            found = quiet(net, None, [x], layers=["0", "1"], layout=given)
            assert found.matrix[0, 1] == pytest.approx(expected, abs=1e-6)
    assert quiet(net, None, [x], layout="NLC").matrix.shape == (2, 2)
    watch = TrainingCKA(net, [x], layers=["1"], layout={"1": "NLC"})
    assert watch(0)["1"] == pytest.approx(1)


def test_layouts_that_make_no_sense_are_refused():
    net, x = seeded(Channels), random(10, 3, 8, 8)
    for layout in ("NHW", "NCCH", "nchw", "", 3):
        with pytest.raises(ValueError, match="layout must have one capital letter for each dimension"):
            quiet(net, None, [x], layout=layout)
    with pytest.raises(
        ValueError, match=r"layout\['con'\] matches none of the compared layers, which are 'conv'"
    ):
        quiet(net, None, [x], layout={"con": "NCHW"})
    with pytest.raises(
        ValueError, match="layout 'NLC' of 'fc' has 3 letters, but the layer has 4 dimensions"
    ):
        quiet(net, None, [x], layout={"fc": "NLC"})
    with pytest.raises(
        ValueError, match=r"layer 'fc' of model_a returns shape \(10, 8, 8, 32\) for a batch of 10"
    ):
        quiet(net, None, [x], layout={"fc": "HNWC"})


def test_a_layout_overrides_the_module():
    net, x = seeded(Channels), random(20, 3, 8, 8)
    found = quiet(net, None, [x], layers=["conv", "fc"], layout={"conv": "NHWC"})
    with torch.no_grad():
        conv = net.conv(x)
        expected = gramless.cka(
            conv.mean((1, 2)).numpy(), net.fc(conv.permute(0, 2, 3, 1)).mean((1, 2)).numpy()
        )
    assert found.matrix[0, 1] == pytest.approx(expected, abs=1e-6)


def test_what_follows_tells_where_nothing_precedes():
    """An activation applied to the input is read like the input of the convolution after it."""
    net, x = nn.Sequential(nn.ReLU(), nn.Conv1d(6, 4, 1)), random(20, 6, 6)
    found = quiet(net, None, [x])
    expected = gramless.cka(x.relu().mean(2).numpy(), net(x).mean(2).detach().numpy())
    assert found.matrix[0, 1] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="layer '0' of model_a returns shape"):
        quiet(nn.Sequential(nn.ReLU(), nn.Tanh()), None, [x])


def test_pool_callables_get_the_name_the_module_and_the_mask():
    net, x = seeded(Channels), random(10, 3, 8, 8)
    seen = []

    def pool(tensor, name, module, mask):
        seen.append((name, type(module), mask))
        return tensor.flatten(1)

    quiet(net, None, [x], layers=["conv", "fc"], pool=pool)
    assert seen == [("conv", nn.Conv2d, None), ("fc", nn.Linear, None)]
    callables = [
        lambda t: t.flatten(1),
        lambda t, axes=1: t.flatten(axes),
        lambda t, mask: t.flatten(1),
        lambda t, *, module: t.flatten(1),
        lambda t, **others: t.flatten(len(others) - 2),
        lambda x, layer, its_module, its_mask: t_of(x, layer, its_module),
    ]

    def t_of(x, layer, module):
        assert (layer, type(module)) in (("conv", nn.Conv2d), ("fc", nn.Linear))
        return x.flatten(1)

    expected = quiet(net, None, [x], layers=["conv", "fc"], pool="none").matrix
    for one in callables:
        assert quiet(net, None, [x], layers=["conv", "fc"], pool=one).matrix == pytest.approx(
            expected, abs=1e-9
        )


def test_batches_of_other_lengths_are_read_alike():
    net = seeded(lambda: nn.Sequential(nn.Conv1d(4, 6, 3, padding=1), nn.ReLU()))
    batches = [random(10, 4, length) for length in (6, 9, 6, 10)]
    with torch.no_grad():
        rows = [torch.cat([net[:k](batch).mean(2) for batch in batches]).numpy() for k in (1, 2)]
    assert quiet(net, None, batches).matrix == pytest.approx(gramless.cka_matrix(rows), abs=1e-6)


def test_one_example_in_a_batch():
    net = seeded(Channels)
    x = random(9, 3, 8, 8)
    assert quiet(net, None, list(x.split(1))).matrix == pytest.approx(quiet(net, None, [x]).matrix, abs=1e-6)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_settings_of_torch_are_put_back_after_an_exception(error):
    def fail(model, batch):
        model(batch)
        raise error("no more")

    net = Channels()
    with pytest.raises(error):
        quiet(net, None, [random(8, 3, 8, 8)], forward=fail)
    assert torch.backends.mha.get_fastpath_enabled()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(m.training for m in net.modules())
    assert len(torch.utils._python_dispatch._get_current_dispatch_mode_stack()) == 0


def test_an_lstm_whose_batches_are_as_long_as_they_are_many():
    """80 examples of 20 tokens in batches of 20: read the other way, rows would be tokens."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.LSTM(8, 12)), torch.randn(80, 20, 8)
    batches = [batch.transpose(0, 1) for batch in x.split(20)]
    given = {"forward": lambda model, batch: model(batch), "layers": ["0"]}
    head = nn.Sequential(nn.Linear(8, 6))
    with torch.no_grad():
        outputs = [net(batch)[0] for batch in batches]  # (tokens, examples, features)
        hidden = [head(batch) for batch in batches]
    right, wrong = (
        [np.concatenate([t.double().mean(axis).numpy() for t in side]) for side in (outputs, hidden)]
        for axis in (0, 1)
    )
    found = quiet(net, Transposed(head), batches, layers_b=["head.0"], **given).matrix[0, 0]
    assert found == pytest.approx(debiased_cka(*right), abs=1e-6)
    assert abs(debiased_cka(*right) - debiased_cka(*wrong)) > 0.02


class Transposed(nn.Module):
    """Takes (tokens, examples, features), as its nn.LSTM shows."""

    def __init__(self, head):
        super().__init__()
        self.head, self.rnn = head, nn.LSTM(6, 3)

    def forward(self, x):
        return self.rnn(self.head(x))
