"""Uniformity, alignment, participation ratio and Vendi score: definitions, ranges, layouts and bad input."""

from __future__ import annotations

import math

import gramless as gl
import numpy as np
import pytest
from gramless import RBF, Cosine, Distance, Laplace, reference
from layouts import NUMPY_LAYOUTS
from tolerance import assert_as_accurate

CALLS = {  # of rows x and their positives y
    "uniformity": lambda module, x, y: module.uniformity(x),
    "uniformity t": lambda module, x, y: module.uniformity(x, 0.3),
    "uniformity as given": lambda module, x, y: module.uniformity(x, 0.1, normalize=False),
    "alignment": lambda module, x, y: module.alignment(x, y),
    "alignment alpha": lambda module, x, y: module.alignment(x, y, 0.7),
    "alignment as given": lambda module, x, y: module.alignment(x, y, 1.0, normalize=False),
    "participation_ratio": lambda module, x, y: module.participation_ratio(x),
    "vendi cosine": lambda module, x, y: module.vendi_score(x),
    "vendi rbf": lambda module, x, y: module.vendi_score(x, kernel="rbf"),
    "vendi sigma": lambda module, x, y: module.vendi_score(x, kernel=RBF(sigma=2.0)),
    "vendi laplace": lambda module, x, y: module.vendi_score(x, kernel=Laplace(scale=0.5)),
}
ORACLE = {  # of the pair of tests/test_oracle.py, by numpy from all pairs
    "uniformity": -3.271552822323409,
    "uniformity t": -0.5852994479916721,
    "uniformity as given": -1.6757799252992318,
    "alignment": 0.5879159162860675,
    "alignment alpha": 0.8082683244426623,
    "alignment as given": 3.0396199220191273,
    "participation_ratio": 9.150791356338448,
    "vendi cosine": 9.247248663452531,
    "vendi rbf": 2.594814037531662,
    "vendi sigma": 25.461351488547816,
    "vendi laplace": 28.72177317565907,
}
OF_DIRECTIONS = ("uniformity", "uniformity t", "alignment", "alignment alpha", "vendi cosine")
OF_UNITLESS = (*OF_DIRECTIONS, "participation_ratio", "vendi rbf", "vendi laplace")
OF_DISTANCES = ("uniformity as given", "alignment as given", "vendi rbf", "vendi sigma", "vendi laplace")

every_call = pytest.mark.parametrize("call", CALLS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def pair(n=60, d=7, seed=0, dtype="float64"):
    """Rows about a common direction, of which some are near each other, and positives."""
    x, noise = np.random.default_rng(seed).standard_normal((2, n, d))
    x = x / np.sqrt(1 + np.arange(d)) + 0.3
    return x.astype(dtype), (x + 0.2 * noise).astype(dtype)


@every_call
@every_dtype
def test_oracle_values(call, dtype):
    generator = np.random.RandomState(1337)
    x = generator.randn(100, 10)
    y = generator.randn(100, 10) + x
    assert CALLS[call](reference, x, y) == pytest.approx(ORACLE[call], rel=1e-12)
    value = CALLS[call](gl, x.astype(dtype), y.astype(dtype))
    assert value == pytest.approx(ORACLE[call], rel={"float64": 1e-10, "float32": 1e-6}[dtype])
    assert type(value) is float


# Around 24, 48, 192 and 384 rows of tiles and 192 columns of panels, fewer and more features than rows.
@every_dtype
@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (25, 200), (49, 193), (97, 7)])
def test_they_are_their_definitions(backend, shape, dtype):
    x, y = pair(*shape, dtype=dtype)
    for call in CALLS.values():
        expected = call(reference, x, y)
        assert call(gl, x, y) == pytest.approx(expected, rel=1e-11 if dtype == "float64" else 2e-6, abs=1e-15)


@every_dtype
def test_many_tiles(backend, dtype):
    x, _ = pair(400, 40, dtype=dtype)
    for call in ("uniformity", "uniformity as given", "participation_ratio"):
        expected = CALLS[call](reference, x, x)
        assert CALLS[call](gl, x, x) == pytest.approx(expected, rel=1e-11 if dtype == "float64" else 2e-6)


def test_vendi_score_of_order_2_is_that_of_eigenvalues():
    x, _ = pair(40, 6)
    for kernel in (Cosine(), RBF(), RBF(sigma=0.5), RBF(scale=0.3, include_diagonal=True), Laplace(sigma=2)):
        eigenvalues = np.linalg.eigvalsh(reference.gram(x, kernel) / 40)
        assert gl.vendi_score(x, kernel=kernel) == pytest.approx(1 / np.sum(eigenvalues**2), rel=1e-11)


