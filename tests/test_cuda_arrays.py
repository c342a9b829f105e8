"""Arrays of a GPU in the public functions: values, gradients, and the device of the results.

Values are compared with the CPU's of the same numbers.
"""

from __future__ import annotations

import importlib.util
import mmap
from functools import partial

import gramless
import numpy as np
import pytest
from gramless import RBF
from layouts import NUMPY_LAYOUTS
from tolerance import FLOOR, naive_cka, true_cka

KERNELS = ["linear", RBF(sigma=2.0), "rbf", RBF(scale=0.5, include_diagonal=True)]
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
every_estimator = pytest.mark.parametrize("estimator", ["biased", "unbiased"])
MAP_NORESERVE = 0x4000  # which mmap does not name before Python 3.13


def rows(count=8, width=5, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((count, width)).astype(dtype)


def related(dtype=np.float64, n=20):
    x = rows(n, 5, 1)
    return x.astype(dtype), (x[:, :3] + rows(n, 3, 2)).astype(dtype)


def assert_same(device, ours, expected):
    """float64 in both, in another order."""
    assert device.is_here(ours)
    found = device.numpy(ours)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@every_kernel
@every_estimator
def test_hsic_and_cka_are_those_of_the_cpu(device, kernel, estimator):
    x, y = related()
    a, b = device.array(x), device.array(y)
    for call in (gramless.hsic, gramless.cka):
        options = {"kernel": kernel, "estimator": estimator}
        assert_same(device, call(a, b, **options), call(x, y, **options))
    mixed = {"kernel": kernel, "kernel_y": "linear"}
    assert_same(device, gramless.cka(a, b, **mixed), gramless.cka(x, y, **mixed))


@every_kernel
def test_matrices_are_those_of_the_cpu(device, kernel):
    layers = [rows(16, width, width) for width in (2, 4, 7)]
    arrays = [device.array(x) for x in layers]
    for call in (gramless.hsic_matrix, gramless.cka_matrix):
        assert_same(device, call(arrays, kernel=kernel), call(layers, kernel=kernel))
        found = call(arrays[:2], arrays[1:], kernel=kernel)
        assert_same(device, found, call(layers[:2], layers[1:], kernel=kernel))


def test_a_sweep_says_that_it_is_enqueued(device):
    told = []
    arrays = [device.array(rows(8, 3, seed)) for seed in range(3)]
    gramless.hsic_matrix(arrays, progress=lambda *counts: told.append(counts))
    assert told == [(1, 1)]


every_method = pytest.mark.parametrize(
    "method",
    [
        "chi2",
        "permutation",
        pytest.param(
            "gamma", marks=pytest.mark.skipif(not importlib.util.find_spec("scipy"), reason="needs scipy")
        ),
    ],
)


@every_kernel
@every_method
def test_p_values_are_those_of_the_cpu(device, method, kernel):
    x, y = related(n=20)
    for ours, theirs, options in ((y, y, {}), (x[::-1], x[::-1].copy(), {"kernel_y": "linear"})):
        options |= {"kernel": kernel, "method": method, "n_resamples": 70, "rng": 3}
        found = gramless.independence_test(device.array(x), device.array(ours), **options)
        expected = gramless.independence_test(x, theirs, **options)
        assert (found.method, found.n) == (method, 20)
        assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-8)
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
        if method == "permutation":
            np.testing.assert_allclose(found.null, expected.null, rtol=1e-9, atol=1e-12)


def test_permutations_go_around_in_as_many_copies_as_fit(device, monkeypatch):
    x, y = map(device.array, related(n=12))
    options = {"kernel": "rbf", "method": "permutation", "n_resamples": 70, "rng": 0}
    told = []
    found = gramless.independence_test(x, y, **options, progress=lambda *counts: told.append(counts))
    assert told == [(64, 71), (71, 71)]
    monkeypatch.setattr("gramless._backends.cuda.COPIED_BYTES", 3 * 12 * 3 * 8)
    told.clear()
    again = gramless.independence_test(x, y, **options, progress=lambda *counts: told.append(counts))
    assert (found.statistic, found.pvalue) == (again.statistic, again.pvalue)
    np.testing.assert_allclose(found.null, again.null, rtol=1e-12)
    assert len(told) == 22 + 3
    assert told[-1] == (71, 71)


@every_method
def test_p_values_of_constants_and_nan_are_nan(device, method):
    x, y = related(n=12)
    options = {"method": method, "n_resamples": 9, "rng": 0}
    with pytest.warns(RuntimeWarning, match="HSIC of y with itself is not positive"):
        found = gramless.independence_test(device.array(x), device.array(np.ones_like(y)), **options)
    assert np.isnan(found.pvalue)
    y[3, 1] = np.nan
    assert np.isnan(gramless.independence_test(device.array(x), device.array(y), **options).pvalue)


