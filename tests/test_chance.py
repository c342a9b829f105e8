"""Values by chance: moments by enumeration, p-values against the reference, levels of permutation tests."""

from __future__ import annotations

import itertools
import math
import sys

import gramless as gl
import numpy as np
import pytest
from gramless import RBF, Laplace, reference
from gramless._chance import holm
from gramless._dominant_rows import largest_share

EXACT = 1e-10  # relative error allowed in float64
PAIRS = [("linear", "linear"), ("linear", RBF(scale=0.7)), (Laplace(), "rbf")]
ESTIMATORS = ["unbiased", "biased"]
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


@pytest.fixture(autouse=True)
def _one_thread():  # layers are small, and there are many calls
    gl.set_num_threads(1)


def correlated(n, widths, seed=0, dtype=np.float64):
    """Layers with a common cause, related so weakly that no p-value is 0 or 1."""
    generator = np.random.default_rng(seed)
    cause = generator.standard_normal((n, 2))
    return [
        (cause @ generator.standard_normal((2, d)) * 0.6 + 2 * generator.standard_normal((n, d))).astype(
            dtype
        )
        for d in widths
    ]


@every_estimator
@pytest.mark.parametrize("kernels", PAIRS, ids=str)
def test_moments_are_those_of_all_orders_of_six_rows(kernels, estimator):
    x, y = correlated(6, [3, 2], seed=4)
    orders = map(list, itertools.permutations(range(6)))
    options = {"kernel": kernels[0], "kernel_y": kernels[1], "estimator": estimator}
    null = np.array([gl.cka(x, y[order], **options) for order in orders])
    grams = reference.gram(x, kernels[0]), reference.gram(y, kernels[1])
    mean, deviation = reference.permutation_moments(*grams, estimator)
    assert null.mean() == pytest.approx(mean, abs=1e-13)
    assert null.std() == pytest.approx(deviation, rel=1e-12)
    if estimator == "unbiased":
        assert (mean, deviation) == (0, math.sqrt(2 / (6 * 3)))


@every_estimator
@pytest.mark.parametrize("kernel", ["linear", RBF(scale=0.7), Laplace()], ids=str)
@pytest.mark.parametrize("n", [6, 30])
def test_z_and_pvalues_are_those_of_the_reference(n, kernel, estimator):
    xs, ys = correlated(n, [3, 40, 2], seed=1), correlated(n, [5, 8], seed=2)
    options = {"kernel": kernel, "estimator": estimator, "pvalue": "permutation", "rng": 3, "n_resamples": 60}
    for pair in ((xs, ys), (xs, None)):
        ours, expected = gl.layer_matrix(*pair, **options), reference.layer_matrix(*pair, **options)
        assert ours.matrix == pytest.approx(expected.matrix, rel=EXACT, abs=EXACT)
        assert ours.z == pytest.approx(expected.z, rel=EXACT, abs=1e-9)
        assert np.array_equal(ours.pvalue, expected.pvalue)
        assert np.array_equal(ours.pvalue_corrected, expected.pvalue_corrected)
        assert ours.settings["n_resamples"] == (720 if n == 6 else 60)


@pytest.mark.parametrize(
    ("method", "estimator"), [("chi2", "unbiased"), ("t", "unbiased"), ("gamma", "biased")]
)
def test_approximate_pvalues_are_those_of_scipy(method, estimator):
    pytest.importorskip("scipy")
    xs = correlated(50, [3, 40, 2])
    options = {"estimator": estimator, "pvalue": method}
    for pair in ((xs, correlated(50, [5, 8], seed=2)), (xs, None)):
        ours, expected = gl.layer_matrix(*pair, **options), reference.layer_matrix(*pair, **options)
        off = ~np.eye(len(xs), dtype=bool) if pair[1] is None else np.ones(ours.matrix.shape, bool)
        assert ours.pvalue[off] == pytest.approx(expected.pvalue[off], rel=1e-8)
        assert ours.pvalue_corrected[off] == pytest.approx(expected.pvalue_corrected[off], rel=1e-8)
        assert ours.settings["correction"] == "Holm"


def test_z_of_debiased_cka_is_its_value_in_exact_deviations():
    x, y = correlated(40, [3, 4])
    found = gl.layer_matrix([x], [y])
    assert found.z[0, 0] == pytest.approx(gl.cka(x, y) * math.sqrt(40 * 37 / 2), rel=EXACT)
    assert found.n == 40


def test_holm_is_that_of_its_definition():
    pvalue = np.array([[0.01, 0.04, np.nan], [0.03, 0.9, 0.011]])
    corrected = holm(pvalue, np.ones((2, 3), bool))
    assert corrected[[0, 0, 1, 1, 1], [0, 1, 0, 1, 2]] == pytest.approx([0.05, 0.09, 0.09, 0.9, 0.05])
    assert np.isnan(corrected[0, 2])


