"""compare_models: batches of any kind, devices of models and data, and memory that is kept."""

from __future__ import annotations

import weakref
from typing import NamedTuple

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_compare_models import outputs, quiet, rows, seeded, small_cnn, some_images, two_cnns  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402


@pytest.fixture
def images():
    return some_images()


@pytest.fixture
def pair():
    return two_cnns()


def test_two_loaders_of_different_input_sizes_are_read_in_step(images):
    net = seeded(
        0, lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    )
    large = nn.functional.interpolate(images, scale_factor=2)
    loaders = [DataLoader(TensorDataset(x), batch_size=12) for x in (images, large)]
    found = quiet(net, None, *loaders, layers=["0", "3"])
    expected = gramless.cka_matrix(*(rows(outputs(net, x, ["0", "3"])) for x in (images, large)))
    assert found.matrix == pytest.approx(expected, abs=1e-6)


def test_wrapped_models_are_unwrapped(images):
    net = seeded(0, small_cnn)
    found = quiet(nn.DataParallel(net), torch.compile(net, backend="eager"), [images], layers=["0", "5"])
    assert np.diag(found.matrix) == pytest.approx(1, abs=1e-6)
    net[0] = nn.DataParallel(net[0])
    inside = quiet(net, None, [images], layers="**")
    assert inside.layers_a == [str(i) for i in range(len(net))]  # each once
    assert quiet(net, None, [images], layers=[net[0], net[0].module]).layers_a == ["0"]


@pytest.mark.usefixtures("loopback")
def test_names_within_a_wrapper_are_those_of_its_model(tmp_path):
    net, x = seeded(0, lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU())), torch.randn(9, 4)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/one", rank=0, world_size=1)
    try:
        wrapped = [(wrap(net), "module.") for wrap in (nn.DataParallel, nn.parallel.DistributedDataParallel)]
    finally:
        torch.distributed.destroy_process_group()
    for model, prefix in (*wrapped, (torch.compile(net, backend="eager"), "_orig_mod.")):
        found = quiet(model, net, [x], layers=[f"{prefix}1", f"{prefix}*"], layers_b=["1", "0"])
        assert found.layers_a == found.layers_b == ["1", "0"]
        assert np.diag(found.matrix) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="no layer of model_a is named or matches 'nope'"):
        quiet(wrapped[0][0], None, [x], layers="module.nope")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_any_float_dtype_is_taken(dtype):
    net = seeded(0, lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))).to(dtype)
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = gramless.cka_matrix([t.double().numpy() for t in outputs(net, x, ["0", "2"])])
    assert quiet(net, None, [x], layers=["0", "2"]).matrix == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"method": "minibatch"}, {"memory_budget": 0}], ids=["minibatch", "on disk"]
)
def test_activations_of_earlier_batches_are_not_kept(pair, images, monkeypatch, options):
    from gramless.torch import hooks

    pooled, made, alive = hooks.pooled, [], []

    def remembered(*arguments):
        rows = pooled(*arguments)
        made.append(weakref.ref(rows))
        alive.append(sum(reference() is not None for reference in made))
        return rows

    monkeypatch.setattr(hooks, "pooled", remembered)
    batches = list(images.repeat(5, 1, 1, 1).split(16))
    quiet(*pair, batches, layers=["0", "2", "5"], **options)
    assert len(made) == 6 * len(batches)
    assert max(alive) <= 12  # this batch's and at most the one before


def test_models_go_to_the_device_named_and_back_after_an_exception():
    class Movable(nn.Linear):
        places = ()

        def to(self, device):
            self.places += (str(device),)
            return self

    net = Movable(4, 3)
    with pytest.raises(RuntimeError):  # data on meta, weights that were not really moved
        quiet(net, None, [torch.randn(8, 4)], layers=[net], device="meta")
    assert net.places == ("meta", "cpu")


def test_batches_may_be_named_tuples_and_nested(images):
    class Sample(NamedTuple):
        image: torch.Tensor
        label: int

    net = seeded(0, small_cnn)
    plain = quiet(net, None, [images], layers="5").matrix
    for batch in (
        Sample(images, 3),
        [{"input": images}, 1],
        {"input": images, "labels": [1] * 48, "extra": "x"},
    ):
        assert np.array_equal(quiet(net, None, [batch], layers="5").matrix, plain)


def test_one_model_on_two_loaders_and_other_layers(images):
    net = seeded(0, small_cnn)
    noisy = images + 0.5 * torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    found = quiet(net, None, [images], [noisy], layers="0", layers_b=["5", "2"])
    expected = gramless.cka_matrix(rows(outputs(net, images, ["0"])), rows(outputs(net, noisy, ["5", "2"])))
    assert found.matrix == pytest.approx(expected, abs=1e-6)


class Viewing(nn.Module):
    """Accepts channels only in the usual memory order."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6 * 36, 5)
        self.strides = []

    def forward(self, x):
        self.strides.append(x.stride(1))
        x = self.conv(x)
        return self.fc(x.view(len(x), -1))


def test_pictures_go_in_with_channels_last_unless_the_model_fails_on_it(images):
    torch.manual_seed(0)
    net = Viewing()
    found = quiet(net, None, list(images.split(16)), layers=["conv", "fc"], pool="none")
    assert net.strides == [1, 64, 64, 64]  # the first batch again
    with torch.no_grad():
        expected = gramless.cka_matrix([r.flatten(1).numpy() for r in (net.conv(images), net(images))])
    assert found.matrix == pytest.approx(expected, rel=1e-5)


def test_the_order_of_flattened_channels_does_not_matter(pair, images):
    batches = [images[:16], images[16:32].contiguous(memory_format=torch.channels_last)]
    found = quiet(*pair, batches, layers=["0", "2"], method="minibatch", pool="none", kernel="rbf")
    expected = gramless.MinibatchCKA("rbf")
    for batch in batches:
        expected.update(*(rows(outputs(net, batch, ["0", "2"]), "none") for net in pair))
    assert found.matrix == pytest.approx(expected.compute(), rel=1e-5)
