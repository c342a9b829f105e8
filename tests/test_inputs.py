"""Every dtype and every invalid array: which are read, and which error the others raise."""

from __future__ import annotations

import re

import gramless
import numpy as np
import pytest
from gramless import RBF

PAIR_FUNCTIONS = ["hsic", "cka"]
MATRIX_FUNCTIONS = ["hsic_matrix", "cka_matrix"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
IN_FLOAT64 = {"int32", "int64", "uint32", "uint64", "float64"}


def values_of(dtype, shape, generator):
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if dtype in INTEGERS:
        information = np.iinfo(dtype)
        least, most = max(information.min, -(2**40)), min(information.max, 2**40)
        return generator.integers(least, most, shape, dtype=dtype, endpoint=True)
    return (generator.standard_normal(shape) * 30).astype(dtype)


def numbers(x, y):
    return [
        value
        for kernel in ("linear", RBF(), RBF(scale=0.5, include_diagonal=True))
        for value in (
            gramless.hsic(x, y, kernel=kernel, estimator="biased"),
            gramless.cka(x, y, kernel=kernel),
            gramless.cka_matrix([x, y], kernel=kernel).tolist(),
            gramless.median_distance(x),
        )
    ]


@pytest.mark.parametrize("shape", [(97, 30), (40, 133)], ids=str)
@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", "float16"])
def test_other_dtypes_are_their_values(dtype, shape):
    """Converting first gives bitwise-identical results: wide integers to float64, the others to float32."""
    generator = np.random.default_rng(4)
    x, y = values_of(dtype, shape, generator), values_of(dtype, (shape[0], 5), generator)
    computed = np.float64 if dtype in IN_FLOAT64 else np.float32
    assert numbers(x, y) == numbers(x.astype(computed), y.astype(computed))
    assert numbers(np.asfortranarray(x), y[:, ::-1][:, ::-1]) == numbers(x, y)


@pytest.mark.parametrize("shape", [(97, 30), (40, 133)], ids=str)
def test_bfloat16_is_its_values(shape):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    generator = np.random.default_rng(4)
    x, y = (generator.standard_normal(s).astype(ml_dtypes.bfloat16) for s in (shape, (shape[0], 5)))
    assert numbers(x, y) == numbers(x.astype(np.float32), y.astype(np.float32))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "int8", "int32", "int64", "uint8", "bool"])
def test_tensors_of_other_dtypes_are_their_values(name):
    torch = pytest.importorskip("torch")
    x = (torch.randn(40, 9, generator=torch.Generator().manual_seed(0)) * 30).to(getattr(torch, name))
    expected_dtype = torch.float64 if name in IN_FLOAT64 else torch.float32
    for kernel in ("linear", "rbf"):
        value, expected = (gramless.hsic(a, a, kernel=kernel) for a in (x, x.to(expected_dtype)))
        assert value.dtype == expected_dtype
        assert torch.equal(value, expected)


@pytest.mark.parametrize("bits", [range(0, 0x7C01), range(0x8000, 0xFC01)], ids=["positive", "negative"])
def test_every_half_is_converted_exactly(bits):
    """Subnormals and infinities included: results equal those of float32 copies."""
    halves = np.array(bits, np.uint16).view(np.float16)
    for start in range(0, len(halves), 4096):
        x = np.zeros((2, len(halves[start : start + 4096])), np.float16)
        x[1] = halves[start : start + 4096]
        expected = gramless.median_distance(x.astype(np.float32))
        assert gramless.median_distance(x) == expected or np.isinf(x[1]).any()
    tiny = np.array([[0.0], [halves[1]]], np.float16)
    assert gramless.median_distance(tiny) == 2.0**-24


def test_wide_integers_do_not_lose_digits():
    """2^40 and 2^40 + 1 are one float32."""
    x = 2**40 + np.arange(12)[:, None]
    assert gramless.hsic(x, x) == pytest.approx(gramless.hsic(x - 2**40, x - 2**40), rel=1e-10)


def test_one_float64_input_makes_the_computation_float64():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((50, 4), dtype=np.float32), generator.standard_normal((50, 4))
    assert gramless.hsic(x, y) == gramless.hsic(x.astype(np.float64), y)