@pytest.mark.parametrize("weighting", ["mean", "pairs"])
@every_kernel
def test_minibatches_are_those_of_the_cpu(device, kernel, weighting):
    ours, theirs = (gramless.MinibatchCKA(kernel, weighting) for _ in range(2))
    for seed, n in enumerate((8, 13, 8)):
        xs, ys = [rows(n, 5, seed), rows(n, 3, seed + 10)], [rows(n, 5, seed) ** 2]
        ours.update(list(map(device.array, xs)), list(map(device.array, ys)))
        theirs.update(xs, ys)
        if seed < 2:
            assert device.is_here(ours._sums.xy)
        if seed == 1:  # resumes from a checkpoint, which is on the host
            state, ours = ours.state_dict(), gramless.MinibatchCKA(kernel, weighting)
            ours.load_state_dict(state)
    np.testing.assert_allclose(ours.compute(), theirs.compute(), rtol=1e-9)
    ours.merge(theirs)
    np.testing.assert_allclose(ours.compute(), theirs.compute(), rtol=1e-9)


@pytest.mark.parametrize("include_diagonal", [False, True])
def test_the_median_distance_is_that_of_the_cpu(device, include_diagonal):
    for n in (2, 7, 20):
        x = rows(n)
        found = gramless.median_distance(device.array(x), include_diagonal=include_diagonal)
        assert_same(device, found, gramless.median_distance(x, include_diagonal=include_diagonal))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cka_is_as_accurate_as_naive_code(device, dtype):
    pairs = [related(dtype, n) for n in (8, 20, 50)]
    for kernel in ("linear", RBF(sigma=2.0)):
        for x, y in pairs:
            ours = float(device.numpy(gramless.cka(device.array(x), device.array(y), kernel=kernel)))
            truth = true_cka(x, y, kernel, "unbiased", dtype)
            naive = abs(naive_cka(x, y, kernel, "unbiased", dtype) - truth)
            assert abs(ours - truth) <= 2 * naive + FLOOR[np.dtype(dtype)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_values_are_of_the_type_of_the_computation_and_gradients_of_the_inputs(device, dtype):
    z = device.array(rows(dtype=dtype))
    loss, (grad, _, by_temperature) = gramless.value_and_grad(gramless.nt_xent)(z, z)
    assert (loss.dtype, by_temperature.dtype, grad.dtype) == (np.float32, np.float32, dtype)
    assert gramless.cka(z, z).dtype == np.float32


@pytest.mark.parametrize("layout", NUMPY_LAYOUTS, ids=lambda layout: layout.__name__)
def test_any_layout_is_read_in_place(device, layout):
    if device.kind == "cuda":
        pytest.skip("numpy's layouts; cupy's are next")
    x, y = related()
    a = device.in_place(layout(x))
    if not a.flags.aligned:
        with pytest.raises(ValueError, match="hsic: x must have elements that are aligned to their size 8"):
            gramless.hsic(a, device.array(y))
        return
    assert_same(device, gramless.cka(a, device.array(y), kernel="rbf"), gramless.cka(x, y, kernel="rbf"))
    assert_same(device, gramless.sup_con(a, [0, 1] * 10), gramless.sup_con(x, [0, 1] * 10))


def test_views_of_an_array_are_read_in_place(device):
    x, y = related()
    wide = device.array(np.zeros((40, 10)))
    wide[::2, ::2] = device.array(x)
    for view in (wide[::2, ::2], wide[::-1, ::-1][1::2, 1::2][::-1, ::-1], device.array(x.T.copy()).T):
        assert_same(device, gramless.hsic(view, device.array(y)), gramless.hsic(x, y))
    shifted = device.array(np.concatenate([[0.0], x.ravel()]))[1:].reshape(x.shape)  # 8 bytes off any vector
    assert_same(device, gramless.hsic(shifted, device.array(y)), gramless.hsic(x, y))


def test_offsets_beyond_32_bits_are_read(device):
    if device.kind == "cuda":
        pytest.skip("the memory for it is not there for certain")
    x, stride = rows(3, 2, dtype=np.float32), 2**31 + 4096
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    addresses = np.frombuffer(mmap.mmap(-1, 4 * (2 * stride + 2), flags=flags), np.float32)
    apart = np.lib.stride_tricks.as_strided(addresses, x.shape, (4 * stride, 4), writeable=True)
    apart[...] = x  # a few pages of all those
    call = partial(gramless.hsic, estimator="biased")
    near, far = (call(z, device.array(x)) for z in (device.array(x), device.in_place(apart)))
    assert near == far


def test_nan_and_constant_inputs_are_told_by_nan(device):
    x, _ = related()
    constant = device.array(np.ones((20, 2)))
    assert np.isnan(device.numpy(gramless.cka(device.array(x), constant)))
    found = device.numpy(gramless.cka_matrix([device.array(x), constant]))
    assert np.isnan(found[0, 1])
    assert found[0, 0] == 1
    x[3, 1] = np.nan
    assert np.isnan(device.numpy(gramless.hsic(device.array(x), device.array(x))))


def test_the_stream_is_asked_for_at_every_launch_and_scratch_is_the_librarys(device):
    if device.kind == "cuda":
        pytest.skip("cupy does not tell")
    x, y = map(device.array, related())
    for launches in (1, 2):
        gramless.hsic(x, y)
        assert len(device.library.streams) == launches
    assert any(dtype == "uint8" for _, dtype in device.library.allocated)


def test_inputs_are_not_changed(device):
    x, y = related()
    a, b = device.array(x), device.array(y)
    gramless.cka(a, b, kernel="rbf")
    gramless.value_and_grad(gramless.sup_con)(a, [0, 1] * 10)
    np.testing.assert_array_equal(device.numpy(a), x)
    np.testing.assert_array_equal(device.numpy(b), y)
