"""Only values matter: bitwise-identical results for any threads, layout and run; equal digits for any ISA."""

from __future__ import annotations

import functools
import math
import struct
import threading

import gramless
import numpy as np
import pytest
from core_values import hsic_values
from gramless import RBF, Linear, _core
from layouts import NUMPY_LAYOUTS, nested_lists, torch_layouts
from tolerance import assert_as_accurate, naive_cka, true_cka

KERNELS = [Linear(), RBF(), RBF(sigma=20.0)]
ESTIMATORS = ["biased", "unbiased"]
TYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
SHAPES = [(230, 40), (61, 300)]  # the cost model's choice differs: features for one, Gram for the other


def pair(n, d_x, d_y, dtype=np.float64, seed=0):
    generator = np.random.default_rng([seed, n, d_x, d_y])
    x = generator.standard_normal((n, d_x))
    y = generator.standard_normal((n, d_y)) + x[:, :1] + 2
    return x.astype(dtype), y.astype(dtype)


def bits(*values):
    """To compare NaN and signed zero too."""
    return b"".join(np.asarray(value, np.float64).tobytes() for value in values)


def everything(x, y):
    """Every number that the library computes from a pair, as bits."""
    results = []
    for kernel in KERNELS:
        for estimator in ESTIMATORS:
            results.append(gramless.hsic(x, y, kernel=kernel, estimator=estimator))
            results.append(gramless.cka(x, y, kernel=kernel, estimator=estimator))
        results.append(gramless.hsic_matrix([x, y, x], [y, x], kernel=kernel))
        results.append(gramless.cka_matrix([x, y, x], kernel=kernel))
    for include_diagonal in (False, True):
        results.append(gramless.median_distance(x, include_diagonal=include_diagonal))
    return bits(*results)


@every_dtype
@pytest.mark.parametrize("shape", [*SHAPES, (500, 5), (385, 400)], ids=str)
def test_threads_do_not_change_a_bit(backend, dtype, shape):
    n, d = shape
    x, y = pair(n, d, d + 3, dtype)
    answers = set()
    for threads in (1, 2, 3, 7):
        gramless.set_num_threads(threads)
        answers.add(everything(x, y))
    assert len(answers) == 1


def test_threads_do_not_change_a_bit_of_a_sampled_median():
    x, _ = pair(900, 20, 1)
    answers = set()
    for threads in (1, 2, 3, 7):
        gramless.set_num_threads(threads)
        answers.add(bits(gramless.hsic(x, x, kernel=RBF(median_rows=200))))
    assert len(answers) == 1