def test_auto_permutes_few_rows():
    for n, method in ((39, "permutation"), (40, "chi2")):
        assert gl.layer_matrix(correlated(n, [2, 3]), rng=0).settings["pvalue"] == method
    assert gl.layer_matrix(correlated(40, [2, 3]), estimator="biased").settings["pvalue"] == "gamma"


def dominated(n, dtype=np.float64, seed=0):
    layers = [x.astype(dtype) for x in correlated(n, [2, 3], seed)]
    for row, x in enumerate(layers):
        x[row] *= 100
    return layers


def test_auto_permutes_where_single_rows_decide_on_both_sides():
    xs, ys = dominated(60) * 4, dominated(60, seed=1) * 4
    plain = correlated(60, [2, 3]) * 4
    for dtype in (np.float64, np.float32, np.int64):
        pair = [[np.round(x).astype(dtype) for x in side] for side in (xs, ys)]
        assert gl.layer_matrix(*pair, rng=0).settings["pvalue"] == "permutation"
        moved = [[x + 10_000 for x in side] for side in pair]
        assert gl.layer_matrix(*moved, rng=0).settings["pvalue"] == "permutation"
    for pair, options in [
        ((xs, plain), {}), ((plain, ys), {}), ((xs, ys), {"kernel": "rbf"}), ((xs[:2], ys[:2]), {}),
    ]:  # fmt: skip
        assert gl.layer_matrix(*pair, **options).settings["pvalue"] == "chi2"
    assert gl.layer_matrix(xs, ys, rng=0, estimator="biased").settings["pvalue"] == "permutation"
    assert gl.layer_matrix(xs, ys, pvalue="chi2").settings["pvalue"] == "chi2"
    few_cells, many_rows = dominated(90), [np.tile(x, (20, 1)) for x in xs]
    assert gl.layer_matrix(few_cells, few_cells).settings["pvalue"] == "chi2"
    assert gl.layer_matrix(many_rows, many_rows).settings["pvalue"] == "chi2"


@pytest.mark.parametrize("unit", [1e-200, 1e-30, 1.0, 1e200])
def test_the_unit_of_rows_does_not_decide_who_decides(unit):
    rows = dominated(60)[0]
    centred = rows - rows.mean(0)
    expected = (centred**2).sum(1).max() / (centred**2).sum()
    assert largest_share(rows * unit) == pytest.approx(expected, rel=1e-9)
    assert largest_share((rows + 1e5) * unit) == pytest.approx(expected, rel=1e-9)
    for none in (np.ones((9, 2)), np.full((9, 2), np.nan), np.where(np.abs(rows) > 100, np.inf, rows)):
        assert largest_share(none * unit) <= 1 / 9


def test_the_rows_of_one_batch_do_not_show(monkeypatch):
    layers = correlated(20, [3, 40])
    expected = gl.layer_matrix(layers, pvalue="permutation", rng=0)
    monkeypatch.setattr(sys.modules["gramless._permutations"], "LAYERS_AT_ONCE", 6)
    monkeypatch.setattr(sys.modules["gramless._permutations"], "COPIED_BYTES", 1)
    found = gl.layer_matrix(layers, pvalue="permutation", rng=0)
    assert np.array_equal(found.pvalue, expected.pvalue)


def test_units_change_no_pvalue():
    layers = correlated(25, [3, 5], seed=3)
    moved = [layers[0] * 1e150, layers[1] * 1e-150 + 1e-149]
    for estimator in ESTIMATORS:
        options = {"estimator": estimator, "pvalue": "permutation", "rng": 0, "kernel": "rbf"}
        found, expected = gl.layer_matrix(moved, **options), gl.layer_matrix(layers, **options)
        assert found.z == pytest.approx(expected.z, rel=1e-8)
        assert np.array_equal(found.pvalue, expected.pvalue)


@pytest.mark.parametrize("pvalue", ["chi2", "permutation"])
def test_a_layer_without_cka_has_no_pvalue(pvalue):
    x, y = correlated(20, [3, 4])
    with pytest.warns(RuntimeWarning, match=r"^layer_matrix: not defined, .*\(xs\['flat'\]: its rows"):
        found = gl.layer_matrix({"a": x, "flat": np.ones((20, 2)), "b": y}, pvalue=pvalue, rng=0)
    nan = np.isnan(found.matrix)
    assert nan.sum() == 5
    for values in (found.z, found.pvalue, found.pvalue_corrected):
        assert np.array_equal(np.isnan(values), nan)
    assert not found.within_chance()[nan].any()
    assert found.settings["cells"] == 1


def test_nan_in_the_data_is_in_the_pvalues():
    x, y = correlated(20, [3, 4])
    x[3, 1] = np.nan
    found = gl.layer_matrix([x], [y], pvalue="permutation", rng=0)
    assert np.isnan([found.matrix, found.z, found.pvalue, found.pvalue_corrected]).all()


