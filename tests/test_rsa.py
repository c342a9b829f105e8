"""rsa and rsa_matrix: scipy's pdist, the reference, accuracy, layouts and bad input."""

from __future__ import annotations

import math

import gramless as gl
import numpy as np
import pytest
from core_values import hsic_values
from gramless import Linear, reference, rsa, rsa_matrix
from tolerance import assert_as_accurate

ORACLE = {  # of the pair of tests/test_oracle.py, by scipy's pdist
    ("sqeuclidean", "pearson"): 0.5062321116301346,
    ("sqeuclidean", "cosine"): 0.9277705489524423,
    ("cosine", "pearson"): 0.493616188062738,
    ("cosine", "cosine"): 0.9540871579698444,
    ("correlation", "pearson"): 0.4851461427711321,
    ("correlation", "cosine"): 0.9485748279789333,
}
TOLERANCE = {"float64": 1e-10, "float32": 1e-6}

every_metric = pytest.mark.parametrize("metric", sorted({metric for metric, _ in ORACLE}))
every_comparison = pytest.mark.parametrize("comparison", ["pearson", "cosine"])
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def pair(n=60, p=7, q=5, seed=0):
    """Rows of two correlated representations, far from 0."""
    generator = np.random.default_rng(seed)
    shared = generator.standard_normal((n, 3))
    sides = (
        np.hstack([shared, shared])[:, :d] if d <= 6 else np.repeat(shared, -(-d // 3), 1)[:, :d]
        for d in (p, q)
    )
    return tuple(side + generator.standard_normal(side.shape) + 2 for side in sides)


def by_pdist(x, y, metric, comparison):
    distance = pytest.importorskip("scipy.spatial.distance")
    d, e = (distance.pdist(np.asarray(a, np.float64), metric) for a in (x, y))
    if comparison == "pearson":
        d, e = d - d.mean(), e - e.mean()
    return float(d @ e / math.sqrt((d @ d) * (e @ e)))


@pytest.mark.parametrize(("metric", "comparison"), ORACLE)
@every_dtype
def test_oracle_values(backend, metric, comparison, dtype):
    generator = np.random.RandomState(1337)
    x = generator.randn(100, 10)
    y = generator.randn(100, 10) + x
    value = rsa(x.astype(dtype), y.astype(dtype), metric=metric, comparison=comparison)
    assert value == pytest.approx(ORACLE[metric, comparison], abs=TOLERANCE[dtype])
    assert type(value) is float


@every_metric
@every_comparison
@every_dtype
@pytest.mark.parametrize(
    "shape",
    [(3, 2, 4), (4, 1, 1), (33, 200, 3), (60, 7, 5), (400, 20, 500), (400, 300, 270), (80, 65_536, 64)],
)
def test_it_is_what_pdist_gives(metric, comparison, dtype, shape):
    if metric != "sqeuclidean" and 1 in shape[1:]:
        pytest.skip("rows of one number have no angle between them")
    x, y = (side.astype(dtype) for side in pair(*shape))
    value = rsa(x, y, metric=metric, comparison=comparison)
    assert value == pytest.approx(by_pdist(x, y, metric, comparison), abs=TOLERANCE[dtype])
    if shape[1] < 1000:
        expected = reference.rsa(x, y, metric=metric, comparison=comparison)
        assert value == pytest.approx(expected, abs=TOLERANCE[dtype])


@every_metric
@every_comparison
def test_a_matrix_has_all_pairs(metric, comparison):
    layers = [*pair(50, 7, 40), *pair(50, 90, 3, seed=1)]
    options = {"metric": metric, "comparison": comparison}
    expected = reference.rsa_matrix(layers, **options)
    np.testing.assert_allclose(rsa_matrix(layers, **options), expected, atol=1e-12)
    np.testing.assert_allclose(rsa_matrix(layers[:1], layers[1:], **options), expected[:1, 1:], atol=1e-12)
    one_by_one = [[rsa(x, y, **options) for y in layers] for x in layers]
    np.testing.assert_allclose(rsa_matrix(layers, **options), one_by_one, atol=1e-12)


@every_metric
@every_comparison
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_float32_is_as_accurate_as_the_plain_formula(metric, comparison, offset):
    ours, naive, truth = [], [], []
    for seed in range(5):
        x, y = ((a + offset).astype(np.float32) for a in pair(200, 30, 16, seed))
        ours.append(rsa(x, y, metric=metric, comparison=comparison))
        naive.append(plain(x, y, metric, comparison))
        truth.append(by_pdist(x, y, metric, comparison))
    assert_as_accurate(ours, naive, truth, np.float32)


def plain(x, y, metric, comparison):
    """Naive code in the dtype of the data."""

    def distances(rows):
        if metric == "correlation":
            rows = rows - rows.mean(1, keepdims=True)
        if metric != "sqeuclidean":
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        squares = np.sum(rows**2, 1)
        return (squares[:, None] + squares - 2 * rows @ rows.T)[np.triu_indices(len(rows), 1)]

    d, e = distances(x), distances(y)
    if comparison == "pearson":
        d, e = d - d.mean(), e - e.mean()
    return float(d @ e / np.sqrt((d @ d) * (e @ e)))


@every_comparison
@pytest.mark.parametrize("far", [1e2, 1e4, 1e6])
@every_dtype
def test_a_row_far_from_the_others_costs_no_digits(comparison, far, dtype):
    x, y = (side.astype(dtype) for side in pair(120, 10, 12))
    x[3] *= far
    assert rsa(x, y, comparison=comparison) == pytest.approx(
        by_pdist(x, y, "sqeuclidean", comparison), abs=TOLERANCE[dtype]
    )


@every_dtype
@pytest.mark.parametrize("estimator", ["rsa_pearson", "rsa_cosine"])
def test_either_space_gives_the_same(backend, dtype, estimator):
    x, y = (side.astype(dtype) for side in pair(90, 30, 40))
    kernels = [Linear()]
    found = [
        hsic_values([x], [y], kernels, kernels, estimator, space=space) for space in ("gram", "features")
    ]
    for name in ("xy", "xx", "yy"):
        a, b = (np.ravel(getattr(values, name))[0] for values in found)
        assert a == pytest.approx(b, rel=10 * TOLERANCE[dtype])


def test_the_covariance_is_that_of_half_the_distances():
    x, y = pair()
    d, e = (reference.rsa.__globals__["distances"](a, "sqeuclidean") / 2 for a in (x, y))
    values = hsic_values([x], [y], [Linear()], [Linear()], "rsa_pearson", space="gram")
    assert np.ravel(values.xy)[0] == pytest.approx(np.mean((d - d.mean()) * (e - e.mean())), rel=1e-12)
    values = hsic_values([x], [y], [Linear()], [Linear()], "rsa_cosine", space="gram")
    assert np.ravel(values.xy)[0] == pytest.approx(np.mean(d * e), rel=1e-12)


def test_zero_rows_have_no_cosine_and_large_ones_do():
    x, y = pair()
    for unit in (1e200, 1e-200):
        assert rsa(x * unit, y, metric="cosine") == pytest.approx(rsa(x, y, metric="cosine"), rel=1e-12)
    x[3] = 0
    assert math.isnan(rsa(x, y, metric="cosine"))
    x[3] = 7
    assert math.isnan(rsa(x, y, metric="correlation"))


def layouts(x):
    wide = np.empty((len(x), 3 * x.shape[1]), x.dtype)
    wide[:, ::3] = x
    yield "Fortran", np.asfortranarray(x)
    yield "rows backwards", x[::-1].copy()[::-1]
    yield "every third column", wide[:, ::3]
    read_only = x.copy()
    read_only.flags.writeable = False
    yield "read only", read_only


@every_metric
@every_dtype
@pytest.mark.parametrize("shape", [(300, 20, 9), (40, 100, 90)])
def test_layout_and_threads_change_no_bit(backend, metric, dtype, shape):
    x, y = (side.astype(dtype) for side in pair(*shape))
    gl.set_num_threads(1)
    expected = gl.value_and_grad(rsa)(x, y, metric=metric)
    gl.set_num_threads(3)
    for name, other in [("itself", x), *layouts(x)]:
        value, grads = gl.value_and_grad(rsa)(other, y, metric=metric)
        assert value == expected[0], name
        for ours, theirs in zip(grads, expected[1], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@every_metric
@every_comparison
def test_numbers_of_other_dtypes_are_read_as_they_are(metric, comparison):
    x, y = (np.round(4 * side) for side in pair())
    expected = by_pdist(x, y, metric, comparison)
    options = {"metric": metric, "comparison": comparison}
    for dtype in (np.float16, np.int8, np.int16, np.int64):
        assert rsa(x.astype(dtype), y.astype(dtype), **options) == pytest.approx(expected, abs=1e-6)
    torch = pytest.importorskip("torch")
    a, b = (torch.from_numpy(side).bfloat16() for side in (x, y))
    found = rsa(a.requires_grad_(), b, **options)
    assert found.item() == pytest.approx(expected, abs=1e-6)
    found.backward()
    assert a.grad.dtype is torch.bfloat16


@every_comparison
@pytest.mark.parametrize("unit", [1e200, 1e-200])
def test_units_play_no_part(comparison, unit):
    x, y = pair()
    assert rsa(x * unit, y, comparison=comparison) == pytest.approx(
        rsa(x, y, comparison=comparison), rel=1e-12
    )


def test_what_cannot_vary_is_nan_with_one_warning():
    x, y = pair(12, 3, 4)
    for constant in (np.ones((12, 3)), np.eye(12)):
        with pytest.warns(
            RuntimeWarning, match=r"^rsa: not defined, because distances do not vary \(x\)"
        ) as caught:
            assert math.isnan(rsa(constant, y))
        assert len(caught) == 1
        assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"^rsa_matrix: not defined, .* \(xs\[1\]\)$"):
        found = rsa_matrix([x, np.ones((12, 3))])
    assert np.isnan(found).tolist() == [[False, True], [True, True]]
    x[0, 0] = np.nan
    assert math.isnan(rsa(x, y))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metric": "euclidean"}, 'metric must be "sqeuclidean", "cosine" or "correlation" but is'),
        ({"metric": None}, 'metric must be "sqeuclidean", "cosine" or "correlation" but is'),
        ({"comparison": "corr"}, 'comparison must be "pearson" or "cosine" but is \'corr\''),
        (
            {"comparison": "spearman"},
            "comparison 'spearman' needs the ranks of all distances, which are not stored",
        ),
        (
            {"comparison": "kendall"},
            "comparison 'kendall' needs the ranks of all distances, which are not stored",
        ),
    ],
)
def test_bad_options_are_one_sentence(options, sentence):
    x, y = pair()
    for function, arrays in ((rsa, (x, y)), (rsa_matrix, ([x, y],))):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            function(*arrays, **options)
        assert str(error.value).startswith(f"{function.__name__}: {sentence}")
        assert "\n" not in str(error.value)


def test_bad_arrays_are_one_sentence():
    x, y = pair()
    with pytest.raises(ValueError, match=r"^rsa: x has 60 rows but y has 59$"):
        rsa(x, y[1:])
    with pytest.raises(ValueError, match=r"^rsa: at least 3 rows are needed but x has 2$"):
        rsa(x[:2], y[:2])
    with pytest.raises(ValueError, match=r"^rsa_matrix: at least 3 rows are needed but xs\[0\] has 2$"):
        rsa_matrix([x[:2]])
    with pytest.raises(TypeError, match=r"^rsa_matrix: xs must be a sequence of arrays but is dict; pass"):
        rsa_matrix({"a": x})
