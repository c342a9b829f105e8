"""Wide layers of small batches as Gram matrices: the same minibatch CKA, used only where it is safe."""

from __future__ import annotations

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import compare_models, grams  # noqa: E402
from gramless.torch.grams import CentredGram, gram_or_rows, unbiased_hsic  # noqa: E402
from torch import nn  # noqa: E402


@pytest.fixture
def layers():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((20, 3000))
    return [x, np.tanh(x[:, :500]) + generator.standard_normal((20, 500)), x[:, :7]]


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hsic_of_gram_matrices_is_hsic_of_rows(layers, dtype, offset):
    given = [(layer + offset).astype(dtype) for layer in layers]
    kept = [gram_or_rows(torch.from_numpy(layer)) for layer in given]
    assert [type(layer) for layer in kept] == [CentredGram, CentredGram, np.ndarray]
    expected = gramless.reference.hsic_matrix(given)
    xy, xx, yy = unbiased_hsic(kept, None)
    tolerance = (1e-6 if dtype == np.float32 else 1e-12) * np.sqrt(
        np.outer(np.diag(expected), np.diag(expected))
    )
    assert (np.abs(xy - expected) <= tolerance).all()
    assert np.array_equal(xx, yy)
    assert xx == pytest.approx(np.diag(xy))
    across = unbiased_hsic(kept[:1], kept[1:])[0]
    assert across == pytest.approx(xy[:1, 1:], rel=1e-12)


def test_rows_are_kept_where_they_are_the_smaller(monkeypatch):
    assert isinstance(gram_or_rows(torch.ones(8, 31)), np.ndarray)
    assert isinstance(gram_or_rows(torch.ones(8, 32)), CentredGram)
    assert isinstance(gram_or_rows(torch.ones(grams.LARGEST_BATCH + 1, 2100)), np.ndarray)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")  # products of fewer digits
    assert isinstance(gram_or_rows(torch.ones(8, 32)), np.ndarray)


def test_neither_kept_rows_nor_gram_matrices_see_later_changes():
    for d in (3, 300):
        x = torch.randn(10, d)
        kept = gram_or_rows(x)
        before = np.array(kept.values if isinstance(kept, CentredGram) else kept)
        x.zero_()
        assert np.array_equal(kept.values if isinstance(kept, CentredGram) else kept, before)


def test_autocast_around_the_model_does_not_reach_the_products():
    x = torch.randn(10, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = gram_or_rows(x).values
    assert np.array_equal(inside, gram_or_rows(x).values)


@pytest.mark.parametrize("weighting", ["mean", "pairs"])
def test_models_of_wide_and_narrow_layers_are_compared_alike(weighting, monkeypatch):
    torch.manual_seed(0)
    one, two = (nn.Sequential(nn.Linear(6, 300), nn.ReLU(inplace=True), nn.Linear(300, 3)) for _ in range(2))
    batches = torch.randn(100, 6).split(30)  # ragged: 30, 30, 30, 10
    options = {"method": "minibatch", "weighting": weighting, "progress": False}
    for model_b in (two, None):
        found = compare_models(one, model_b, batches, **options)
        monkeypatch.setattr(grams, "LARGEST_BATCH", 0)
        expected = compare_models(one, model_b, batches, **options)
        monkeypatch.undo()
        assert found.matrix == pytest.approx(expected.matrix, abs=2e-6)
        assert found.settings == expected.settings


class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.wide, self.scale = nn.Linear(6, 300), scale

    def forward(self, x):
        return self.wide(x) * self.scale


def minibatch_of_rows(model, batches):
    expected = gramless.MinibatchCKA()
    with torch.no_grad():
        for batch in batches:
            layers = model.wide(batch), model(batch)
            expected.update([layer.double().numpy() for layer in layers])
    return expected.compute()


@pytest.mark.parametrize("scale", [1e20, 1e30, 1e-20, 1e-30])
def test_the_unit_of_wide_layers_plays_no_part(scale):
    torch.manual_seed(0)
    model, batches = Scaled(scale), torch.randn(64, 6).split(16)
    found = compare_models(model, None, batches, layers=["wide", ""], method="minibatch", progress=False)
    assert found.matrix == pytest.approx(minibatch_of_rows(model, batches), abs=2e-6)


@pytest.mark.parametrize("size", [1e4, 1e6])
@pytest.mark.parametrize("features", [1, 300])
def test_one_outlier_row_of_a_wide_layer_costs_no_digits(size, features):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((16, 300)).astype(np.float32)
    y = x + generator.standard_normal((16, 300)).astype(np.float32)
    y[3, :features] = size
    kept = [gram_or_rows(torch.from_numpy(layer)) for layer in (x, y)]
    xy, xx, yy = unbiased_hsic(kept[:1], kept[1:])
    expected = gramless.cka(x.astype(np.float64), y.astype(np.float64))
    assert xy[0, 0] / np.sqrt(xx[0] * yy[0]) == pytest.approx(expected, abs=1e-6)


def test_wide_rows_that_are_equal_but_for_one_have_no_hsic():
    rows = np.full((16, 300), 0.1, np.float32)
    for value in (0.1, 3.7):
        rows[3] = value
        _, xx, _ = unbiased_hsic([gram_or_rows(torch.from_numpy(rows))], None)
        assert xx[0] == 0
