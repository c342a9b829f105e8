"""compare_models: its values for all kinds of models, and that models are left unchanged."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

EXACT = 1e-10


def quiet(*arguments, **options):
    return compare_models(*arguments, progress=False, **options)


def some_images():
    return torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def images():
    return some_images()


@pytest.fixture
def loader(images):
    return DataLoader(TensorDataset(images, torch.arange(48)), batch_size=16)


def seeded(seed, make):
    torch.manual_seed(seed)
    return make()


def small_cnn(inplace=True):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(inplace),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(inplace),
        nn.Flatten(),
        nn.Linear(128, 5),
    )


def two_cnns():
    return seeded(0, small_cnn), seeded(1, small_cnn)


@pytest.fixture
def pair():
    return two_cnns()


def outputs(net, x, names):
    """The outputs of the layers, by running a Sequential step by step on copies."""
    found = {}
    with torch.no_grad():
        for name, module in net.named_children():
            x = module(x.clone())
            found[name] = x.clone()
    return [found[name] for name in names]


def rows(tensors, pool="mean"):
    pooled = [t.mean((2, 3)) if t.ndim == 4 and pool == "mean" else t.flatten(1) for t in tensors]
    return [t.numpy() for t in pooled]


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_exact_is_cka_of_all_activations(pair, images, loader, kernel, estimator, pool):
    names = ["0", "2", "5"]
    found = quiet(*pair, loader, layers=names, kernel=kernel, estimator=estimator, pool=pool)
    expected = gramless.cka_matrix(
        *(rows(outputs(net, images, names), pool) for net in pair), kernel=kernel, estimator=estimator
    )
    assert found.matrix == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert found.settings["examples"] == 48
    assert found.settings["batches"] == 3


@pytest.mark.parametrize("weighting", ["mean", "pairs"])
def test_minibatch_is_minibatch_cka_of_the_batches(pair, images, weighting):
    loader = DataLoader(images, batch_size=20)  # ragged: 20, 20, 8
    found = quiet(*pair, loader, layers=["0", "5"], method="minibatch", weighting=weighting)
    expected = gramless.MinibatchCKA(weighting=weighting)
    for batch in loader:
        pictures = batch.contiguous(memory_format=torch.channels_last)  # as they are run: rounded alike
        expected.update(*(rows(outputs(net, pictures, ["0", "5"])) for net in pair))
    assert found.matrix == pytest.approx(expected.compute(), rel=1e-5)
    assert found.settings["weighting"] == weighting


def test_operations_in_place_after_a_layer_do_not_change_what_it_returned(images):
    """Hooks that keep references give the value of the changed activations."""
    net, copy = seeded(0, lambda: small_cnn(inplace=True)), seeded(0, lambda: small_cnn(inplace=False))
    for method in ("exact", "minibatch"):
        results = [
            quiet(n, None, [images], layers=["0", "2"], pool="none", method=method) for n in (net, copy)
        ]
        assert np.array_equal(results[0].matrix, results[1].matrix)
        truth = gramless.cka(*rows(outputs(copy, images, ["0", "2"]), "none"))
        corrupted = gramless.cka(*rows(outputs(copy, images, ["1", "3"]), "none"))
        assert results[0].matrix[0, 1] == pytest.approx(truth, abs=1e-6)
        assert abs(corrupted - truth) > 0.01


def test_a_pool_that_returns_a_view_is_copied_too(images):
    net = seeded(0, small_cnn)
    first = quiet(net, None, [images], layers=["0", "2"], pool=lambda t: t.flatten(1))
    plain = quiet(
        seeded(0, lambda: small_cnn(False)), None, [images], layers=["0", "2"], pool=lambda t: t.flatten(1)
    )
    assert np.array_equal(first.matrix, plain.matrix)


def test_rows_keep_the_order_asked_for(pair, loader):
    forwards = quiet(*pair, loader, layers=["0", "2", "5"])
    mixed = quiet(*pair, loader, layers=["5", "0", "2"], layers_b=["2", "5", "0"])
    assert mixed.layers_a == ["5", "0", "2"]
    assert mixed.layers_b == ["2", "5", "0"]
    assert mixed.matrix == pytest.approx(forwards.matrix[[2, 0, 1]][:, [1, 2, 0]], rel=EXACT)


def test_layers_are_names_globs_types_and_modules(loader):
    net = seeded(0, lambda: nn.Sequential(small_cnn(), nn.Linear(5, 4)))
    assert quiet(net, None, loader, layers="0.*").layers_a == [f"0.{i}" for i in range(6)]
    assert quiet(net, None, loader, layers=nn.Linear).layers_a == ["0.5", "1"]
    assert quiet(net, None, loader, layers=[net[1], "0.[02]", nn.Conv2d]).layers_a == ["1", "0.0", "0.2"]
    assert quiet(net, None, loader, layers=[net, "1"]).layers_a == ["Sequential", "1"]


def test_without_layers_every_module_that_holds_no_others_is_taken():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.ReLU())
            self.unused, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.body(x))

    with pytest.warns(
        UserWarning, match="layers are left out of model_a: 'unused' \\(never ran\\)$"
    ) as caught:
        found = quiet(Net(), None, [torch.randn(9, 4)])
    assert found.layers_a == ["body.0", "body.2", "head"]
    assert found.settings["left_out_a"] == {"unused": "never ran"}
    assert repr(found).endswith(", left out: 'unused' (never ran))")
    assert len(caught) == 1


def test_a_module_that_runs_twice_is_two_layers(images):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.b(self.relu(self.a(x))))

    net = seeded(0, Net)
    found = quiet(net, None, [images], layers=["relu", "a"])
    assert found.layers_a == ["relu[0]", "relu[1]", "a"]
    with torch.no_grad():
        first = net.a(images).relu()
        second = net.b(first).relu()
    expected = gramless.cka_matrix(rows([first, second, net.a(images).detach()]))
    assert found.matrix == pytest.approx(expected, abs=1e-6)


def test_a_model_is_compared_with_itself_by_default(pair, loader):
    alone, twice = (
        quiet(pair[0], None, loader, layers=["0", "5"]),
        quiet(pair[0], pair[0], loader, layers=["0", "5"]),
    )
    assert np.array_equal(alone.matrix, alone.matrix.T)
    assert np.array_equal(alone.matrix, twice.matrix)
    assert np.array_equal(alone.matrix, quiet(pair[0], loader, layers=["0", "5"]).matrix)
    other = quiet(pair[0], None, loader, layers=["0", "5"], layers_b=["5"])
    assert other.matrix == pytest.approx(alone.matrix[:, 1:], rel=EXACT)


def test_activations_beyond_the_budget_go_to_disk_and_change_nothing(pair, loader, tmp_path):
    inside = quiet(*pair, loader, layers=["0", "5"], pool="none", folder=tmp_path)
    outside = quiet(*pair, loader, layers=["0", "5"], pool="none", folder=tmp_path, memory_budget=1000)
    assert (inside.settings["on_disk"], outside.settings["on_disk"]) == (False, True)
    assert np.array_equal(inside.matrix, outside.matrix)
    assert list(tmp_path.iterdir()) == []


def test_models_are_left_as_found(pair, loader):
    for net in pair:
        net.train()
        net[1].eval()
    modes = [[m.training for m in net.modules()] for net in pair]
    quiet(*pair, loader, layers=["0", "5"])
    assert [[m.training for m in net.modules()] for net in pair] == modes
    assert not any(m._forward_hooks for net in pair for m in net.modules())
    assert all(p.grad is None and p.requires_grad for net in pair for p in net.parameters())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_models_are_left_as_found_after_an_exception(pair, loader, tmp_path, error):
    batches = iter(loader)

    def fail_later():
        yield next(batches)
        raise error("no more")

    pair[0].train()
    with pytest.raises(error, match="no more"):
        quiet(*pair, fail_later(), layers=["0"], folder=tmp_path, memory_budget=0)
    assert all(m.training for m in pair[0].modules())
    assert not any(m._forward_hooks for net in pair for m in net.modules())
    assert list(tmp_path.iterdir()) == []


def test_training_goes_on_after_a_comparison(loader):
    """Buffers made under inference_mode could not be used for it."""

    class Cached(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.cache = nn.Linear(4, 4), None

        def forward(self, x):
            self.cache = torch.ones(4) * 2 if self.cache is None else self.cache
            return self.linear(x) * self.cache

    net, x = Cached(), torch.randn(8, 4)
    result = quiet(net, None, [x])
    assert result.matrix.dtype == np.float64
    (net(x) ** 2).sum().backward()
    assert net.linear.weight.grad is not None


def test_the_hooks_of_two_sides_that_share_modules_do_not_mix(images):
    body = seeded(0, lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    one, two = (nn.Sequential(body, seeded(s, lambda: nn.Linear(6, 4))) for s in (1, 2))
    shared = quiet(one, two, [images], layers=["0.0", "1"])
    assert shared.matrix[0, 0] == pytest.approx(1, abs=1e-6)
    apart = quiet(two, one, [images], layers=["0.0", "1"])
    assert shared.matrix == pytest.approx(apart.matrix.T, rel=EXACT)


def test_device_may_be_named(pair, loader):
    assert np.array_equal(
        quiet(*pair, loader, layers="0", device="cpu").matrix, quiet(*pair, loader, layers="0").matrix
    )


def test_a_callable_is_told_of_the_progress(pair, loader):
    seen = []
    compare_models(*pair, loader, layers=["0"], progress=lambda done, total: seen.append((done, total)))
    assert seen[:3] == [(1, 3), (2, 3), (3, 3)]
    assert seen[-1][0] == seen[-1][1]


def test_the_default_progress_bar_is_not_missed_without_rich(pair, loader, monkeypatch):
    from gramless.torch import sweep

    monkeypatch.setattr(sweep.importlib.util, "find_spec", lambda name: None)
    assert compare_models(*pair, loader, layers=["0"]).matrix.shape == (1, 1)
