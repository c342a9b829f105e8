"""If over half of the distances are 0 up to rounding, the median is that of the others, with a warning."""

from __future__ import annotations

import math
import warnings

import gramless
import numpy as np
import pytest
from gramless import RBF, MinibatchCKA, reference
from gramless.analysis import cka_interval

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
either_diagonal = pytest.mark.parametrize("include_diagonal", [False, True])
SENTENCE = (
    "more than half of the distances between rows are 0 up to rounding in {}; "
    "the median is that of the other distances"
)
EXACT = {np.float32: 1e-5, np.float64: 1e-12}


def mostly_equal(dtype, offset=3.0, close=1e-4):
    """150 equal rows, 50 others, and one of those a second time `close` by: 55 % of the distances are 0."""
    x = np.random.default_rng(0).standard_normal((200, 32))
    x[:150] = offset
    x[150] = x[151] + close / math.sqrt(32)
    return x.astype(dtype)


def median_of_others(x):
    x = x.astype(np.float64)
    distances = np.sqrt(np.sum((x[:, None] - x) ** 2, axis=-1))
    return np.median(distances[distances > 1e-3])


@every_dtype
@either_diagonal
def test_the_median_is_that_of_the_other_distances(backend, dtype, include_diagonal):
    x = mostly_equal(dtype)
    with pytest.warns(RuntimeWarning) as caught:
        found = gramless.median_distance(x, include_diagonal=include_diagonal)
    assert found == pytest.approx(median_of_others(x), rel=EXACT[dtype])
    assert [str(warning.message) for warning in caught] == [
        f"median_distance: {SENTENCE.format('x (56.2 %)')}"
    ]
    assert caught[0].filename == __file__
    with pytest.warns(RuntimeWarning, match=r"^median_distance: more than half .* \(56\.2 %\)"):
        expected = reference.median_distance(x, include_diagonal=include_diagonal)
    assert found == pytest.approx(expected, rel=EXACT[dtype])


@every_dtype
def test_one_close_pair_among_equal_rows_is_not_the_median(dtype):
    """The smallest distance above 0 would be 1e-4, and the median of all that are not exactly 0 is noise."""
    x = np.zeros((200, 64))
    x[150:] = np.random.default_rng(0).standard_normal((50, 64))
    x[150] = x[151]
    x[150, 0] += 1e-4
    with pytest.warns(RuntimeWarning, match="more than half"):
        assert gramless.median_distance(x.astype(dtype)) == pytest.approx(8.1, abs=0.05)


@every_dtype
@pytest.mark.parametrize("moved", [0, 9], ids=["the centre is the cluster", "the cluster is off the centre"])
@pytest.mark.parametrize("offset", [3.0, -1e3])
def test_a_pair_within_rounding_does_not_count(backend, dtype, moved, offset):
    """Clusters: differences of a few roundings are not differences of the data."""
    x = mostly_equal(np.float64, offset)
    x[150:] += offset - moved
    x = x.astype(dtype)
    expected = median_of_others(x)
    rounding = np.finfo(dtype).eps
    x[:150] *= dtype(1) + rounding * np.random.default_rng(1).integers(0, 4, (150, 32)).astype(dtype)
    assert np.ptp(x[:150]) > 0
    modules = [gramless] if dtype == np.float32 else [gramless, reference]
    for module in modules:
        with pytest.warns(RuntimeWarning, match="more than half"):
            assert module.median_distance(x) == pytest.approx(expected, rel=1e-4)
    x = np.hstack([x, np.zeros((200, 1), dtype)])
    with pytest.warns(RuntimeWarning, match="more than half") as caught:
        of_data = gramless.cka(x, x, kernel="rbf")
    assert of_data == pytest.approx(1)
    assert len(caught) == 1


@every_dtype
@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_differences_of_the_data_are_no_rounding(dtype, offset):
    """With an offset that leaves some digits."""
    x = (np.random.default_rng(0).standard_normal((50, 3)) + offset).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gramless.median_distance(x)
    assert found == pytest.approx(reference.median_distance(x), rel=1e-6)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e6), (np.float64, 5e14)])
def test_numbers_of_few_digits_are_no_ties(dtype, offset, columns):
    """Distances of any number of roundings, 16 at one standard deviation: none of them stands apart."""
    for seed in range(40):
        for rows in (8, 20, 60):
            x = (np.random.default_rng([seed, rows]).standard_normal((rows, columns)) + offset).astype(dtype)
            i, j = np.triu_indices(rows, 1)
            wide = x.astype(np.longdouble)
            expected = float(np.sqrt(np.median(np.sum((wide[i] - wide[j]) ** 2, axis=1))))
            if expected == 0:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for module in (gramless, reference) if dtype == np.float64 else (gramless,):
                    found = module.median_distance(x)
                    assert found == pytest.approx(expected, rel=1e-5)


def test_equal_numbers_among_those_of_few_digits_are_ties():
    """Three quarters of the rows are one row: the median is that of all other distances, small ones too."""
    x = (np.random.default_rng(0).standard_normal((40, 1)) + 1e6).astype(np.float32)
    x[10:] = x[0]
    distance2 = (x[:, None, 0].astype(float) - x[:, 0]) ** 2
    with pytest.warns(RuntimeWarning, match="more than half"):
        found = gramless.median_distance(x)
    assert found == pytest.approx(np.sqrt(np.median(distance2[distance2 > 0])), rel=1e-6)


