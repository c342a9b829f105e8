"""Layers with names: from mappings, tuples of hidden states and tokens to a LayerMatrix."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict

import gramless as gl
import numpy as np
import pytest
from gramless import LayerMatrix, layer_matrix


@pytest.fixture
def layers():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((30, 6))
    return {"conv": x, "relu": np.maximum(x, 0), "fc": generator.standard_normal((30, 3))}


@pytest.fixture
def tokens():
    """(examples, tokens, features), and a mask padded at the right of some rows and at the left of others."""
    generator = np.random.default_rng(1)
    mask = np.ones((12, 5), int)
    mask[3, 2:] = mask[4, 4:] = mask[5, :3] = 0
    x = generator.standard_normal((12, 5, 4))
    x[mask == 0] = np.nan  # the contents of padding must not matter
    return x, mask


def test_a_mapping_gives_names_and_the_matrix_of_a_sequence(layers):
    for function in (gl.cka_matrix, gl.layer_matrix):
        found = function(layers)
        assert type(found) is LayerMatrix
        assert found.names == (["conv", "relu", "fc"], ["conv", "relu", "fc"])
        assert np.array_equal(np.asarray(found), gl.cka_matrix([*layers.values()]))
        assert found.n == 30
        assert found.z.shape == found.pvalue.shape == found.p.shape == (3, 3)
    assert type(gl.cka_matrix([*layers.values()])) is np.ndarray


def test_two_mappings_and_a_mapping_beside_a_sequence(layers):
    others = {"a": layers["fc"], "b": layers["conv"]}
    found = gl.cka_matrix(layers, others, kernel="rbf")
    assert found.names == (["conv", "relu", "fc"], ["a", "b"])
    assert np.array_equal(
        np.asarray(found), gl.cka_matrix([*layers.values()], [*others.values()], kernel="rbf")
    )
    assert gl.cka_matrix(layers, [*others.values()]).layers_b == ["0", "1"]
    assert gl.cka_matrix([layers["fc"]], others).layers_a == ["0"]


def test_hsic_of_a_mapping_has_the_z_of_its_cka(layers):
    found = gl.hsic_matrix(layers)
    assert np.array_equal(np.asarray(found), gl.hsic_matrix([*layers.values()]))
    assert np.array_equal(found.z, layer_matrix(layers).z)
    assert found.settings["statistic"] == "HSIC"


def test_sequences_have_names_where_they_are_given(layers):
    arrays = [*layers.values()]
    assert layer_matrix(arrays).names == (["0", "1", "2"], ["0", "1", "2"])
    assert layer_matrix(arrays, names=["a", "b", "c"]).names[1] == ["a", "b", "c"]
    assert layer_matrix(arrays, arrays[:1], names=(["a", "b", "c"], ["d"])).layers_b == ["d"]
    with pytest.raises(ValueError, match=r"^layer_matrix: names has 2 names for 3 layers$"):
        layer_matrix(arrays, names=["a", "b"])
    with pytest.raises(TypeError, match=r"^layer_matrix: with ys, names must be a pair"):
        layer_matrix(arrays, arrays, names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"^layer_matrix: xs is a mapping, whose keys are the names"):
        layer_matrix(layers, names=["a", "b", "c"])


class Cache:
    """Activations as some tools return them: keys and values, but no Mapping and another iteration."""

    def __init__(self, entries):
        self._entries = entries

    def keys(self):
        return self._entries.keys()

    def __getitem__(self, key):
        return self._entries[key]

    def __iter__(self):
        raise AssertionError


def test_caches_of_tools_are_mappings(layers):
    expected = layer_matrix(layers)
    for cache in (Cache(layers), OrderedDict(layers)):
        found = layer_matrix(cache)
        assert found.names == expected.names
        assert np.array_equal(found.matrix, expected.matrix)
    hidden = layer_matrix({"hidden": (layers["conv"], layers["fc"]), "out": layers["relu"]})
    assert hidden.layers_a == ["hidden[0]", "hidden[1]", "out"]


def test_hidden_states_of_a_transformer(tokens):
    torch = pytest.importorskip("torch")
    x, mask = tokens
    states = tuple(torch.from_numpy(x * (i + 1)).requires_grad_() for i in range(3))
    found = layer_matrix(states, mask=torch.from_numpy(mask), pool="last")
    assert found.matrix == pytest.approx(np.ones((3, 3)))
    assert np.array_equal(found.matrix, layer_matrix([x, 2 * x, 3 * x], mask=mask, pool="last").matrix)


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_pools_take_valid_tokens(tokens, masked, as_tensors):
    x, mask = tokens
    if not masked:
        x, mask = np.nan_to_num(x), None
    valid = np.ones(x.shape[:2], bool) if mask is None else mask.astype(bool)
    rows = {
        "mean": np.array([row[own].mean(axis=0) for row, own in zip(x, valid, strict=True)]),
        "last": np.array([row[own][-1] for row, own in zip(x, valid, strict=True)]),
        "class": np.array([row[own][0] for row, own in zip(x, valid, strict=True)]),
    }
    other = np.random.default_rng(2).standard_normal((12, 3))
    given = [x, other]
    if as_tensors:
        torch = pytest.importorskip("torch")
        given = [torch.from_numpy(a) for a in given]
    for pool, expected in rows.items():
        found = layer_matrix(given, mask=mask, pool=pool)
        assert found.matrix == pytest.approx(gl.cka_matrix([expected, other]), rel=1e-12)
        assert found.settings["pool"] == pool
    found = layer_matrix([given[0]], mask=mask, rows="tokens", pvalue=None)
    assert found.n == valid.sum()
    both = layer_matrix([given[0]], [given[0] * 1], mask=mask, rows="tokens", pvalue=None)
    assert both.matrix == pytest.approx(1)
    narrow = layer_matrix([given[0][:, :, :2], given[0]], mask=mask, rows="tokens", pvalue=None)
    assert narrow.matrix == pytest.approx(gl.cka_matrix([x[valid][:, :2], x[valid]]), rel=1e-12)


def test_each_model_may_have_a_mask_of_its_own(tokens):
    x, mask = tokens
    y = np.random.default_rng(3).standard_normal((12, 7, 2))
    mask_y = np.ones((12, 7), bool)
    mask_y[:, 5:] = False
    found = layer_matrix([x], [y], mask=mask, mask_y=mask_y, pool="last")
    own = x[np.arange(12), 4 - np.argmax(mask[:, ::-1], axis=1)]
    assert found.matrix[0, 0] == pytest.approx(gl.cka(own, y[:, 4]), rel=1e-12)


def test_a_callable_sees_name_and_mask(tokens):
    x, mask = tokens
    seen = []

    def first(array, mask, name):
        seen.append((name, mask))
        return array[:, 0]

    found = layer_matrix({"a": np.nan_to_num(x)}, mask=mask, pool=first)
    assert seen == [("a", mask)]
    assert found.settings["pool"] == "first"
    with pytest.raises(
        ValueError, match=r"^layer_matrix: pool must return an array \(rows, features\) but returns shape"
    ):
        layer_matrix({"a": x}, pool=lambda array: array)


def test_tokens_without_a_choice_are_refused(tokens):
    x, mask = tokens
    how = r'pass pool="mean", "last" or "class" for a row per example, or rows="tokens" for a row per token$'
    with pytest.raises(
        ValueError, match=rf"^layer_matrix: xs\[0\] has shape \(12, 5, 4\); if that is .*, {how}"
    ):
        layer_matrix([x])
    with pytest.raises(
        ValueError, match=r"^cka_matrix: xs\['a'\] has shape .*, call layer_matrix with pool="
    ):
        gl.cka_matrix({"a": x})
    for bad, sentence in [
        (mask.T, r"its mask has shape \(5, 12\) instead of \(12, 5\)$"),
        (np.where(mask == 1, 0.0, -np.inf), r"mask must hold only 1 \(True\) for valid tokens and 0"),
        (mask[0], r"mask must be \(examples, tokens\) but has shape \(5,\)$"),
        (mask * 0, r"row 0 of mask has no valid token$"),
    ]:
        with pytest.raises(ValueError, match=rf"^layer_matrix: .*{sentence}"):
            layer_matrix([x], mask=bad, pool="mean")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pool": "cls"}, 'pool must be "mean", "last", "class", a callable or None but is \'cls\''),
        ({"rows": "words"}, 'rows must be "examples" or "tokens" but is \'words\''),
        (
            {"rows": "tokens", "pool": "mean"},
            "rows=\"tokens\" keeps every token, so pool must be None but is 'mean'",
        ),
        ({"mask_y": np.ones((30, 2))}, "mask_y is given but ys is None"),
    ],
)
def test_bad_options_are_one_sentence(layers, options, sentence):
    with pytest.raises(ValueError, match=r"^layer_matrix: ") as error:
        layer_matrix(layers, **options)
    assert str(error.value) == f"layer_matrix: {sentence}"


def test_errors_have_the_names(layers):
    with pytest.raises(ValueError, match=r"^cka_matrix: xs\['conv'\] has 30 rows but xs\['fc'\] has 29$"):
        gl.cka_matrix(layers | {"fc": layers["fc"][:-1]})
    with pytest.raises(TypeError, match=r"^cka_matrix: ys\['text'\] must"):
        gl.cka_matrix(layers, {"text": np.array([["a"]])})
    with pytest.raises(ValueError, match=r"^cka_matrix: xs has no layers$"):
        gl.cka_matrix({})


def test_a_mapping_has_no_gradients(layers):
    with pytest.raises(ValueError, match=r"^value_and_grad: cka_matrix has no gradients with a mapping"):
        gl.value_and_grad(gl.cka_matrix)(layers, cotangent=np.ones((3, 3)))


def test_the_inputs_are_left_alone(tokens, layers):
    x, mask = tokens
    given, before = {"a": x}, x.copy()
    layer_matrix(given, mask=mask, pool="mean")
    assert list(given) == ["a"]
    assert np.array_equal(x, before, equal_nan=True)
    states = [x, x]
    layer_matrix(states, mask=mask, pool="mean")
    assert states[0] is x


def test_numpy_reads_the_result(layers):
    found = layer_matrix(layers)
    assert np.asarray(found, np.float32).dtype == np.float32
    assert np.asarray(found) is found.matrix
    assert np.array(found) is not found.matrix
    with pytest.raises(ValueError, match="needs a copy"):
        np.array(found, np.float32, copy=False)


def test_it_is_kept_in_a_checkpoint(layers, tmp_path):
    found = gl.cka_matrix(layers, checkpoint=tmp_path / "sweep")
    assert np.array_equal(found.matrix, layer_matrix(layers).matrix)
    assert np.array_equal(layer_matrix(layers, checkpoint=tmp_path / "sweep").matrix, found.matrix)


def test_heatmaps_hatch_what_is_within_chance(layers):
    pytest.importorskip("matplotlib").use("agg")
    found = layer_matrix(layers, rng=0)
    assert found.within_chance().tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    ax = found.plot()
    caption = ax.texts[-1].get_text()
    assert caption == "hatched: within chance (corrected p > 0.05; 199 permutations, maximum over 3 cells)"
    corners = {tuple(path.vertices.min(axis=0) + 0.5) for path in ax.collections[0].get_paths()}
    assert corners == {(2, 0), (2, 1), (0, 2), (1, 2)}
    assert not list(found.plot(within_chance=None).collections)
    for bad in (0, 1, "0.05"):
        with pytest.raises((ValueError, TypeError), match=r"^LayerMatrix.plot: alpha must"):
            found.plot(alpha=bad)


def test_no_torch_is_imported(layers):
    code = (
        "import gramless, numpy, sys; gramless.layer_matrix({'a': numpy.eye(9)[:, :3]}, pvalue='permutation')"
    )
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
