"""SigLIP's loss against its reference and against naive code, for arrays of numpy."""

from __future__ import annotations

import math

import gramless
import numpy as np
import pytest
from gramless import reference
from layouts import NUMPY_LAYOUTS
from loss_views import assert_near, every_dtype, views
from tolerance import MORE_DIGITS, assert_as_accurate

OPTIONS = {"logit_scale": 10.0, "logit_bias": -10.0}
# Around vectors, register tiles, tiles (24, 48, 96, 192, 384 rows) and panels of columns.
SHAPES = [
    (1, 1),
    (1, 7),
    (2, 3),
    (15, 16),
    (16, 17),
    (17, 48),
    (24, 65),
    (47, 2),
    (97, 33),
    (193, 5),
    (391, 19),
]
SMALL_SHAPES = [(1, 3), (2, 2), (17, 16), (49, 7)]
NUMBERS = [(10.0, -10.0), (0.0, 0.0), (-3.0, 2.0), (math.exp(5), -10.0), (1.0, 40.0)]


def ours(a, b, wrt=None, **options):
    return gramless.value_and_grad(gramless.siglip, wrt)(a, b, **(OPTIONS | options))


def naive(a, b, logit_scale, logit_bias, normalize=True):
    """n x n in one dtype: value, gradients of a, b, scale, bias."""
    a, b = np.asarray(a), np.asarray(b)
    dtype, n = a.dtype.type, len(a)
    scale, bias = dtype(logit_scale), dtype(logit_bias)
    lengths = [np.sqrt((u * u).sum(1, keepdims=True)) if normalize else dtype(1) for u in (a, b)]
    z = [u / length for u, length in zip((a, b), lengths, strict=True)]
    y = (2 * np.eye(n) - 1).astype(dtype)
    dots = z[0] @ z[1].T
    signed = y * (scale * dots + bias)
    slopes = -y / (1 + np.exp(signed)) / dtype(n)
    found = [np.logaddexp(dtype(0), -signed).sum() / dtype(n)]
    for own, dz, length in zip(z, (scale * slopes @ z[1], scale * slopes.T @ z[0]), lengths, strict=True):
        found.append((dz - (dz * own).sum(1, keepdims=True) * own) / length if normalize else dz)
    return [*found, (slopes * dots).sum(), slopes.sum()]


@every_dtype
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "raw"])
@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_siglip_is_that_of_the_reference(backend, dtype, normalize, numbers):
    options = {"logit_scale": numbers[0], "logit_bias": numbers[1], "normalize": normalize}
    for shape in SHAPES:
        a, b = views(*shape, dtype)
        value, *grads = reference.siglip_value_and_grad(a, b, **options)
        assert_near(ours(a, b, **options), (value, tuple(grads)), dtype)
        for reduction in ("mean", "sum", "none"):
            found, expected = (
                module.siglip(a, b, **options, reduction=reduction) for module in (gramless, reference)
            )
            assert_near(found, expected, dtype)


@every_dtype
def test_siglip_is_as_accurate_as_naive_code(dtype):
    """Each result relative to its own size: positives and negatives cancel in the derivative of the bias."""
    a_dtype, found, plain, true = np.dtype(dtype), [], [], []
    for shape in SMALL_SHAPES:
        for scale, bias in [*NUMBERS, (10.0, -math.log(shape[0]) - 1), (4.0, -6.5)]:
            a, b = views(*shape, dtype)
            value, grads = ours(a, b, logit_scale=scale, logit_bias=bias)
            digits = MORE_DIGITS[a_dtype]
            exact = naive(a.astype(digits), b.astype(digits), scale, bias)
            with np.errstate(all="ignore"):
                rough = naive(a, b, scale, bias)
            slope = float(np.abs(exact[4])) + float(exact[0])  # the difference of two sums
            for place, results in enumerate(zip([value, *grads], rough, exact, strict=True)):
                size = max(float(np.abs(exact[place]).max()), slope if place > 2 else 0, 1e-30)
                size = (
                    max(size, abs(scale)) if place in (1, 2) else size
                )  # the normalisation removes most of it
                for results_of, result in zip((found, plain, true), results, strict=True):
                    results_of.append(
                        np.abs(np.asarray(result, digits) / size).max() if place < 3 else result / size
                    )
    assert_as_accurate(found, plain, true, dtype)