@every_dtype
def test_half_of_the_distances_are_not_more_than_half(dtype):
    """1, 1, 1 and 4: of six distances three are 0, and the middle two are 0 and 3."""
    x = np.array([[1.0], [1.0], [1.0], [4.0]], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gramless.median_distance(x) == pytest.approx(math.sqrt(9 / 2), rel=1e-6)
        assert reference.median_distance(x) == pytest.approx(math.sqrt(9 / 2))


PAIRS = {
    "hsic": lambda module, x, y: module.hsic(x, y, kernel="rbf"),
    "cka": lambda module, x, y: module.cka(x, y, kernel="rbf"),
    "Kornblith's": lambda module, x, y: module.cka(
        x, y, kernel=RBF(scale=0.5, include_diagonal=True), estimator="biased"
    ),
    "cka_matrix": lambda module, x, y: module.cka_matrix([x], [y], kernel="rbf")[0, 0],
    "independence_test": lambda module, x, y: module.independence_test(x, y, method="chi2").statistic,
}
OURS = {
    "cka_interval": lambda x, y: cka_interval(x, y, kernel="rbf", groups=5).value,
    "cka_interval without groups": lambda x, y: cka_interval(x, y, kernel="rbf").value,
    "MinibatchCKA": lambda x, y: minibatch(x, y),
}


def minibatch(x, y):
    accumulated = MinibatchCKA(kernel="rbf")
    accumulated.update(x, y)
    return accumulated.compute()[0, 0]


def dependent(dtype):
    x = mostly_equal(dtype)
    return x, np.random.default_rng(2).standard_normal((200, 3)).astype(dtype) + x[:, :3]


def quietly(call, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments)


@every_dtype
@pytest.mark.parametrize("call", PAIRS)
def test_every_rbf_takes_it_and_warns_once(backend, dtype, call):
    x, y = dependent(dtype)
    with pytest.warns(RuntimeWarning) as caught:
        found = PAIRS[call](gramless, x, y)
    assert [str(w.message) for w in caught] == [f"RBF: {SENTENCE.format('x (56.2 %)')}"]
    assert caught[0].filename == __file__
    assert found == pytest.approx(quietly(PAIRS[call], reference, x, y), rel=100 * EXACT[dtype])


def test_the_warning_names_the_kernel():
    x, y = mostly_equal(np.float64), mostly_equal(np.float64)[:, :20]
    of_both, of_x, of_y = (
        SENTENCE.format(text) for text in ("x (56.2 %), y (56.2 %)", "x (56.2 %)", "y (56.2 %)")
    )
    for arguments, expected in (
        ({"kernel": "laplace"}, [f"Laplace: {of_both}"]),
        ({"kernel": "laplace", "kernel_y": "rbf"}, [f"RBF: {of_y}", f"Laplace: {of_x}"]),
        ({"kernel": "rbf", "kernel_y": "linear"}, [f"RBF: {of_x}"]),
    ):
        with pytest.warns(RuntimeWarning) as caught:
            gramless.cka(x, y, **arguments)
        assert [str(warning.message) for warning in caught] == expected
        assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(RuntimeWarning, match="^Laplace: more than half"):
        reference.cka(x, y, kernel="laplace")
    for call in (gramless.cka_matrix, gramless.hsic_matrix):
        with pytest.warns(RuntimeWarning, match=r"^Laplace: .* xs\[1\] \(56\.2 %\), ys\[0\]"):
            call([x, x], [y], kernel="laplace")


@every_dtype
@pytest.mark.parametrize("call", OURS)
def test_intervals_and_batches_take_it_too(dtype, call):
    x, y = dependent(dtype)
    with pytest.warns(RuntimeWarning, match="more than half") as caught:
        found = OURS[call](x, y)
    assert len(caught) == 1
    assert found == pytest.approx(quietly(PAIRS["cka"], reference, x, y), rel=100 * EXACT[dtype])


def test_tensors_take_it_with_gradients_too():
    torch = pytest.importorskip("torch")
    x, y = map(torch.from_numpy, dependent(np.float64))
    expected = quietly(PAIRS["cka"], reference, x.numpy(), y.numpy())
    for one in (x, x.clone().requires_grad_()):
        with pytest.warns(RuntimeWarning, match=r"in x \(56\.2 %\)") as caught:
            found = gramless.cka(one, y, kernel="rbf")
        assert len(caught) == 1
        assert found.item() == pytest.approx(expected, rel=1e-10)


def test_layers_are_named(tmp_path):
    x, y = dependent(np.float64)
    with pytest.warns(RuntimeWarning, match=r"in xs\[1\] \(56\.2 %\), ys\[0\] \(56\.2 %\);") as caught:
        expected = gramless.cka_matrix([y, x], [x], kernel="rbf")
    assert len(caught) == 1
    with pytest.warns(RuntimeWarning) as caught:
        kept = gramless.cka_matrix([y, x], [x], kernel="rbf", checkpoint=tmp_path / "kept")
    assert [f"layer {i} of xs and ys" in str(w.message) for i, w in enumerate(caught, 1)] == [True, True]
    assert np.array_equal(kept, expected)


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("size", [1e6, 1e10, 1e12])
def test_a_row_far_away_makes_no_distances_ties(size, offset):
    """A far row moves the mean of all rows and so their lengths, but no distance between the others."""
    x = np.random.default_rng(0).standard_normal((30, 4)) + offset
    for row in (0, 17):
        others = np.delete(x, row, axis=0)
        i, j = np.triu_indices(29, 1)
        expected = np.sort(np.linalg.norm(others[i] - others[j], axis=1))[217]  # of 435, 29 are far
        far = x.copy()
        far[row, 2] = size
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for module in (reference, gramless):
                assert module.median_distance(far) == pytest.approx(expected, rel=1e-12)
            kernels = [module.cka(far, x, kernel="rbf") for module in (reference, gramless)]
        assert kernels[0] == pytest.approx(kernels[1], rel=1e-9)