def test_tensors_and_float32_have_the_same_pvalues():
    torch = pytest.importorskip("torch")
    layers = [np.round(4 * x) for x in correlated(20, [3, 4])]
    expected = gl.layer_matrix(layers, pvalue="permutation", rng=0)
    tensors = [torch.from_numpy(x).requires_grad_() for x in layers]
    narrow = [x.astype(np.float32) for x in layers]
    half = [torch.from_numpy(x).bfloat16() for x in layers]
    for other in (tensors, narrow, half):
        found = gl.layer_matrix(other, pvalue="permutation", rng=0)
        assert type(found.matrix) is np.ndarray
        assert np.array_equal(found.pvalue, expected.pvalue)
        assert found.matrix == pytest.approx(expected.matrix, rel=2e-5)


def test_what_permutations_cost_is_told_before_they_start(monkeypatch):
    from gramless import _permutations

    told = []
    monkeypatch.setattr(_permutations, "reporter", lambda function, progress, text: told.append(text))
    gl.layer_matrix(correlated(20, [3, 4]), pvalue="permutation", rng=0, progress=True)
    assert len(told) == 1
    assert told[0].startswith("199 permutations, about 0.")
    assert told[0].endswith(" s")


def test_progress_rises_to_the_end():
    seen = []
    options = {"pvalue": "permutation", "rng": 0, "n_resamples": 100}
    gl.layer_matrix(
        correlated(20, [3, 4]), progress=lambda done, total: seen.append((done, total)), **options
    )
    of_permutations = [done for done, total in seen if total == 100]
    assert of_permutations == sorted(of_permutations)
    assert of_permutations[-1] == 100


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (
            {"pvalue": "exact"},
            ValueError,
            'pvalue must be "auto", "chi2", "t", "gamma", "permutation" or None',
        ),
        (
            {"pvalue": "gamma"},
            ValueError,
            "pvalue='gamma' is not defined for the unbiased estimator; take 'chi2'",
        ),
        ({"pvalue": "t", "estimator": "biased"}, ValueError, "pvalue='t' is not defined for the biased"),
        ({"n_resamples": 0}, ValueError, "n_resamples must be at least 1 but is 0"),
        ({"n_resamples": 2.5}, TypeError, "n_resamples must be an int but is 2.5"),
        ({"rng": -1}, ValueError, "rng must be None, an int of at least 0 or a numpy Generator but is -1"),
    ],
)
def test_bad_options_are_one_sentence(options, error, sentence):
    with pytest.raises(error) as caught:
        gl.layer_matrix(correlated(10, [2, 3]), **options)
    assert str(caught.value).startswith(f"layer_matrix: {sentence}")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_without_scipy(monkeypatch, estimator):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    layers = correlated(50, [2, 3])
    method = "gamma" if estimator == "biased" else "t"
    with pytest.raises(ImportError, match=r"^layer_matrix: pvalue=.* needs scipy; .*pip install scipy"):
        gl.layer_matrix(layers, pvalue=method, estimator=estimator)
    found = gl.layer_matrix(layers, estimator=estimator)
    assert found.settings.get("pvalue") == ("chi2" if estimator == "unbiased" else None)
    assert found.z is not None


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fewer_than_four_rows_have_no_chance(estimator):
    layers = correlated(3, [2, 3])
    if estimator == "unbiased":
        with pytest.raises(ValueError, match="needs at least 4 rows"):
            gl.layer_matrix(layers)
        return
    found = gl.layer_matrix(layers, estimator="biased")
    assert np.isnan(found.z).all()
    assert found.pvalue is None
    with pytest.raises(ValueError, match=r"^LayerMatrix.within_chance: there are no p-values"):
        found.within_chance()


DATA = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "Cauchy": lambda generator, shape: generator.standard_cauchy(shape),
    "lognormal": lambda generator, shape: generator.lognormal(size=shape),
}


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("n", "kernel"), [(20, "linear"), (20, "rbf"), (60, "linear"), (200, "linear")])
def test_permutations_keep_their_level(n, kernel, data):
    """Of one cell and of the largest of six: 2,000 repetitions with a fixed seed, 0.05 +- 0.015."""
    generator, rejected = np.random.default_rng(n), np.zeros(2)
    for _ in range(2000):
        layers = [DATA[data](generator, (n, 2)) for _ in range(5)]
        options = {"kernel": kernel, "pvalue": "permutation", "rng": generator}
        found = gl.layer_matrix(layers[:2], layers[2:], **options)
        rejected += found.pvalue[0, 0] <= 0.05, (found.pvalue_corrected <= 0.05).any()
    assert np.abs(rejected / 2000 - 0.05).max() <= 0.015
