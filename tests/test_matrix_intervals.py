"""Intervals of every cell of a matrix: those of cka_interval, drawn, saved, and of models and files."""

from __future__ import annotations

import json

import matplotlib
import numpy as np
import pytest
from gramless import RBF, LayerMatrix, layer_matrix
from gramless.analysis import cka_interval
from test_analysis import refused

matplotlib.use("agg")
N = 50


@pytest.fixture
def layers():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((N, 6)).astype(np.float32)
    noise = generator.standard_normal((N, 6))
    return {"input": x, "relu": np.maximum(x, 0), "late": x[:, :3] + noise[:, :3]}


def expected(xs, ys, **options):
    found = [[cka_interval(x, y, **options) for y in ys] for x in xs]
    names = ("low", "high", "standard_error")
    return [[[getattr(cell, name) for cell in row] for row in found] for name in names]


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("kernel", ["linear", RBF(sigma=2.0), "rbf", "laplace"], ids=str)
def test_cells_have_the_intervals_of_their_pairs(layers, kernel, estimator):
    options = {"kernel": kernel, "estimator": estimator, "level": 0.9}
    own, other = list(layers.values()), [layers["late"] * 3, layers["input"] ** 2]
    for ys in (None, other):
        found = layer_matrix(layers, None if ys is None else dict(enumerate(ys)), pvalue=None, **options)
        ends = [found.low, found.high, found.standard_error]
        np.testing.assert_allclose(ends, expected(own, ys or own, **options), rtol=1e-6, atol=1e-6)
        assert (found.low <= found.matrix + 1e-6).all()
        assert (found.settings["level"], found.settings["interval"]) == (0.9, "jackknife")


def test_without_a_level_there_are_no_intervals(layers):
    found = layer_matrix(layers)
    assert found.low is found.high is found.standard_error is None
    assert "level" not in found.settings


def test_tensors_and_tokens_have_intervals(layers):
    torch = pytest.importorskip("torch")
    whole = layer_matrix(layers, level=0.95)
    found = layer_matrix({name: torch.from_numpy(np.array(x)) for name, x in layers.items()}, level=0.95)
    np.testing.assert_allclose(found.low, whole.low, rtol=1e-6)
    tokens = {name: np.repeat(x[:, None], 3, axis=1) for name, x in layers.items()}
    np.testing.assert_allclose(layer_matrix(tokens, pool="mean", level=0.95).high, whole.high, rtol=1e-5)


def test_a_layer_of_few_examples_is_named_at_the_call(layers):
    layers["late"][[4, 9]] *= 50
    with pytest.warns(RuntimeWarning, match=r"layer_matrix: one example .* of xs\['late'\] \d+%;") as caught:
        layer_matrix(layers, level=0.95)
    assert [warning.filename for warning in caught] == [__file__]


def test_the_last_progress_says_that_all_is_done(layers):
    seen = []
    layer_matrix(layers, level=0.95, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]


def test_levels_are_refused(layers):
    refused(ValueError, "layer_matrix: level must lie between 0 and 1", layer_matrix, layers, level=1)
    refused(TypeError, "layer_matrix: level must be a number", layer_matrix, layers, level=True)
    short = {name: x[:4] for name, x in layers.items()}
    refused(ValueError, "level needs at least 5 rows but there are 4", layer_matrix, short, level=0.9)


def test_a_constant_layer_has_no_interval(layers):
    layers["late"][:] = 1
    with pytest.warns(RuntimeWarning, match="xs\\['late'\\]"):
        found = layer_matrix(layers, level=0.95)
    assert np.isnan(found.low[2]).all()
    assert np.isfinite(found.low[:2, :2]).all()


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_intervals_are_kept_in_files(layers, tmp_path, suffix):
    found = layer_matrix(layers, level=0.95)
    found.save(tmp_path / f"x{suffix}")
    loaded = LayerMatrix.load(tmp_path / f"x{suffix}")
    for name in ("low", "high", "standard_error"):
        assert np.array_equal(getattr(loaded, name), getattr(found, name))


def test_intervals_stand_below_the_values_where_they_fit(layers):
    from matplotlib import pyplot as plt

    found = layer_matrix(layers, level=0.95)
    texts = [text.get_text() for text in found.plot().texts]
    assert f"{found.matrix[0, 2]:.2f}\n{found.low[0, 2]:.2f} {found.high[0, 2]:.2f}" in texts
    assert any("95 % intervals: median width" in text for text in texts)
    small = plt.figure(figsize=(1.2, 1.2)).add_subplot()
    texts = [text.get_text() for text in found.plot(small, annotate=True).texts]
    assert f"{found.matrix[0, 2]:.2f}" in texts
    plain = [text.get_text() for text in found.plot(intervals=None).texts]
    assert not any("interval" in text for text in plain)
    with pytest.raises(ValueError, match=r"low ends of shape \(3,\) but the matrix has shape \(3, 3\)"):
        found.plot(intervals=(found.low[0], found.high))
    with pytest.raises(TypeError, match="intervals must be a pair of arrays"):
        found.plot(intervals=found.low)
    plt.close("all")


def test_models_have_intervals():
    torch = pytest.importorskip("torch")
    from gramless.torch import compare_models

    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    batches = list(torch.randn(64, 4, generator=torch.manual_seed(0)).split(16))
    found = compare_models(net, None, batches, level=0.95, progress=False)
    outputs = [net[: i + 1](torch.cat(batches)).detach() for i in range(3)]
    ends = [found.low, found.high, found.standard_error]
    np.testing.assert_allclose(ends, expected(outputs, outputs, level=0.95), rtol=1e-4, atol=1e-6)
    refusal = 'level=0.95 needs method="exact" but it is "minibatch"'
    refused(ValueError, refusal, compare_models, net, None, batches, level=0.95, method="minibatch")
    short = [torch.randn(4, 4)]
    refused(
        ValueError, "level needs at least 5 rows", compare_models, net, None, short, level=0.9, progress=False
    )


def test_the_command_has_intervals(layers, tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import run

    np.savez(tmp_path / "a.npz", **layers)
    found = json.loads(run("compare", tmp_path / "a.npz", "--level", "0.9", "--json", "-").stdout)
    whole = layer_matrix(layers, level=0.9)
    assert found["level"] == 0.9
    np.testing.assert_allclose(found["low"], whole.low, rtol=1e-12)
    np.testing.assert_allclose(found["standard_error"], whole.standard_error, rtol=1e-12)
    assert json.loads(run("compare", tmp_path / "a.npz", "--json", "-").stdout)["low"] is None
    table = run("compare", tmp_path / "a.npz", "--level", "0.9").stdout
    assert "90 % interval" in table
    assert f"{whole.low[0, 1]:.4f} to {whole.high[0, 1]:.4f}" in table