def test_what_lives_in_torch_stays_in_torch():
    torch = pytest.importorskip("torch")
    x = torch.randn(20, 3)
    for result in (gramless.hsic(x, x), gramless.cka(x, x), gramless.median_distance(x)):
        assert isinstance(result, torch.Tensor)
        assert (result.shape, result.dtype, result.requires_grad) == ((), torch.float32, False)
    matrix = gramless.cka_matrix([x, x], [x.double()])
    assert (tuple(matrix.shape), matrix.dtype) == ((2, 1), torch.float64)
    assert type(gramless.hsic(x.numpy(), x.numpy())) is float
    assert gramless.cka_matrix([x.numpy()]).dtype == np.float64


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_inputs_are_never_changed(kernel):
    generator = np.random.default_rng(0)
    for shape in [(100, 8), (20, 90)]:
        for order in "CF":
            x = np.asarray(generator.standard_normal(shape), order=order)
            x[3, 1] = np.nan
            before = x.tobytes()
            gramless.cka(x, x, kernel=kernel)
            gramless.hsic_matrix([x, x], [x], kernel=kernel)
            gramless.median_distance(x)
            assert x.tobytes() == before


def square(n=10, d=3):
    return np.random.default_rng(n).standard_normal((n, d))


SHAPE_SENTENCE = "y must have 2 dimensions (rows, features) but has shape "
BAD_PAIRS = {  # y for an x of (10, 3), and the error message after "hsic: "
    "rows": (square(9), ValueError, "x has 10 rows but y has 9"),
    "one_dimension": (
        square()[:, 0],
        ValueError,
        "y must have 2 dimensions (rows, features) but has shape (10,)",
    ),
    "three_dimensions": (
        square()[None],
        ValueError,
        "y must have 2 dimensions (rows, features) but has shape (1, 10, 3)",
    ),
    "scalar": (3.0, ValueError, SHAPE_SENTENCE + "()"),
    "no_rows": (np.empty((0, 3)), ValueError, "y is empty, its shape is (0, 3)"),
    "no_columns": (np.empty((10, 0)), ValueError, "y is empty, its shape is (10, 0)"),
    "object": (square().astype(object), TypeError, "y must hold real numbers but has dtype object"),
    "complex": (square().astype(complex), TypeError, "y must hold real numbers but has dtype complex128"),
    "longdouble": (square().astype(np.longdouble), TypeError, "y must hold real numbers but has dtype "),
    "text": (np.full((10, 3), "a"), TypeError, "y must hold real numbers but has dtype <U1"),
    "dates": (np.zeros((10, 3), "M8[s]"), TypeError, "y must hold real numbers but has dtype datetime64[s]"),
    "structured": (np.zeros((10, 3), "f4,f4"), TypeError, "y must hold real numbers but has dtype "),
    "byte_order": (square().astype(">f8"), TypeError, "y must have native byte order but has dtype >f8"),
    "none": (None, TypeError, "y must be a two-dimensional array but is NoneType"),
    "string": ("rbf", TypeError, "y must be a two-dimensional array but is str"),
    "mapping": ({"a": 1}, TypeError, "y must be a two-dimensional array but is dict"),
    "masked": (np.ma.masked_array(square(), False), TypeError, "y is a masked array, "),
    "ragged": ([[1.0, 2.0], [3.0]], TypeError, "y must be a two-dimensional array but is list"),
}


@pytest.mark.parametrize("function", PAIR_FUNCTIONS)
@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_a_bad_array_is_refused_in_one_sentence(function, bad):
    y, error, sentence = BAD_PAIRS[bad]
    with pytest.raises(error, match=rf"^{function}: {re.escape(sentence)}[^\n]*$"):
        getattr(gramless, function)(square(), y)
    swapped = "x has 9 rows but y has 10" if bad == "rows" else "x" + sentence[1:]
    with pytest.raises(error, match=rf"^{function}: {re.escape(swapped)}[^\n]*$"):
        getattr(gramless, function)(y, square())


@pytest.mark.parametrize("function", PAIR_FUNCTIONS)
@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_a_bad_array_beside_a_tensor_is_refused_in_the_same_sentence(function, bad):
    torch = pytest.importorskip("torch")
    y, error, sentence = BAD_PAIRS[bad]
    with pytest.raises(error, match=rf"^{function}: {re.escape(sentence)}[^\n]*$"):
        getattr(gramless, function)(torch.from_numpy(square()), y)


@pytest.mark.parametrize("function", [*PAIR_FUNCTIONS, *MATRIX_FUNCTIONS])
@pytest.mark.parametrize(("estimator", "needed"), [("unbiased", 4), ("biased", 2)])
def test_too_few_rows_are_refused(function, estimator, needed):
    few = square(needed - 1)
    matrix = function in MATRIX_FUNCTIONS
    name = r"xs\[0\]" if matrix else "x"
    sentence = rf"the {estimator} estimator needs at least {needed} rows but {name} has {needed - 1}"
    with pytest.raises(ValueError, match=f"^{function}: {sentence}$"):
        getattr(gramless, function)(*([[few]] if matrix else [few, few]), estimator=estimator)
    enough = square(needed)
    getattr(gramless, function)(*([[enough]] if matrix else [enough, enough]), estimator=estimator)