@every_call
def test_float32_is_as_accurate_as_the_plain_formula(call):
    ours, naive, truth = [], [], []
    for seed in range(3):
        x, y = pair(100, 20, seed, "float32")
        ours.append(CALLS[call](gl, x, y))
        naive.append(plain(call, x, y))
        truth.append(CALLS[call](reference, x, y))
    assert_as_accurate(np.divide(ours, truth), np.divide(naive, truth), np.ones(3), np.float32)


def plain(call, x, y):
    """Naive code in the dtype of the data."""
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y)]
    if call.startswith("alignment"):
        a, b = (x, y) if "given" in call else units
        return np.mean(np.linalg.norm(a - b, axis=1) ** {"": 2, " alpha": 0.7, " as given": 1}[call[9:]])
    if call == "participation_ratio":
        covariance = np.cov(x.T, dtype=x.dtype)
        return np.trace(covariance) ** 2 / np.sum(covariance**2)
    if call == "vendi cosine":
        return len(x) ** 2 / np.sum((units[0] @ units[0].T) ** 2)
    rows = units[0] if call in ("uniformity", "uniformity t") else x
    distance2 = np.sum((rows[:, None] - rows) ** 2, axis=2)
    above = distance2[np.triu_indices(len(x), 1)]
    if call.startswith("uniformity"):
        t = {"": 2, " t": 0.3, " as given": 0.1}[call[10:]]
        return np.log(np.mean(np.exp(-np.float32(t) * above)))
    median = np.median(above)
    if call == "vendi laplace":
        k = np.exp(-np.sqrt(distance2 / median) / np.float32(0.5))
    else:
        k = np.exp(-distance2 / (2 * (median if call == "vendi rbf" else np.float32(4))))
    return len(x) ** 2 / np.sum(k**2)


@every_dtype
@pytest.mark.parametrize("call", OF_UNITLESS)
def test_the_unit_of_the_data_plays_no_part(call, dtype):
    x, y = pair(50, 6, dtype=dtype)
    expected = CALLS[call](gl, x, y)
    for exponent in (-100, 100) if dtype == "float32" else (-900, -100, 100, 900):  # exact
        scaled = [side * np.asarray(2.0**exponent, dtype) for side in (x, y)]
        assert CALLS[call](gl, *scaled) == pytest.approx(expected, rel=1e-12)


@every_dtype
@pytest.mark.parametrize("call", [*OF_DISTANCES, "participation_ratio"])
def test_an_offset_costs_no_digits(call, dtype):
    x, y = pair(50, 6)
    step = 2.0**-9 if dtype == "float32" else 2.0**-30
    x, y = (np.round(side / step) * step for side in (x, y))  # which an offset of 1024 does not round
    expected = CALLS[call](reference, x, y)
    moved = [(side + 1024).astype(dtype) for side in (x, y)]
    assert CALLS[call](gl, *moved) == pytest.approx(expected, rel=2e-6 if dtype == "float32" else 1e-11)


@every_dtype
def test_rows_of_a_few_kinds(dtype):
    kinds = np.eye(5, dtype=dtype) * np.array([[1], [2], [3], [4], [5]], dtype)
    for times in (1, 13, 100):
        x = np.repeat(kinds, times, axis=0)
        n = len(x)
        assert gl.vendi_score(x) == pytest.approx(5, rel=1e-6)
        assert gl.vendi_score(x, kernel=RBF(sigma=0.05)) == pytest.approx(5, rel=1e-6)
        same = (times - 1) / (n - 1)
        expected = math.log(same + (1 - same) * math.exp(-4))
        assert gl.uniformity(x) == pytest.approx(expected, abs=1e-6)
        assert gl.alignment(x, 3 * x) < 1e-12
        assert gl.participation_ratio(x / np.abs(x).max(1, keepdims=True)) == pytest.approx(4, rel=1e-6)


@every_dtype
@pytest.mark.parametrize("value", [0.0, 1.0, -3e-20, 7e20])
def test_equal_rows(dtype, value):
    x = np.full((40, 3), value, dtype)
    assert gl.uniformity(x) == gl.uniformity(x, normalize=False) == 0
    assert gl.alignment(x, x) == gl.alignment(x, x, normalize=False) == 0
    with pytest.warns(RuntimeWarning, match="^participation_ratio: not defined, because the rows of x are"):
        assert math.isnan(gl.participation_ratio(x))
    for kernel in ("rbf", "laplace", RBF(sigma=1.0)):
        assert gl.vendi_score(x, kernel=kernel) == 1
    cosine = gl.vendi_score(x)
    assert cosine == pytest.approx(1, rel=1e-12) if value else math.isnan(cosine)


