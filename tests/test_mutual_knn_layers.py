"""Mutual kNN of layers with names: a LayerMatrix, its z and p-values, tokens, and options of CKA."""

from __future__ import annotations

import itertools

import gramless as gl
import numpy as np
import pytest
from gramless import LayerMatrix, layer_matrix, mutual_knn_matrix


def layers_of(n=30, seed=0):
    x, noise, other = np.random.default_rng(seed).standard_normal((3, n, 4))
    return {"x": x, "near": x + 0.3 * noise, "other": other}


def test_a_mapping_gives_the_matrix_of_a_sequence_with_names_and_chance():
    layers = layers_of()
    found = mutual_knn_matrix(layers, k=5)
    assert type(found) is LayerMatrix
    assert found.names == ([*layers], [*layers])
    assert np.array_equal(found.matrix, mutual_knn_matrix([*layers.values()], k=5))
    assert found.settings["statistic"] == "mutual kNN"
    assert (found.n, found.settings["k"], found.settings["cells"]) == (30, 5, 3)
    assert np.array_equal(found.within_chance(), [[0, 0, 1], [0, 0, 1], [1, 1, 0]])
    own = gl.mutual_knn_test(layers["x"], layers["other"], 5, n_resamples=9, rng=0)
    assert found.z[0, 2] == pytest.approx(own.z, abs=1e-12)
    two = mutual_knn_matrix(layers, {"near": layers["near"]}, k=5)
    assert two.matrix.shape == two.pvalue.shape == (3, 1)
    assert two.names[1] == ["near"]
    assert mutual_knn_matrix([layers["x"]], layers, k=5).layers_a == ["0"]


def test_p_values_count_orders_of_the_rows_and_the_largest_z_of_all_cells():
    layers = layers_of(20)
    found = layer_matrix(layers, statistic="mutual_knn", k=3, n_resamples=60, rng=5)
    generator, values, n = np.random.default_rng(5), [*layers.values()], 20
    null = []
    for _ in range(60):
        order = generator.permutation(n)
        null.append(mutual_knn_matrix(values, [y[order] for y in values], k=3))
    cells = [(0, 1), (0, 2), (1, 2)]
    deviations = [gl.mutual_knn_test(values[i], values[j], 3, n_resamples=1).std for i, j in cells]
    z = np.array([[(m[c] - 3 / 19) / d for c, d in zip(cells, deviations, strict=True)] for m in null])
    for place, cell in enumerate(cells):
        assert found.pvalue[cell] == (1 + sum(m[cell] >= found.matrix[cell] for m in null)) / 61
        assert found.pvalue_corrected[cell] == (1 + sum(z.max(1) >= found.z[cell] - 1e-4)) / 61
        assert found.pvalue[cell[::-1]] == found.pvalue[cell]
        assert found.z[cell] == pytest.approx((found.matrix[cell] - 3 / 19) / deviations[place])


def test_few_rows_are_permuted_in_all_orders():
    layers = layers_of(5)
    found = mutual_knn_matrix(layers, k=2)
    orders = [list(order) for order in itertools.permutations(range(5))]
    x, y = layers["x"], layers["other"]
    above = sum(gl.mutual_knn(x, y[order], 2) >= found.matrix[0, 2] for order in orders)
    assert found.pvalue[0, 2] == above / 120
    assert found.settings["n_resamples"] == 120
    assert np.isnan(mutual_knn_matrix(layers, k=4).pvalue).all()  # every row is a neighbour of every other


def test_z_without_p_values_and_layers_that_are_not_finite():
    layers = layers_of()
    found = layer_matrix(layers, statistic="mutual_knn", pvalue=None)
    assert found.pvalue is None
    assert np.isfinite(found.z).all()
    layers["near"][3, 1] = np.nan
    found = mutual_knn_matrix(layers)
    expected = np.ones((3, 3), bool)
    expected[1], expected[:, 1] = False, False
    for values in (found.matrix, found.z, found.pvalue, found.pvalue_corrected):
        assert np.array_equal(np.isfinite(values), expected)
    nothing = mutual_knn_matrix({"a": layers["near"]})
    assert np.isnan(nothing.matrix).all()
    assert np.isnan(nothing.z).all()


def test_tokens_files_and_pictures(tmp_path):
    tokens = np.random.default_rng(0).standard_normal((12, 3, 4))
    found = layer_matrix(
        {"a": tokens, "b": tokens**2}, statistic="mutual_knn", k=3, pool="mean", digests=True
    )
    assert np.array_equal(found.matrix, mutual_knn_matrix([tokens.mean(1), (tokens**2).mean(1)], k=3))
    assert found.record["layers_a" if "layers_a" in found.record else "layers"]
    found.save(tmp_path / "found.json")
    again = LayerMatrix.load(tmp_path / "found.json")
    assert np.array_equal(again.z, found.z)
    assert again.settings == found.settings
    assert "k=3" in repr(again)
    pytest.importorskip("matplotlib")
    axes = again.plot()
    assert axes.get_title() == "mutual kNN (k = 3, n = 12)"


def test_tensors_are_read_in_place():
    torch = pytest.importorskip("torch")
    layers = layers_of()
    tensors = {name: torch.from_numpy(x).requires_grad_() for name, x in layers.items()}
    assert np.array_equal(mutual_knn_matrix(tensors).matrix, mutual_knn_matrix(layers).matrix)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"statistic": "knn"}, 'layer_matrix: statistic must be "cka" or "mutual_knn" but is \'knn\''),
        (
            {"k": 5},
            'layer_matrix: k is an option of statistic="mutual_knn" but statistic is "cka" and k is 5',
        ),
        (
            {"statistic": "mutual_knn", "kernel": "rbf"},
            'layer_matrix: kernel is an option of statistic="cka" but',
        ),
        (
            {"statistic": "mutual_knn", "estimator": "biased"},
            'layer_matrix: estimator is an option of statistic="cka"',
        ),
        (
            {"statistic": "mutual_knn", "level": 0.9},
            'layer_matrix: level is an option of statistic="cka" but',
        ),
        (
            {"statistic": "mutual_knn", "checkpoint": "x"},
            'layer_matrix: checkpoint is an option of statistic="cka"',
        ),
        ({"statistic": "mutual_knn", "pvalue": "chi2"}, 'layer_matrix: pvalue must be "auto", "permutation"'),
        ({"statistic": "mutual_knn", "k": 30}, "layer_matrix: k must be less than the number of rows, 30 in"),
        ({"statistic": "mutual_knn", "n_resamples": 0}, "layer_matrix: n_resamples must be at least 1"),
        ({"statistic": "mutual_knn", "rng": -1}, "layer_matrix: rng must be None, an int of at least 0"),
    ],
)
def test_options_that_do_not_go_together(options, said):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        layer_matrix(layers_of(), **options)
    assert str(raised.value).startswith(said)
