"""Functions with the signatures of other packages have the values of gramless."""

from __future__ import annotations

import inspect
import math

import gramless
import matplotlib
import numpy as np
import pytest
from gramless import compat
from gramless.compat import kornblith

torch = pytest.importorskip("torch")

from gramless.torch import compare_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

matplotlib.use("agg")


@pytest.fixture
def pair():
    generator = np.random.RandomState(1337)
    x = generator.randn(100, 10)
    return x, generator.randn(100, 10) + x


@pytest.fixture
def nets():
    def make(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Sequential(nn.Linear(6, 16), nn.ReLU(inplace=True)), nn.Linear(16, 5))

    return make(0), make(1)


@pytest.fixture
def loader():
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x), batch_size=16, drop_last=True)


def names(function):
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_signatures_begin_like_theirs():
    assert names(compat.CKA)[:7] == [
        *("model1", "model2", "model1_name", "model2_name", "model1_layers", "model2_layers", "device")
    ]
    assert names(compat.CKA.compare)[:2] == ["dataloader1", "dataloader2"]
    assert names(compat.CKA.plot_results) == ["save_path", "title"]
    assert names(compat.compute_cka)[:8] == [
        *("model1", "model2", "dataloaders", "layers", "model2_layers", "device", "progress", "verbose")
    ]
    assert names(compat.cka_from_features) == ["features_x", "features_y"]
    assert names(compat.MinibatchCKA) == ["num_layers", "num_layers2", "across_models", "dtype"]
    assert names(compat.MinibatchCKA.update_state) == ["activations"]
    assert names(compat.gram_linear) == ["x"]
    assert names(compat.gram_rbf) == ["x", "threshold"]
    assert names(compat.cka) == ["gram_x", "gram_y", "debiased"]
    assert names(compat.feature_space_linear_cka) == ["features_x", "features_y", "debiased"]
    assert sorted(compat.__all__) == sorted(name for name in compat.__all__ if hasattr(compat, name))


@pytest.mark.parametrize("debiased", [False, True])
def test_kornblith_functions_are_cka(pair, debiased):
    x, y = pair
    estimator = "unbiased" if debiased else "biased"
    expected = gramless.cka(x, y, estimator=estimator)
    assert compat.cka(compat.gram_linear(x), compat.gram_linear(y), debiased) == expected
    assert compat.cka(x @ x.T, y @ y.T, debiased) == pytest.approx(expected, rel=1e-12)
    assert compat.cka(compat.gram_linear(x), y @ y.T, debiased) == pytest.approx(expected, rel=1e-12)
    assert compat.feature_space_linear_cka(x, y, debiased) == expected


def test_what_a_refused_pair_of_loaders_needs_can_be_given(nets):
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, torch.arange(40))

    def shuffled():
        return DataLoader(data, 10, shuffle=True, generator=torch.Generator().manual_seed(1))

    cka = compat.CKA(*nets)
    with pytest.raises(ValueError, match=r"sample_ids= .*paired=True"):
        cka.compare(shuffled(), shuffled())
    cka.compare(shuffled())
    expected = cka.export()["CKA"]
    for way in ({"paired": True}, {"sample_ids": 1}):
        cka.compare(shuffled(), shuffled(), **way)
        assert torch.equal(cka.export()["CKA"], expected)


def published_rbf(x, threshold):
    """By the published formula: the median over all entries of the squared distances."""
    distance2 = ((x[:, None] - x) ** 2).sum(-1)
    return np.exp(-distance2 / (2 * threshold**2 * np.median(distance2)))


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 1.0])
def test_kornblith_rbf_is_the_published_one(pair, threshold, debiased):
    k, l = (published_rbf(a, threshold) for a in pair)
    promises = [compat.gram_rbf(a, threshold) for a in pair]
    assert np.asarray(promises[0]) == pytest.approx(k, rel=1e-10)
    assert compat.cka(*promises, debiased) == pytest.approx(compat.cka(k, l, debiased), rel=1e-10)


def test_kornblith_functions_refuse_in_a_sentence(pair):
    x, _ = pair
    with pytest.raises(ValueError, match="gram_linear: x must have 2 dimensions"):
        compat.gram_linear(np.zeros(3))
    with pytest.raises(ValueError, match="RBF: scale must be positive"):
        compat.gram_rbf(x, 0)
    with pytest.raises(ValueError, match=r"cka: gram_x must be a square matrix but has shape \(100, 10\)"):
        compat.cka(x, x)
    with pytest.raises(ValueError, match=r"cka: gram_x has shape \(100, 100\) but gram_y has \(50, 50\)"):
        compat.cka(compat.gram_linear(x), np.eye(50))
    with pytest.raises(ValueError, match="needs at least 4 rows but gram_x has 3"):
        compat.cka(np.eye(3), np.eye(3), debiased=True)
    with pytest.raises(TypeError, match="cka: gram_y must hold real numbers"):
        compat.cka(np.eye(3), "text")
    with pytest.warns(RuntimeWarning, match="cka: the CKA is NaN"):
        assert math.isnan(compat.cka(np.ones((9, 9)), np.eye(9)))