def test_rows_of_zeros_stay_zeros():
    x = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    assert gl.uniformity(x) == pytest.approx(math.log((2 * math.exp(-2) + math.exp(-4)) / 3), rel=1e-12)
    assert gl.alignment(x, x[[1, 0, 2]]) == pytest.approx(2 / 3, rel=1e-12)
    assert gl.vendi_score(x) == pytest.approx(9 / 2, rel=1e-12)
    assert np.array_equal(gl.value_and_grad(gl.vendi_score)(x)[1][0][0], [0, 0])


def test_values_out_of_the_range_of_float32_and_of_float64():
    x, y = pair(50, 6, dtype="float32")
    for t in (60.0, 170.0):  # values of 2^-100 and less
        assert gl.uniformity(np.eye(6, dtype="float32"), t) == pytest.approx(-2 * t, rel=1e-6)
        assert gl.uniformity(np.eye(6), t) == pytest.approx(-2 * t, rel=1e-12)
    assert gl.uniformity(np.eye(6), 1e3) == -math.inf
    assert gl.uniformity(x, 1e-30) == 0
    assert gl.uniformity(1e30 * x, normalize=False) == -math.inf
    assert gl.uniformity(1e-30 * x, normalize=False) == 0
    assert gl.alignment(1e30 * x, 1e30 * y, normalize=False) == pytest.approx(
        1e60 * reference.alignment(x, y, normalize=False), rel=1e-6
    )
    for kernel in (RBF(sigma=1e-3), Laplace(sigma=1e-5)):
        assert gl.vendi_score(x, kernel=kernel) == pytest.approx(50, rel=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@every_call
def test_what_is_not_finite_propagates(call, value):
    x, y = pair(40, 5)
    x[7, 2] = value
    found = CALLS[call](gl, x, y)
    assert math.isnan(found) or (call == "alignment as given" and found == value)


@every_call
def test_layouts_dtypes_and_threads(call):
    x, y = (np.round(4 * side) for side in pair(50, 6))
    expected = CALLS[call](gl, x, y)
    for layout in NUMPY_LAYOUTS:
        assert CALLS[call](gl, layout(x), layout(y)) == expected
    for dtype in ("float16", "int8", "int32"):
        assert CALLS[call](gl, x.astype(dtype), y.astype(dtype)) == pytest.approx(expected, rel=2e-6)
    many = pair(800, 6, dtype="float32")
    found = set()
    for threads in (1, 2, 3):
        gl.set_num_threads(threads)
        found.add(CALLS[call](gl, *many))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda x: gl.uniformity(x[:1]), ValueError, "uniformity: at least 2 rows are needed but x has 1"),
        (lambda x: gl.uniformity(x, 0), ValueError, "uniformity: t must be positive and finite but is 0.0"),
        (lambda x: gl.uniformity(x, math.inf), ValueError, "uniformity: t must be positive and finite"),
        (lambda x: gl.alignment(x, x, "2"), TypeError, "alignment: alpha must be a number but is '2'"),
        (lambda x: gl.alignment(x, x, -1), ValueError, "alignment: alpha must be positive and finite but is"),
        (lambda x: gl.alignment(x, x[1:]), ValueError, "alignment: x has 9 rows but y has 8"),
        (lambda x: gl.alignment(x, x[:, 1:]), ValueError, "alignment: x has 3 columns but y has 2"),
        (lambda x: gl.participation_ratio(x[:1]), ValueError, "participation_ratio: at least 2 rows are"),
        (lambda x: gl.vendi_score(x[:1]), ValueError, "vendi_score: at least 2 rows are needed but x has 1"),
        (lambda x: gl.vendi_score(x, q=1), ValueError, "vendi_score: q must be 2 but is 1.0; other orders"),
        (lambda x: gl.vendi_score(x, q=None), TypeError, "vendi_score: q must be a number but is None"),
        (
            lambda x: gl.vendi_score(x, kernel="linear"),
            ValueError,
            "vendi_score: kernel must be 1 for equal rows, such as RBF(...), Laplace(...) or Cosine(), but "
            "is Linear()",
        ),
        (lambda x: gl.vendi_score(x, kernel=Distance()), ValueError, "vendi_score: kernel must be 1"),
        (lambda x: gl.vendi_score(x, kernel="sigmoid"), ValueError, "vendi_score: kernel must be Linear()"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_in_one_sentence(wrong, error, said):
    with pytest.raises(error) as raised:
        wrong(pair(9, 3)[0])
    assert str(raised.value).startswith(said)
