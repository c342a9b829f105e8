"""compare_models on batches that are packed sequences, and on layers that are trained for quantisation."""

from __future__ import annotations

import pytest
from by_definition import debiased_cka

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import rnn  # noqa: E402

N = 24


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTM(8, 5), nn.GRU(5, 4, bidirectional=True)

    def forward(self, packed):
        return self.second(self.first(packed)[0])[1]


def means(packed):
    padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True)
    return torch.stack([own[:length].mean(0) for own, length in zip(padded, lengths, strict=True)]).detach()


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("method", ["exact", "minibatch"])
def test_a_packed_sequence_is_a_batch(sort, method):
    """Its tensors were read as a tuple, and all tokens as one long sequence."""
    torch.manual_seed(0)
    net, lengths = Net(), torch.randint(1, 7, (N,))
    lengths = lengths.sort(descending=True)[0] if sort else lengths
    packed = rnn.pack_padded_sequence(torch.randn(N, 6, 8), lengths, batch_first=True, enforce_sorted=sort)
    before = packed.data.clone()
    truth = debiased_cka(means(net.first(packed)[0]), means(net.second(net.first(packed)[0])[0]))
    for batch in (packed, (packed, torch.zeros(N)), [packed]):
        found = quiet(net, None, [batch], method=method)
        assert found.settings["examples"] == N
        assert found.layers_a == ["first", "second"]
        assert found.matrix[0, 1] == pytest.approx(truth, abs=1e-6)
    assert torch.equal(packed.data, before)
    with pytest.raises(TypeError, match=r"is a PackedSequence, whose rows would be read as batches"):
        quiet(net, None, packed)


@pytest.mark.filterwarnings("ignore")  # torch deprecates functions that users still call
def test_layers_that_are_trained_for_quantisation_keep_their_names():
    quantization = torch.ao.quantization
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)), torch.randn(N, 8)
    net.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    prepared = quantization.prepare_qat(net.train())
    prepared(x)
    prepared.eval()
    with torch.no_grad():
        first = prepared[0](x)
        truth = debiased_cka(first, prepared[2](prepared[1](first)))
    found = quiet(prepared, None, [x])
    assert found.layers_a == ["0", "1", "2"]
    assert found.settings["left_out_a"] == {}
    assert found.matrix[0, 2] == pytest.approx(truth, abs=1e-6)