def test_runs_do_not_change_a_bit(run_script):
    """Neither within a process nor between processes, whose addresses and hash seeds differ."""
    source = (
        "import numpy as np, gramless\n"
        "x = np.random.default_rng(0).standard_normal((500, 33), dtype=np.float32)\n"
        "print({gramless.cka(x, x[:, :9] ** 2, kernel='rbf').hex() for _ in range(5)})"
    )
    first, second = (run_script(source, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first == second
    assert first.count("0x") == 1


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", NUMPY_LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts_do_not_change_a_bit(dtype, shape, layout):
    x, y = pair(*shape, 17, dtype)
    moved_x, moved_y = layout(x), layout(y)
    assert np.array_equal(moved_x, x)
    assert everything(moved_x, moved_y) == everything(x, y)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nested_lists_are_arrays(shape):
    x, y = pair(*shape, 17)
    assert everything(nested_lists(x), nested_lists(y)) == everything(x, y)


@every_dtype
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_mapped_files_do_not_change_a_bit(tmp_path, dtype, mode):
    x, y = pair(230, 40, 17, dtype)
    for name, a in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", a)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode=mode) for name in "xy"]
    assert everything(*mapped) == everything(x, y)


@every_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tensors_give_the_bits_of_arrays(dtype, shape):
    torch = pytest.importorskip("torch")
    x, y = pair(*shape, 17, dtype)
    expected = gramless.cka_matrix([x, y], kernel="rbf")
    scalars = [gramless.hsic(x, y), gramless.cka(x, y, kernel="rbf"), gramless.median_distance(x)]
    for layout in torch_layouts(torch):
        tensor_x, tensor_y = layout(x), layout(y)
        matrix = gramless.cka_matrix([tensor_x, tensor_y], kernel="rbf")
        assert matrix.dtype == tensor_x.dtype
        # With a gradient the bandwidth is rounded once more, because it is passed on.
        tolerance = 1e-14 if tensor_x.requires_grad else 0
        found = matrix.detach().numpy()
        np.testing.assert_allclose(found, expected.astype(dtype), tolerance, err_msg=layout.__name__)
        ours = [
            gramless.hsic(tensor_x, tensor_y),
            gramless.cka(tensor_x, tensor_y, kernel="rbf"),
            gramless.median_distance(tensor_x),
        ]
        for value, scalar in zip(ours, scalars, strict=True):
            assert value.shape == ()
            assert value.item() == pytest.approx(dtype(scalar), rel=tolerance, abs=0), layout.__name__


@every_dtype
def test_broadcast_arrays_do_not_change_a_bit(dtype):
    """Strides of 0: one column repeated, which would not fit into memory as a copy."""
    torch = pytest.importorskip("torch")
    x, _ = pair(50, 1, 1, dtype)
    wide = np.broadcast_to(x, (50, 4000))
    assert everything(wide, wide) == everything(wide.copy(), wide.copy())
    rows = np.broadcast_to(x.T, (20, 50))
    assert bits(gramless.hsic(rows, x[:20])) == bits(gramless.hsic(rows.copy(), x[:20]))
    expanded = torch.tensor(x).expand(50, 4000)
    assert gramless.hsic(expanded, expanded).item() == dtype(gramless.hsic(wide, wide))


def test_python_threads_get_the_bits_of_one():
    x, y = pair(400, 60, 33, np.float32)
    expected = everything(x, y)
    answers = []

    def work():
        for _ in range(3):
            answers.append(everything(x, y))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    assert set(answers) == {expected}


ROWS = [4, 5, 6, 7, 8, 9, 23, 24, 25, 47, 48, 49, 95, 96, 97, 191, 192, 193, 385]
WIDTHS = [1, 2, 3, 7, 8, 9, 255, 256, 257, 600]


def shapes_of(n):
    """Every width, and every number of rows in the last tile, without all combinations of both."""
    at = ROWS.index(n)
    return [(WIDTHS[at % 10], WIDTHS[(3 * at + 5) % 10]), (WIDTHS[(7 * at + 2) % 10], WIDTHS[(at + 4) % 10])]


@functools.cache
def expected_ckas(n, kernel, estimator, dtype):
    """(inputs, naive, truth) of several pairs of one n."""
    seeds = range(12) if n < 10 else range(3) if n < 50 else range(1)
    inputs = [pair(n, *shape, dtype, seed) for shape in shapes_of(n) for seed in seeds]
    naive = [naive_cka(x, y, kernel, estimator, dtype) for x, y in inputs]
    return inputs, naive, [true_cka(x, y, kernel, estimator, dtype) for x, y in inputs]


def cka_in(space, x, y, kernel, estimator):
    values = hsic_values([x], [y], [kernel], [kernel], estimator, space=space)
    return values.xy[0, 0] / math.sqrt(values.xx[0] * values.yy[0])


@every_dtype
@pytest.mark.parametrize("n", ROWS)
def test_any_number_of_rows_and_columns_is_as_accurate_as_naive_code(backend, dtype, n):
    for estimator in ESTIMATORS:
        for kernel in KERNELS:
            inputs, naive, truth = expected_ckas(n, kernel, estimator, dtype)
            ours = [gramless.cka(x, y, kernel=kernel, estimator=estimator) for x, y in inputs]
            assert_as_accurate(ours, naive, truth, dtype)


SPACES = [("gram", n) for n in ROWS if n > 7]
SPACES += [("features", n) for n in ROWS if n > 7 and any(sum(shape) <= n for shape in shapes_of(n))]


@every_dtype
@pytest.mark.parametrize(("space", "n"), SPACES)
def test_either_space_is_as_accurate_as_naive_code(backend, dtype, space, n):
    """Feature space where the cost model may choose it; for wide data it loses digits."""
    for estimator in ESTIMATORS:
        inputs, naive, truth = expected_ckas(n, Linear(), estimator, dtype)
        chosen = [i for i, (x, y) in enumerate(inputs) if space == "gram" or x.shape[1] + y.shape[1] <= n]
        ours = [cka_in(space, *inputs[i], Linear(), estimator) for i in chosen]
        assert_as_accurate(ours, [naive[i] for i in chosen], [truth[i] for i in chosen], dtype)


@every_dtype
@pytest.mark.parametrize("n", [2, 3])
def test_two_and_three_rows_have_a_biased_cka(backend, dtype, n):
    for kernel in KERNELS:
        inputs = [pair(n, d, 7, dtype) for d in WIDTHS]
        naive, truth = ([f(x, y, kernel, "biased", dtype) for x, y in inputs] for f in (naive_cka, true_cka))
        ours = [gramless.cka(x, y, kernel=kernel, estimator="biased") for x, y in inputs]
        assert_as_accurate(ours, naive, truth, dtype)


@every_dtype
def test_matrix_entries_are_the_pairs(backend, dtype):
    """Layers of different widths, from one to seven of them, in both forms of the call."""
    layers = [pair(150, d, 1, dtype, seed=d)[0] for d in (1, 3, 8, 40, 257, 64, 5)]
    for kernel in KERNELS:
        pairs = np.array([[gramless.cka(x, y, kernel=kernel) for y in layers] for x in layers])
        tolerance = 1e-6 if dtype == np.float32 else 1e-12
        for count in range(1, 8):
            square = gramless.cka_matrix(layers[:count], kernel=kernel)
            assert square.shape == (count, count)
            assert np.array_equal(square, square.T)
            assert np.max(np.abs(square - pairs[:count, :count])) <= tolerance
            both = gramless.cka_matrix(layers[:count], layers[7 - count :], kernel=kernel)
            assert np.max(np.abs(both - pairs[:count, 7 - count :])) <= tolerance


@every_dtype
@pytest.mark.parametrize("space", ["gram", "features"])
def test_a_layer_does_not_notice_its_neighbours(dtype, space):
    """Subsets and other orders of the layers give the same values as all layers together."""
    layers = [pair(210, d, 1, dtype, seed=d)[0] for d in (3, 40, 200, 9)]
    for kernel in KERNELS if space == "gram" else [Linear()]:

        def xy(chosen, kernel=kernel):
            xs, kernels = [layers[i] for i in chosen], [kernel] * len(chosen)
            return hsic_values(xs, None, kernels, [], "unbiased", space=space).xy

        whole = xy([0, 1, 2, 3])
        for chosen in ([1], [2, 3], [3, 1, 0], [2, 2]):
            assert np.max(np.abs(xy(chosen) / whole[np.ix_(chosen, chosen)] - 1)) <= (
                1e-5 if dtype == np.float32 else 1e-12
            )


def test_every_backend_is_listed_and_one_is_active():
    listed = gramless.backends()
    assert [backend.name for backend in listed][-1] == "baseline"
    assert sum(backend.active for backend in listed) == 1
    assert next(backend for backend in listed if backend.supported).active


def test_switching_the_backend_switches_it(backend):
    assert [entry.name for entry in gramless.backends() if entry.active] == [backend]
    with pytest.raises(ValueError, match="sse9"):
        _core.set_backend("sse9")


def test_bits_tell_results_apart():
    """The comparison of the tests above: one unit in the last place is a difference."""
    assert bits(1.0) != bits(np.nextafter(1.0, 2.0))
    assert bits(math.nan) == bits(math.nan)
    assert struct.unpack("d", bits(0.5)) == (0.5,)
