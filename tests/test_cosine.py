"""The cosine kernel, compared with n x n code on rows of length 1 and with scikit-learn."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import Cosine, analysis, reference
from gramless._dominant_rows import largest_share
from gramless.kernels import encode
from test_laplace import ESTIMATORS, duplicated, in_near_pairs, rows
from tolerance import NAIVE, TRUE, assert_as_accurate, cka_of

CASES = {
    "normal": lambda: (rows(150, 20), rows(150, 7, 1)),
    "duplicates": lambda: (duplicated(150, 20), duplicated(150, 7, 3)),
    "near pairs": lambda: (in_near_pairs(150, 20), in_near_pairs(150, 7, 3)),
    "offset 1e3": lambda: (rows(150, 20) + 1e3, in_near_pairs(150, 7, 3, offset=-1e3)),
    "offset 1e6": lambda: (rows(150, 20) + 1e6, rows(150, 7, 3) - 1e6),
    "one feature": lambda: (rows(150, 1), in_near_pairs(150, 1, 4)),
    "two features": lambda: (rows(150, 2), rows(150, 2, 4)),
    "more features than rows": lambda: (in_near_pairs(40, 1000), rows(40, 800, 5)),
    "rows of many lengths": lambda: (rows(99, 9) * np.geomspace(1e-9, 1e9, 99)[:, None], rows(99, 5, 1)),
}
SIZES = [(4, 2), (5, 3), (15, 3), (17, 2), (33, 65), (191, 5), (193, 5), (385, 17), (33, 65_536)]


def gram_of(x, dtype):
    """The cosines in `dtype` throughout; with 80 bits of centred rows, which changes no HSIC."""
    x = np.asarray(x, dtype)
    lengths = np.sqrt(np.sum(x * x, axis=1, keepdims=True))
    x = x / np.where(lengths == 0, 1, lengths)
    if dtype == np.longdouble:
        x = x - x.mean(axis=0)
    return x @ x.T


@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-6), (np.float64, 1e-10)])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_values_have_their_digits(estimator, dtype, digits):
    for case in CASES.values():
        layers = [side.astype(dtype) for side in case()]
        grams = [gram_of(layer, np.longdouble) for layer in layers]
        expected = cka_of(*grams, estimator, TRUE)
        options = {"kernel": "cosine", "estimator": estimator}
        assert gramless.cka(*layers, **options) == pytest.approx(expected, abs=digits)
        root = np.sqrt(TRUE[estimator](grams[0], grams[0]) * TRUE[estimator](grams[1], grams[1]))
        hsic = float(TRUE[estimator](*grams))
        assert gramless.hsic(*layers, **options) == pytest.approx(hsic, abs=float(digits * root))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_is_as_accurate_as_obvious_code(size, dtype):
    layers = [rows(*size, 1).astype(dtype), duplicated(size[0], 3, 2).astype(dtype)]
    ours, naive, truth = [], [], []
    for estimator in ESTIMATORS:
        ours.append(gramless.cka(*layers, kernel=Cosine(), estimator=estimator))
        for found, formula, digits in ((naive, NAIVE, dtype), (truth, TRUE, np.longdouble)):
            found.append(cka_of(*(gram_of(x, digits) for x in layers), estimator, formula))
    assert_as_accurate(ours, naive, truth, dtype)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_scikit_learn_agrees(estimator):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    for case in ("normal", "duplicates", "more features than rows"):
        x, y = CASES[case]()
        x[3] = 0
        k, l = pairwise.cosine_similarity(x), pairwise.cosine_similarity(y)
        expected = float(TRUE[estimator](k, l))
        found = gramless.hsic(x, y, kernel="cosine", estimator=estimator)
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-14)
        np.testing.assert_allclose(reference.gram(x, "cosine"), k, rtol=0, atol=1e-14)
        assert reference.hsic(x, y, kernel="cosine", estimator=estimator) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_length_of_a_row_plays_no_part(dtype):
    x, y = rows(120, 6).astype(dtype), rows(120, 4, 1).astype(dtype)
    expected = gramless.cka(x, y, kernel="cosine")
    units = (2.0 ** np.random.default_rng(0).integers(-99, 99, (120, 1))).astype(dtype)
    assert gramless.cka(x * units, y, kernel="cosine") == pytest.approx(expected, abs=1e-12)
    for unit in (1e-30, 1e30):
        found = gramless.cka(x * dtype(unit), y, kernel="cosine")
        assert found == pytest.approx(expected, abs=1e-6 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zeros_constants_and_nan(dtype):
    x, y = rows(40, 4, dtype=dtype), rows(40, 3, 1, dtype)
    x[5:9] = 0
    expected = cka_of(gram_of(x, np.longdouble), gram_of(y, np.longdouble), "unbiased", TRUE)
    found = gramless.cka(x, y, kernel="cosine")
    assert found == pytest.approx(expected, abs=1e-6 if dtype == np.float32 else 1e-12)
    for bad in (np.nan, np.inf):
        x[3, 1] = bad
        assert np.isnan(gramless.hsic(x, y, kernel="cosine"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_proportional_rows_have_no_cka(dtype):
    """All cosines are 1 but for the rounding of the rows when they are stored."""
    y, lengths = rows(40, 3, 1, dtype), np.abs(rows(40, 1, 2)) + 0.1
    for same in (
        np.zeros((40, 4)),
        np.full((40, 4), 0.1),
        lengths * rows(1, 5, 3),
        lengths * rows(1, 900, 4),
    ):
        x = same.astype(dtype)
        for estimator in ESTIMATORS:
            with pytest.warns(RuntimeWarning, match="constant"):
                assert np.isnan(gramless.cka(x, y, kernel="cosine", estimator=estimator))
        with pytest.warns(RuntimeWarning, match="constant"):
            assert np.isnan(analysis.cka_interval(x, y, kernel="cosine").value)
        if dtype == np.float64:
            with pytest.warns(RuntimeWarning, match="constant"):
                assert np.isnan(reference.cka(x, y, kernel="cosine"))
    with pytest.warns(RuntimeWarning, match="distances do not vary"):
        assert np.isnan(gramless.rsa(x, y, metric="cosine"))


@pytest.mark.parametrize("offset", [1e2, 1e3])
def test_rows_that_differ_by_more_than_their_rounding_have_a_cka(offset):
    """Of 16 bits, near 1,000: they differ by two units of rounding."""
    x, y = (rows(33, 300) + offset).astype(np.float16), rows(33, 3, 1, np.float16)
    expected = cka_of(gram_of(x, np.longdouble), gram_of(y, np.longdouble), "unbiased", TRUE)
    assert gramless.cka(x, y, kernel="cosine") == pytest.approx(expected, abs=1e-6)
    assert analysis.cka_interval(x, y, kernel="cosine").value == pytest.approx(expected, abs=1e-6)


def test_chance_asks_for_shares_of_directions():
    x, code = rows(50, 4, 7), encode(Cosine())
    expected = largest_share(x / np.linalg.norm(x, axis=1, keepdims=True))
    assert largest_share(x * np.geomspace(1, 1e9, 50)[:, None], code) == pytest.approx(expected, rel=1e-12)


def test_everything_that_takes_a_kernel_takes_it(tmp_path):
    x, y = rows(60, 5) + 1, in_near_pairs(60, 4)
    one = gramless.cka(x, y, kernel="cosine")
    assert one == pytest.approx(reference.cka(x, y, kernel="cosine"), abs=1e-12)
    assert one != pytest.approx(gramless.cka(x, y), abs=1e-3)
    batch = gramless.MinibatchCKA(kernel="cosine")
    batch.update([x], [y])
    assert batch.compute()[0, 0] == pytest.approx(one, abs=1e-14)
    for groups in (None, 10):
        interval = analysis.cka_interval(x, y, kernel=Cosine(), groups=groups)
        assert interval.value == pytest.approx(one, abs=1e-12)
        assert interval.low < one < interval.high
    result = gramless.layer_matrix({"a": x}, {"b": y}, kernel="cosine", level=0.95)
    assert result.matrix[0, 0] == pytest.approx(one, abs=1e-12)
    assert result.low[0, 0] < one < result.high[0, 0]
    result.save(tmp_path / "r.json")
    assert gramless.LayerMatrix.load(tmp_path / "r.json").settings["kernel"] == "Cosine()"
    swept = gramless.cka_matrix([x], [y], kernel="cosine", checkpoint=tmp_path / "sweep.npz")
    assert swept[0, 0] == pytest.approx(one, abs=1e-14)
    for method in ("chi2", "gamma", "permutation"):
        found = gramless.independence_test(x, x + 0.1 * rows(60, 5, 2), kernel="cosine", method=method, rng=0)
        assert found.pvalue < 0.01
    k = reference.gram(np.concatenate([x, y[:, [0, 1, 2, 3, 0]]]), "cosine")
    of_x, of_y = (part.sum() - np.trace(part) for part in (k[:60, :60], k[60:, 60:]))
    expected = (of_x + of_y) / (60 * 59) - 2 * k[:60, 60:].mean()
    found = gramless.mmd(x, y[:, [0, 1, 2, 3, 0]], kernel="cosine")
    assert found == pytest.approx(expected, rel=1e-11)
    assert gramless.estimate(1000, 64, kernel="cosine", gflops=100, threads=1).flops > 0
    assert encode(Cosine()) == ("cosine", None, 1.0, False, None, ())


def test_the_command_line_takes_it(tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import read_csv, run

    np.savez(tmp_path / "a.npz", one=rows(30, 3), two=rows(30, 4, 1))
    call = ["compare", tmp_path / "a.npz", "--csv", "-", "--kernel", "cosine"]
    expected = gramless.cka(rows(30, 3), rows(30, 4, 1), kernel="cosine")
    assert read_csv(run(*call).stdout)[2][0, 1] == pytest.approx(expected, rel=1e-12)
    assert "--scale needs --kernel rbf" in run(*call, "--scale", "2").stderr


def test_gradients():
    torch = pytest.importorskip("torch")
    for shapes in ((8, 3), (8, 12)):
        x, y = (torch.from_numpy(rows(*shapes, seed)).requires_grad_() for seed in (0, 1))
        for estimator in ESTIMATORS:
            for function in (gramless.hsic, gramless.cka):
                assert torch.autograd.gradcheck(
                    lambda a, b, f=function, e=estimator: f(a, b, kernel="cosine", estimator=e), (x, y)
                )
        assert torch.autograd.gradcheck(lambda a, b: gramless.mmd(a, b, kernel="cosine"), (x, y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_gradients_beside_autograd(offset, dtype):
    torch = pytest.importorskip("torch")
    x, y = (rows(90, 7, 0) + offset).astype(dtype), rows(90, 5, 1).astype(dtype)
    if offset == 0:
        x[4] = 0

    def gradient(x):
        x = torch.from_numpy(x).requires_grad_()
        gramless.cka(x, torch.from_numpy(y), kernel="cosine").backward()
        return x.grad.double()

    wide = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    lengths = wide.norm(dim=1, keepdim=True)
    unit = wide / torch.where(lengths == 0, torch.ones(()).double(), lengths)
    of_y = torch.nn.functional.normalize(torch.from_numpy(y.astype(np.float64)), dim=1)
    gramless.cka(unit, of_y).backward()
    expected = wide.grad
    if offset == 0:
        expected[4] = 0
    error = (gradient(x) - expected).abs().max() / expected.abs().max()
    assert error < (1e-5 if dtype == np.float32 else 1e-11)


def test_value_and_grad_and_transforms_agree():
    torch = pytest.importorskip("torch")
    a, b = rows(30, 4), in_near_pairs(30, 3, 1)
    value, (by_a, _) = gramless.value_and_grad(gramless.cka)(a, b, kernel="cosine")
    x, y = torch.from_numpy(a), torch.from_numpy(b)

    def f(x, y):
        return gramless.cka(x, y, kernel="cosine")

    assert f(x, y).item() == value
    np.testing.assert_array_equal(torch.func.grad(f)(x, y).numpy(), by_a)
    batched = torch.func.vmap(f)(torch.stack([x, x.flip(0)]), torch.stack([y, y]))
    assert torch.allclose(batched, torch.stack([f(x, y), f(x.flip(0), y)]), rtol=1e-12)
    assert torch.compile(f, fullgraph=True, backend="aot_eager")(x, y).item() == value