@pytest.mark.parametrize("logit_scale", [10.0, 30.0])
def test_derivatives_by_scale_and_bias_that_cancel_keep_their_digits(logit_scale):
    """If the bias is nearly optimal, its derivative is the small difference of two sums of about 0.5."""
    a, b = views(700, 24, np.float32)
    low, bias, high = -60.0, 0.0, 10.0  # the derivative of the bias grows with it
    for _ in range(60):
        bias = (low + high) / 2
        if reference.siglip_value_and_grad(a, b, logit_scale=logit_scale, logit_bias=bias)[4] > 0:
            high = bias
        else:
            low = bias
    options = {"logit_scale": logit_scale, "logit_bias": float(np.float32(bias))}
    *_, by_scale, by_bias = reference.siglip_value_and_grad(a, b, **options)
    _, (found_scale, found_bias) = ours(a, b, ["logit_scale", "logit_bias"], **options)
    assert abs(by_bias) < 1e-6
    assert abs(found_bias - by_bias) < 2e-8
    assert abs(found_scale - by_scale) < 5e-8 * max(1, abs(by_scale))


@every_dtype
def test_gradients_are_differences_of_values(dtype):
    if dtype == np.float32:
        pytest.skip("differences of float32 values have no digits")
    a, b = views(9, 4)
    direction = views(9, 4, seed=3)
    step, options = 1e-6, {"logit_scale": 2.5, "logit_bias": -1.5}
    _, (by_a, by_b, by_scale, by_bias) = ours(a, b, **options)
    slope = (by_a * direction[0]).sum() + (by_b * direction[1]).sum() + 0.7 * by_scale - 0.4 * by_bias

    def moved(by):
        shifted = {"logit_scale": 2.5 + 0.7 * by, "logit_bias": -1.5 - 0.4 * by}
        return gramless.siglip(a + by * direction[0], b + by * direction[1], **shifted)

    assert abs((moved(step) - moved(-step)) / (2 * step) - slope) < 1e-8


def test_one_gradient_alone_and_a_cotangent():
    a, b = views(50, 7)
    value, grads = ours(a, b)
    for name, grad in zip(["a", "b", "logit_scale", "logit_bias"], grads, strict=True):
        same, alone = ours(a, b, name)
        assert same == value
        np.testing.assert_array_equal(alone, grad)
    _, thrice = ours(a, b, cotangent=3.0)
    for one, three in zip(grads, thrice, strict=True):
        np.testing.assert_allclose(three, 3 * one, rtol=1e-14)
    weights = np.random.default_rng(0).standard_normal(50)
    _, of_rows = ours(a, b, cotangent=weights, reduction="none")
    one_by_one = [ours(a, b, cotangent=row, reduction="none")[1] for row in np.eye(50)]
    for place, found in enumerate(of_rows):
        expected = sum(w * grads[place] for w, grads in zip(weights, one_by_one, strict=True))
        np.testing.assert_allclose(found, expected, atol=1e-12)


@every_dtype
@pytest.mark.parametrize("layout", NUMPY_LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts_do_not_change_a_bit(layout, dtype):
    a, b = views(55, 19, dtype)
    expected = ours(a, b)
    value, grads = ours(layout(a), layout(b))
    assert value == expected[0]
    for found, exact in zip(grads, expected[1], strict=True):
        np.testing.assert_array_equal(found, exact)


@every_dtype
@pytest.mark.parametrize("rows", [1, 50, 400, 1000])
def test_threads_do_not_change_a_bit(rows, dtype):
    a, b = views(rows, 20, dtype)
    before, results = gramless.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            gramless.set_num_threads(threads)
            value, grads = ours(a, b)
            results.append([value, *(np.asarray(grad).tobytes() for grad in grads)])
    finally:
        gramless.set_num_threads(before)
    assert all(result == results[0] for result in results)


@every_dtype
def test_inputs_are_not_changed(dtype):
    a, b = views(30, 6, dtype)
    a.flags.writeable = b.flags.writeable = False
    copies = a.copy(), b.copy()
    ours(a, b)
    np.testing.assert_array_equal(a, copies[0])
    np.testing.assert_array_equal(b, copies[1])


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        (((3, 2), (4, 2)), {}, "siglip: a has 3 rows but b has 4"),
        (((3, 2), (3, 5)), {}, "siglip: a has 2 columns but b has 5"),
        (((0, 2), (0, 2)), {}, r"siglip: a is empty, its shape is \(0, 2\)"),
        (((3,), (3,)), {}, "siglip: a must have 2 dimensions"),
        (((3, 2), (3, 2)), {"logit_scale": "10"}, "siglip: logit_scale must be a number but is '10'"),
        (((3, 2), (3, 2)), {"logit_bias": None}, "siglip: logit_bias must be a number but is None"),
        (((3, 2), (3, 2)), {"reduction": "avg"}, "siglip: reduction must be"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments, options, sentence):
    arrays = [np.ones(shape) for shape in arguments]
    for module in (gramless, reference):
        with pytest.raises((ValueError, TypeError), match=sentence):
            module.siglip(*arrays, **(OPTIONS | options))


def test_the_scale_and_the_bias_must_be_given():
    with pytest.raises(TypeError, match="logit_scale"):
        gramless.siglip(np.ones((2, 2)), np.ones((2, 2)))
