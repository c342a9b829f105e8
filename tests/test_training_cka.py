"""CKA while training: the callback."""

from __future__ import annotations

import copy

import matplotlib
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import TrainingCKA, compare_models  # noqa: E402
from torch import nn  # noqa: E402

matplotlib.use("agg")


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (12, 4, 17)]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, 3))


def shaken(net, seed=1):
    with torch.no_grad():
        torch.manual_seed(seed)
        for parameter in net.parameters():
            parameter += 0.3 * torch.randn_like(parameter)


def test_the_callback_compares_with_the_start(net, batches):
    x = [batch.float() for batch in batches]
    before = copy.deepcopy(net)
    watch = TrainingCKA(net, x, layers=["3", "0"], every=5)
    assert list(watch(0).values()) == pytest.approx([1, 1], abs=1e-6)
    shaken(net)
    assert watch(3) is None
    values = watch(5)
    both = compare_models(before, net, x, layers=["3", "0"], progress=False)
    assert list(values) == ["3", "0"]
    assert list(values.values()) == pytest.approx(np.diag(both.matrix), abs=1e-6)
    assert watch.steps == [0, 5]
    assert watch.matrix.shape == (2, 2)
    assert watch.matrix[1].tolist() == list(values.values())


def test_the_callback_compares_with_a_checkpoint(net, batches):
    checkpoint = copy.deepcopy(net)
    shaken(net)
    watch = TrainingCKA(net, [batches[0].float()], start=checkpoint, layers="3")
    assert watch(1)["3"] < 0.99
    net.load_state_dict(checkpoint.state_dict())
    assert watch(2)["3"] == pytest.approx(1, abs=1e-6)


def test_the_callback_leaves_the_model_training(net, batches):
    net.train()
    net[2].eval()
    watch = TrainingCKA(net, [batches[0].float()])
    assert watch.layers == ["0", "1", "3"]
    watch(0)
    assert [m.training for m in net] == [True, True, False, True]
    assert not any(m._forward_hooks for m in net.modules())


def test_the_callback_draws_layers_against_steps(net, batches):
    watch = TrainingCKA(net, [batches[0].float()])
    with pytest.raises(ValueError, match=r"TrainingCKA.plot: there is no step to draw yet"):
        watch.plot()
    assert watch.matrix.shape == (0, 3)
    watch(0), watch(7)
    ax = watch.plot(title="drift")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "7"]
    matplotlib.pyplot.close("all")


def test_the_callback_refuses_in_a_sentence(net, batches):
    x = [batches[0].float()]
    with pytest.raises(ValueError, match="TrainingCKA: no layer of start is named or matches 'fc'"):
        TrainingCKA(net, x, layers=["fc"])
    with pytest.raises(TypeError, match=r"^TrainingCKA: model must be a torch\.nn\.Module but is Tensor$"):
        TrainingCKA(x[0], x)
    with pytest.raises(TypeError, match=r"^TrainingCKA: start must be a torch\.nn\.Module but is dict$"):
        TrainingCKA(net, x, start=dict(net.state_dict()))
    with pytest.raises(ValueError, match="TrainingCKA: every must be at least 1 but is 0"):
        TrainingCKA(net, x, every=0)
    with pytest.raises(ValueError, match="TrainingCKA: batches is empty"):
        TrainingCKA(net, [])
    watch = TrainingCKA(net, x, start=nn.Sequential(nn.Linear(6, 2)))
    with pytest.raises(
        ValueError, match=r"TrainingCKA: the model has layers \['0', '1', '3'\] but the start has"
    ):
        watch(0)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.unused = nn.Linear(6, 4), nn.Linear(3, 3)

    def forward(self, x, attention_mask=None):
        return self.layer(x)


def test_layers_that_are_left_out_are_named_once(batches):
    sentence = r"^TrainingCKA: layers are left out of start: 'unused' \(never ran\)$"
    with pytest.warns(UserWarning, match=sentence) as caught:
        watch = TrainingCKA(Unused().double(), batches)
    watch(0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert watch.layers == ["layer"]


def test_a_layer_without_a_value_is_named(net, batches):
    watch = TrainingCKA(net, [batch.float() for batch in batches], layers=["0", "3"])
    with torch.no_grad():
        net[3].weight.zero_()
    sentence = r"^TrainingCKA: the CKA of layer '3' with its start is NaN"
    with pytest.warns(RuntimeWarning, match=sentence) as caught:
        values = watch(1)
    assert len(caught) == 1
    assert np.isnan(values["3"])
    assert not np.isnan(values["0"])


def test_a_batch_is_no_list_of_batches(net):
    """Its 9 rows of 7 tokens each counted as 9 batches."""
    with pytest.raises(TypeError, match=r"^TrainingCKA: .* is a Tensor, whose rows would be read as"):
        TrainingCKA(net, torch.ones(9, 7, 6))


def test_batches_must_have_the_same_masks_and_widths():
    tokens = [{"x": torch.randn(8, 5, 6)}, {"x": torch.randn(8, 5, 6), "attention_mask": torch.ones(8, 5)}]
    sentence = "batches for start must have the same attention masks, but the first one has none and a later"
    with pytest.raises(ValueError, match=f"^TrainingCKA: {sentence}"):
        TrainingCKA(Unused(), tokens, layers=["layer"])
    sentence = "^TrainingCKA: layer 'layer' of start has 24 features in batch 1 but 20"
    with pytest.raises(ValueError, match=sentence):
        TrainingCKA(Unused(), [torch.randn(8, length, 6) for length in (5, 6)], layers=["layer"], pool="none")