@pytest.mark.parametrize("function", [*PAIR_FUNCTIONS, *MATRIX_FUNCTIONS])
def test_unknown_options_are_refused(function):
    inputs = [[square()]] if function in MATRIX_FUNCTIONS else [square(), square()]
    call = getattr(gramless, function)
    with pytest.raises(ValueError, match=rf'^{function}: kernel must be .*"rbf".* but is \'sigmoid\'$'):
        call(*inputs, kernel="sigmoid")
    with pytest.raises(TypeError, match=rf"^{function}: kernel must be .* but is 3$"):
        call(*inputs, kernel=3)
    with pytest.raises(ValueError, match=rf"^{function}: estimator must be .* but is 'best'$"):
        call(*inputs, estimator="best")
    with pytest.raises(ValueError, match=rf"^{function}: estimator must be .* but is None$"):
        call(*inputs, estimator=None)


def test_an_unknown_kernel_of_y_is_named():
    with pytest.raises(ValueError, match=r"^cka: kernel_y must be .* but is 'poly'$"):
        gramless.cka(square(), square(), kernel_y="poly")


@pytest.mark.parametrize("name", ["sigma", "scale"])
@pytest.mark.parametrize("value", [0, -1.5, float("nan"), float("inf")])
def test_bandwidths_that_are_not_positive_are_refused(name, value):
    with pytest.raises(
        ValueError, match=rf"^RBF: {name} must be positive and finite but is {float(value)!r}$"
    ):
        RBF(**{name: value})


def test_debiased_is_another_word_for_unbiased():
    x, y = square(), square() ** 2
    for module in (gramless, gramless.reference):
        for name in PAIR_FUNCTIONS:
            call = getattr(module, name)
            assert call(x, y, estimator="debiased") == call(x, y, estimator="unbiased")
        for name in MATRIX_FUNCTIONS:
            call = getattr(module, name)
            assert np.array_equal(call([x, y], estimator="debiased"), call([x, y]))


def test_median_distance_refuses_in_sentences():
    with pytest.raises(ValueError, match=r"^median_distance: at least 2 rows are needed but x has 1$"):
        gramless.median_distance(square(1))
    with pytest.raises(TypeError, match=r"^median_distance: x must hold real numbers but has dtype object$"):
        gramless.median_distance(square().astype(object))


def test_tensors_that_cannot_be_read_are_refused():
    torch = pytest.importorskip("torch")
    x = torch.randn(10, 3)
    for bad, sentence in [
        (x.to("meta"), "y is on meta but gramless reads"),
        (x.to(torch.complex64), "y must hold real numbers but has dtype torch.complex64"),
        (x.to_sparse(), "y must be a dense tensor but has layout torch.sparse_coo"),
    ]:
        with pytest.raises(TypeError, match=f"^hsic: {sentence}"):
            gramless.hsic(x, bad)
    negated = torch.imag(torch.view_as_complex(torch.randn(10, 3, 2)).conj())
    assert negated.is_neg()
    assert gramless.hsic(x, negated) == gramless.hsic(x, negated.resolve_neg())
    with pytest.raises(
        ValueError, match=r"^hsic: y must have 2 dimensions .* but has shape \(10,\); one feature is a column"
    ):
        gramless.hsic(x, x[:, 0])


@pytest.mark.parametrize("name", ["labels", "mask", "temperature"])
def test_what_stands_beside_a_tensor_is_read_only_where_its_memory_is(name):
    torch = pytest.importorskip("torch")
    z = torch.from_numpy(square())
    options = {"labels": torch.arange(10) // 2, "mask": torch.ones(10, 10), "temperature": torch.tensor(0.5)}
    given = options[name].clone()
    given.untyped_storage().resize_(0)
    others = {} if name != "temperature" else {"labels": options["labels"]}
    with pytest.raises(TypeError, match=f"^sup_con: {name} is a Tensor without storage, as in tracing"):
        gramless.sup_con(z, **{name: given}, **others)
    if name != "temperature":
        for far in (options[name].to("meta"), options[name].to_sparse()):
            with pytest.raises(TypeError, match=f"^sup_con: {name} (is on meta|must be a dense tensor)"):
                gramless.sup_con(z, **{name: far})
