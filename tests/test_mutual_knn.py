"""mutual_knn and mutual_knn_matrix: exact neighbours, ties, ranges, layouts and bad input."""

from __future__ import annotations

import gramless as gl
import numpy as np
import pytest
from gramless import _core, mutual_knn, mutual_knn_matrix, reference
from gramless.reference.neighbors import nearest_rows
from layouts import NUMPY_LAYOUTS

# Around vectors, register tiles, tiles (24, 48, 96, 192, 384 rows) and panels of columns.
SHAPES = [(2, 1, 1), (3, 5, 2), (17, 3, 4), (49, 200, 9), (97, 16, 10), (400, 7, 10), (400, 3, 399)]


def neighbors(x, k):
    ((rows, _),) = _core.nearest_neighbors([x], k, False, None)
    return rows


def assert_nearest(x, k):
    """Neighbours of the stored numbers, computed in float64."""
    expected = np.sort(nearest_rows(np.asarray(x, np.float64), k), axis=1)
    found = neighbors(x, k)
    assert np.array_equal(found, expected), np.argwhere(found != expected)[:5]


def rows_of(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
def test_neighbours_are_those_of_the_reference(backend, dtype):
    for n, d, k in SHAPES:
        assert_nearest((3 * rows_of(n, d)).astype(dtype), k)


def test_it_is_what_the_published_definition_gives(backend):
    x = rows_of(300, 12)
    for y, k in ((x + rows_of(300, 12, 1), 10), (rows_of(300, 5, 2), 10), (x[:, :3], 1), (-x, 299)):
        masks = []
        for side in (x, y):
            unit = side / np.linalg.norm(side, axis=1, keepdims=True)
            similar = unit @ unit.T
            np.fill_diagonal(similar, -1e8)
            masks.append(np.zeros((300, 300)))
            np.put_along_axis(masks[-1], np.argsort(-similar, axis=1)[:, :k], 1.0, axis=1)
        expected = ((masks[0] * masks[1]).sum(1) / k).mean()
        assert mutual_knn(x, y, k) == pytest.approx(expected, abs=1e-12)
        assert mutual_knn(x.astype("float32"), y.astype("float32"), k) == pytest.approx(expected, abs=1e-12)
        assert reference.mutual_knn(x, y, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_float32_products_cannot_tell_apart(backend, dtype):
    """Near a common direction, with cosines 1e-4 to 1e-10 below 1, and 1,000 rows on a circle."""
    for spread in (1e-3, 1e-5) if dtype == "float64" else (1e-2, 1e-3):
        assert_nearest((1 + spread * rows_of(300, 6)).astype(dtype), 7)
    angles = 6 * np.random.default_rng(0).random(1000)
    assert_nearest(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype), 5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_of_equal_cosines_the_smaller_number_is_nearer(backend, dtype):
    generator = np.random.default_rng(0)
    few = generator.integers(-1, 2, (200, 4)).astype(dtype)  # zero rows, multiples and duplicates among them
    assert_nearest(few, 10)
    assert_nearest(few * np.array([[1], [2], [3], [5]] * 50, dtype), 10)
    assert_nearest(np.repeat(generator.integers(-9, 9, (4, 6)), 50, axis=0).astype(dtype), 60)
    assert_nearest(np.eye(10)[generator.integers(0, 10, 300)].astype(dtype), 10)
    assert np.array_equal(neighbors(np.ones((5, 3), dtype), 2), [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]])
    assert_nearest(np.zeros((30, 2), dtype), 3)
    some = (9 * rows_of(300, 20)).astype(dtype)
    some[::100] = 0  # whose cosine, 0, is none of the largest
    assert_nearest(some, 5)


def test_many_equal_rows_take_no_longer_than_others():
    """24,000 rows of 6 kinds: rows that tiles leave undecided are compared once for all equal ones."""
    x = np.repeat(rows_of(6, 64), 4000, axis=0).astype("float32")[
        np.random.default_rng(0).permutation(24_000)
    ]
    kinds = (x[:, None, 0] == np.unique(x[:, 0])).argmax(1)
    found = neighbors(x, 10)
    for kind in range(6):
        own = np.flatnonzero(kinds == kind)
        for i in (own[0], own[5], own[-1]):
            assert np.array_equal(found[i], [j for j in own[:12] if j != i][:10])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lengths_of_rows_play_no_part(backend, dtype):
    x, y = rows_of(120, 9).astype(dtype), rows_of(120, 9, 1).astype(dtype)
    lengths = 2.0 ** np.random.default_rng(0).integers(-99, 99, (120, 1))
    value = mutual_knn(x, x + y)
    assert mutual_knn(x * lengths.astype(dtype), x + y) == value
    largest = 1e30 if dtype == "float32" else 1e300
    assert mutual_knn(x * dtype_number(dtype, largest), (x + y) / dtype_number(dtype, largest)) == value
    assert_nearest(x * 10.0 ** np.random.default_rng(1).integers(-30, 30, (120, 1)).astype(dtype), 4)


def dtype_number(dtype, value):
    return np.dtype(dtype).type(value)


@pytest.mark.parametrize("layout", NUMPY_LAYOUTS, ids=lambda f: f.__name__)
def test_layouts_give_the_same_neighbours(layout):
    x = rows_of(60, 13).astype("float32")
    given = layout(x)
    before = np.array(given)
    assert np.array_equal(neighbors(given, 5), neighbors(x, 5))
    assert np.array_equal(given, before)


def test_any_number_of_threads_gives_the_same(tmp_path):
    few = np.random.default_rng(0).integers(-2, 3, (700, 5)).astype("float32")
    mapped = np.memmap(tmp_path / "rows", "float32", "w+", shape=few.shape)
    mapped[:] = few
    expected = neighbors(mapped, 9)
    assert_nearest(few, 9)
    for threads in (1, 2, 7):
        gl.set_num_threads(threads)
        try:
            assert np.array_equal(neighbors(few, 9), expected)
        finally:
            gl.set_num_threads(None)


def test_a_matrix_has_all_pairs(backend):
    layers = [
        rows_of(130, d, d).astype(dtype) for d, dtype in ((3, "float32"), (70, "float64"), (9, "float16"))
    ]
    layers.append(layers[0] @ rows_of(3, 4).astype("float32"))
    matrix = mutual_knn_matrix(layers, k=6)
    assert matrix.tolist() == [[mutual_knn(x, y, 6) for y in layers] for x in layers]
    assert mutual_knn_matrix(layers[:1], layers[1:], 6).tolist() == [matrix[0, 1:].tolist()]
    assert np.array_equal(reference.mutual_knn_matrix(layers, k=6), matrix)
    seen = []
    mutual_knn_matrix(layers, k=6, progress=lambda done, total: seen.append((done, total)))
    assert seen
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_layer_that_is_not_finite_is_nan(backend, bad):
    x, broken = rows_of(50, 4), rows_of(50, 4, 1)
    broken[17, 2] = bad
    assert np.isnan(mutual_knn(x, broken))
    assert np.isnan(gl.cknna(broken, x))
    assert np.isnan(mutual_knn_matrix([x, broken, x])).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert np.isnan(mutual_knn_matrix([broken])).all()
    assert np.isnan(gl.mutual_knn_test(x, broken, n_resamples=5).pvalue)


def test_what_is_wrong_is_said_in_a_sentence():
    x = rows_of(5, 3)
    for k, error, words in (
        (5, ValueError, "mutual_knn: k must be less than the number of rows, 5 in x, but is 5"),
        (0, ValueError, "mutual_knn: k must be at least 1 but is 0"),
        (True, TypeError, "mutual_knn: k must be an int but is True"),
        (2.0, TypeError, "mutual_knn: k must be an int but is 2.0"),
    ):
        with pytest.raises(error, match=words):
            mutual_knn(x, x, k)
    with pytest.raises(ValueError, match="mutual_knn: x has 5 rows but y has 4"):
        mutual_knn(x, x[:4], 2)
    with pytest.raises(
        ValueError, match=r"mutual_knn_matrix: k must be less than .* 5 in xs\[0\], but is 10"
    ):
        mutual_knn_matrix([x, x])
    with pytest.raises(TypeError, match="mutual_knn is not one of gramless's differentiable functions"):
        gl.value_and_grad(mutual_knn)(x, x)


def test_tensors_have_a_value_without_a_gradient():
    torch = pytest.importorskip("torch")
    x, y = rows_of(40, 6), rows_of(40, 6, 1)
    given = torch.from_numpy(x).float().requires_grad_()
    value = mutual_knn(given, torch.from_numpy(y).float(), 3)
    assert value.dtype == torch.float32
    assert value.ndim == 0
    assert not value.requires_grad
    assert float(value) == pytest.approx(mutual_knn(x.astype("float32"), y.astype("float32"), 3), abs=1e-7)
    half = given.detach().bfloat16()
    assert np.array_equal(mutual_knn_matrix([half], [half]).numpy(), [[1.0]])
