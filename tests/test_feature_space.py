"""Linear HSIC as sums over pairs of features: every shape, layout and dtype agrees with float64."""

from __future__ import annotations

import functools

import gramless
import numpy as np
import pytest
from core_values import hsic_values
from gramless import Linear, _core
from gramless.kernels import encode

LIMIT = 1e-6


def in_feature_space(xs, ys=None, estimator="biased"):
    kernels = [Linear()] * len(xs), [Linear()] * len(ys or ())
    return hsic_values(xs, ys, *kernels, estimator, space="features")


def expected(xs, ys):
    """Biased HSIC of every pair, in float64."""
    centred = [[z - z.mean(axis=0) for z in (a.astype(np.float64) for a in layers)] for layers in (xs, ys)]
    n = len(xs[0])
    return np.array([[np.sum((a.T @ b) ** 2) for b in centred[1]] for a in centred[0]]) / (n - 1) ** 2


def layers(n, widths, dtype=np.float32, seed=0):
    return [x.copy() for x in made_once(n, tuple(widths), dtype, seed)]


@functools.lru_cache(maxsize=24)
def made_once(n, widths, dtype, seed):
    generator = np.random.default_rng(seed)
    shared = generator.standard_normal((n, 3))
    made = []
    for d in widths:
        x = generator.standard_normal((n, d)) + 3 + shared @ generator.standard_normal((3, d))
        x[n // 2 :] *= 1.5  # later runs of samples differ from the first
        made.append((8 * x if np.issubdtype(dtype, np.integer) else x).astype(dtype))
    return made


def assert_close(found, truth, scale):
    assert np.max(np.abs(found - truth) / scale) <= LIMIT


SHAPES = {
    "one feature each": (50, [1], [1]),
    "a vector and one more": (385, [17], [16, 5]),
    "many small layers": (900, [3, 1, 20, 7, 33], [2, 40, 9]),
    "groups of samples": (7000, [40, 24], [64]),
    "segments of samples": (7000, [330, 5], [300]),
    "bands of rows": (60, [2100], [2117]),
}


@functools.cache
def truth_of(shape, dtype):
    """Of all layers of both sides with each other, once for all instruction sets."""
    n, widths_x, widths_y = SHAPES[shape]
    together = layers(n, widths_x, dtype) + layers(n, widths_y, dtype, seed=1)
    return expected(together, together)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_pair_of_layers_is_that_of_float64(backend, shape, dtype):
    n, widths_x, widths_y = SHAPES[shape]
    xs, ys = layers(n, widths_x, dtype), layers(n, widths_y, dtype, seed=1)
    truth = truth_of(shape, dtype)
    self_x, self_y = np.split(np.diag(truth), [len(xs)])
    values = in_feature_space(xs, ys)
    assert_close(values.xx, self_x, self_x)
    assert_close(values.yy, self_y, self_y)
    assert_close(values.xy, truth[: len(xs), len(xs) :], np.sqrt(np.outer(self_x, self_y)))
    together = in_feature_space(xs + ys)
    lengths = np.sqrt(np.concatenate([self_x, self_y]))
    assert_close(together.xy, truth, np.outer(lengths, lengths))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.int32])
@pytest.mark.parametrize("shape", [(500, 37), (7000, 600)], ids=str)
def test_every_layout_packs_to_the_same_bits(backend, dtype, shape):
    (x,), (y,) = layers(shape[0], [shape[1]], dtype), layers(shape[0], [19], dtype, seed=1)
    alone = in_feature_space([x], [y], "unbiased")
    wider = np.zeros((shape[0], 2 * shape[1] + 1), dtype)
    wider[:, 1::2] = x
    upside_down = np.ascontiguousarray(x[::-1])[::-1]
    for other in (np.asfortranarray(x), wider[:, 1::2], upside_down):
        values = in_feature_space([other], [y], "unbiased")
        assert (values.xy, values.xx, values.yy) == (alone.xy, alone.xx, alone.yy)


def test_bfloat16_is_converted_exactly(backend):
    torch = pytest.importorskip("torch")
    halves = [torch.from_numpy(z).to(torch.bfloat16) for z in layers(800, [37, 70])]
    found, truth = in_feature_space(halves), in_feature_space([z.float() for z in halves])
    assert found.xy.tolist() == truth.xy.tolist()


@pytest.mark.parametrize(("least", "beyond"), [(0, 2**-14), (2**-14, 1), (1, 2**12), (2**12, np.inf)])
def test_every_half_number_is_converted_exactly(backend, least, beyond):
    """All finite float16, subnormals and negative zero included; no large one hides small ones."""
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = numbers[(least <= np.abs(numbers)) & (np.abs(numbers) < beyond)]
    x = np.zeros((len(numbers), 32), np.float16)
    x[:] = numbers[:, None]
    x[:, 1] = numbers[::-1]
    found, truth = in_feature_space([x]), in_feature_space([x.astype(np.float32)])
    assert found.xx[0] == truth.xx[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int16])
@pytest.mark.parametrize("widths", [[1], [17, 33], [255, 256, 257], [300, 520, 7]], ids=str)
def test_rows_measured_as_they_are_packed_give_the_same_bits(backend, widths, dtype):
    """The layers of a sweep in parts are measured beforehand."""
    xs = layers(1300, widths, dtype)
    xs[-1] = np.asfortranarray(xs[-1])
    sweep = _core.Sweep(xs, [], [encode(Linear())] * len(xs), [], "unbiased", "features")
    sums = np.zeros(sweep.sums_length)
    for part in range(sweep.parts):
        sweep.add_part(part, sums)
    before, packed = sweep.values(sums), in_feature_space(xs, estimator="unbiased")
    for ours, place in ((packed.xy, 0), (packed.xx, 1), (packed.mean_x, 3), (packed.diagonal_x, 5)):
        np.testing.assert_array_equal(ours, before[place])


@pytest.mark.parametrize("widths", [[30, 9], [330, 300]])
def test_threads_change_no_bit(widths):
    xs = layers(7000, widths)
    found = []
    for threads in (1, 2, 5):
        gramless.set_num_threads(threads)
        values = in_feature_space(xs, estimator="unbiased")
        found.append((values.xy.tobytes(), values.xx.tobytes()))
    assert len(set(found)) == 1


@pytest.mark.parametrize("row", [0, 3, 900])
@pytest.mark.parametrize("widths", [[30, 9], [330, 300]])
def test_nan_reaches_its_layer_alone(widths, row):
    xs = layers(1000, widths)
    xs[0][row, 2] = np.nan
    values = in_feature_space(xs)
    assert np.isnan([values.xx[0], values.xy[0, 1]]).all()
    assert np.isfinite(values.xx[1])