def test_promises_are_not_made_into_matrices(pair, monkeypatch):
    monkeypatch.setattr(kornblith.Gram, "__array__", lambda *_: pytest.fail("a Gram matrix was made"))
    assert compat.cka(*map(compat.gram_rbf, pair)) == pytest.approx(
        gramless.cka(*pair, kernel=gramless.RBF(include_diagonal=True), estimator="biased")
    )


@pytest.mark.parametrize("as_tensor", [False, True])
def test_google_metric_weights_batches_with_their_pairs(as_tensor):
    generator = np.random.default_rng(0)
    metric, expected = compat.MinibatchCKA(2, dtype=np.float64), gramless.MinibatchCKA(weighting="pairs")
    for n in (12, 30, 7):
        maps = generator.standard_normal((n, 3, 3, 2))
        layers = [maps, np.tanh(maps) + maps[:, ::-1]]
        metric.update_state([torch.tensor(a, requires_grad=True) for a in layers] if as_tensor else layers)
        expected.update([a.reshape(n, -1) for a in layers])
    assert np.array_equal(metric.result(), expected.compute())
    metric.reset_state()
    with pytest.raises(RuntimeError, match="call update first"):
        metric.result()


def test_google_metric_across_models():
    x = np.random.default_rng(0).standard_normal((20, 5))
    metric = compat.MinibatchCKA(1, 2, across_models=True)
    metric.update_state_across_models([x], [x[:, :2], 3 * x])
    assert metric.result().shape == (1, 2)
    assert metric.result().dtype == np.float32
    assert metric.result()[0, 1] == pytest.approx(1)
    with pytest.raises(ValueError, match="use update_state_across_models"):
        metric.update_state([x])
    with pytest.raises(ValueError, match="1 activations are expected but 2 are given"):
        metric.update_state_across_models([x, x], [x, x])
    with pytest.raises(ValueError, match="needs across_models=True"):
        compat.MinibatchCKA().update_state_across_models([x], [x])


def test_compute_cka_is_minibatch_cka_per_loader(nets, loader):
    found = compat.compute_cka(*nets, loader, loader, layers=["0.0", "1"], device="cpu", progress=False)
    expected = compare_models(
        *nets, loader, layers=["0.0", "1"], method="minibatch", pool="none", progress=False
    )
    assert len(found) == 2
    for matrix in found:
        assert isinstance(matrix, torch.Tensor)
        assert matrix.numpy() == pytest.approx(expected.matrix, abs=1e-6)


def test_compute_cka_takes_places_lists_and_other_layers(nets, loader):
    by_place = compat.compute_cka(*nets, [loader, loader], layers=[1, 3], model2_layers=[-1], progress=False)
    by_name = compat.compute_cka(*nets, loader, layers=["0.0", "1"], model2_layers=["1"], progress=False)
    assert [m.tolist() for m in by_place] == [by_name[0].tolist()] * 2
    assert compat.compute_cka(*nets, loader, progress=False)[0].shape == (3, 3)
    with pytest.raises(ValueError, match="compute_cka: Sequential has 4 modules but layers has 9"):
        compat.compute_cka(*nets, loader, layers=[9])


def test_cka_from_features_takes_layers_in_three_forms(pair):
    x, y = (torch.from_numpy(a) for a in pair)
    assert compat.cka_from_features(x, y).item() == pytest.approx(0.513456489506, rel=1e-10)
    stacked = compat.cka_from_features(torch.stack([x, y]), torch.stack([y, x, x]))
    listed = compat.cka_from_features([x, y], [y, x, x])
    assert stacked.shape == (2, 3)
    assert torch.equal(stacked, listed)
    assert torch.allclose(
        compat.cka_from_features((x + 1000).float(), y.float()), listed[0, :1].float(), atol=1e-4
    )
    with pytest.raises(ValueError, match="rows"):
        compat.cka_from_features(x, y[:50])


def test_torch_cka_class_compares_exports_and_draws(nets, loader, tmp_path):
    cka = compat.CKA(*nets, "one", model1_layers=["1", "0.0"], device="cpu")
    with pytest.raises(RuntimeError, match=r"CKA.export: there is no result yet; call compare first"):
        cka.export()
    cka.compare(loader)
    exported = cka.export()
    assert list(exported) == [
        *(
            "model1_name",
            "model2_name",
            "CKA",
            "model1_layers",
            "model2_layers",
            "dataset1_name",
            "dataset2_name",
        )
    ]
    assert (exported["model1_name"], exported["model2_name"]) == ("one", "Sequential")
    assert exported["model1_layers"] == ["1", "0.0"]
    assert exported["model2_layers"] == ["0.0", "0.1", "1"]
    assert exported["dataset1_name"] == "TensorDataset"
    expected = compat.compute_cka(*nets, loader, layers=["1", "0.0"], model2_layers=["0.0", "0.1", "1"])
    assert torch.equal(exported["CKA"], expected[0])
    cka.plot_results(save_path=tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_torch_cka_class_with_two_loaders_and_a_shown_picture(nets, loader, monkeypatch):
    shown = []
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: shown.append(True))
    cka = compat.CKA(nets[0], nets[0], model1_layers=["1"], model2_layers=["1"])
    cka.compare(loader, loader)
    assert cka.export()["CKA"].item() == pytest.approx(1)
    cka.plot_results(title="mine")
    assert shown == [True]
    assert matplotlib.pyplot.gca().get_title() == "mine"
    matplotlib.pyplot.close("all")
