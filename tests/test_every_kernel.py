"""Properties of every kernel function; the tests find new ones by their class in `gramless.kernels`."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import analysis, reference
from gramless.kernels import DISTANCE_KERNELS, FORMULAS, encode
from layouts import NUMPY_LAYOUTS
from test_laplace import CASES, DTYPES, ESTIMATORS, duplicated, in_near_pairs, median_of, rows
from tolerance import NAIVE, TRUE, assert_as_accurate, cka_of

WITH_BANDWIDTH = [cls for cls in DISTANCE_KERNELS.values() if cls.has_bandwidth]
KERNELS = [*(cls() for cls in FORMULAS.values()), *(cls(sigma=2.5) for cls in WITH_BANDWIDTH)]
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


@every_kernel
@every_estimator
def test_the_reference_agrees(kernel, estimator):
    options = {"kernel": kernel, "estimator": estimator}
    for case in CASES.values():
        found, expected = (module.cka(*case(), **options) for module in (gramless, reference))
        assert found == pytest.approx(expected, abs=1e-11)
    mixed = {"kernel": "linear", "kernel_y": kernel, "estimator": estimator}
    x, y = CASES["near pairs"]()
    assert gramless.hsic(x, y, **mixed) == pytest.approx(reference.hsic(x, y, **mixed), rel=1e-10)
    xs = [rows(50, 3), rows(50, 60, 1), duplicated(50, 4)]
    found, expected = (module.cka_matrix(xs, **options) for module in (gramless, reference))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    found, expected = (module.mmd(x[:, :7], y + 0.5, **options) for module in (gramless, reference))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-11)


def gram_of(x, kernel, sigma, dtype):
    """The kernel's formula in `dtype` throughout, of distances from differences."""
    x = np.asarray(x, dtype)
    distance2 = np.stack([np.sum((x - row) ** 2, axis=1) for row in x])
    bandwidth = [dtype(sigma)] if kernel.has_bandwidth else []
    return kernel.of_squared_distance(distance2, *bandwidth, *encode(kernel)[-1])


@pytest.mark.parametrize("cls", DISTANCE_KERNELS.values(), ids=lambda cls: cls.formula)
@pytest.mark.parametrize("dtype", DTYPES)
@every_estimator
def test_kernels_of_distances_are_as_accurate_as_code_from_differences(cls, dtype, estimator):
    compute = np.float32 if dtype == np.float16 else dtype
    ours, naive, truth = [], [], []
    for case in CASES.values():
        layers = [side.astype(dtype) for side in case()]
        for scale in (0.5, 1.0, 4.0) if cls.has_bandwidth else (1.0,):
            sigmas = [scale * median_of(layer) for layer in layers]
            kernels = [cls(sigma=sigma) if cls.has_bandwidth else cls() for sigma in sigmas]
            ours.append(gramless.cka(*layers, kernel=kernels[0], kernel_y=kernels[1], estimator=estimator))
            for found, formula, digits in ((naive, NAIVE, compute), (truth, TRUE, np.longdouble)):
                grams = (gram_of(*one, digits) for one in zip(layers, kernels, sigmas, strict=True))
                found.append(cka_of(*grams, estimator, formula))
    assert_as_accurate(ours, naive, truth, compute)


@pytest.mark.parametrize("cls", WITH_BANDWIDTH, ids=lambda cls: cls.formula)
def test_the_bandwidth_is_a_multiple_of_the_median_distance(cls):
    for case in CASES.values():
        x, y = case()
        of_x, of_y = (cls(sigma=0.5 * median_of(side)) for side in (x, y))
        expected = gramless.cka(x, y, kernel=of_x, kernel_y=of_y)
        assert gramless.cka(x, y, kernel=cls(scale=0.5)) == pytest.approx(expected, abs=1e-11)
    for unit in (1e-200, 1e-30, 1e30, 1e200):
        assert gramless.cka(unit * x, y, kernel=cls(scale=0.5)) == pytest.approx(expected, abs=1e-11)
    for dtype, digits in ((np.float32, 1e-6), (np.float64, 1e-9)):
        x, y = (1e3 + side.astype(dtype) for side in CASES["normal"]())
        moved = gramless.cka(x - dtype(1e3), y - dtype(1e3), kernel=cls())
        assert gramless.cka(x, y, kernel=cls()) == pytest.approx(moved, abs=digits)


@pytest.mark.parametrize("cls", WITH_BANDWIDTH, ids=lambda cls: cls.formula)
def test_the_square_of_a_kernel_is_a_kernel(cls):
    """`vendi_score` is computed from the squared kernel."""
    x = in_near_pairs(60, 4)
    for kernel in (cls(sigma=1.7), cls(scale=0.6), cls(sigma=0.01)):
        k = reference.gram(x, kernel)
        np.testing.assert_allclose(reference.gram(x, kernel.squared()), k**2, rtol=1e-12, atol=1e-300)
        score = gramless.vendi_score(x, kernel=kernel)
        assert score == pytest.approx(60**2 / np.sum(k**2), rel=1e-11)
        assert score == pytest.approx(reference.vendi_score(x, kernel=kernel), rel=1e-11)


@every_kernel
def test_layouts_and_threads_change_no_bit(kernel):
    x, y = in_near_pairs(700, 9).astype(np.float32) + 3, duplicated(700, 5, 1).astype(np.float32)
    one = gramless.cka(x, y, kernel=kernel)
    assert all(gramless.cka(layout(x), y, kernel=kernel) == one for layout in NUMPY_LAYOUTS)
    before = gramless.get_num_threads()
    try:
        for threads in (1, 3):
            gramless.set_num_threads(threads)
            assert gramless.cka(x, y, kernel=kernel) == one
    finally:
        gramless.set_num_threads(before)


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constants_and_nan(kernel, dtype):
    x, constant = rows(40, 4, dtype=dtype), np.full((40, 4), 0.1, dtype)
    for estimator in ESTIMATORS:
        with pytest.warns(RuntimeWarning, match="constant"):
            assert np.isnan(gramless.cka(x, constant, kernel=kernel, estimator=estimator))
        hsic = gramless.hsic(constant, constant, kernel=kernel, estimator=estimator)
        assert hsic == pytest.approx(0, abs=1e-12)
    for bad in (np.nan, np.inf):
        y = x.copy()
        y[3, 1] = bad
        assert np.isnan(gramless.hsic(y, x, kernel=kernel))


@every_kernel
def test_everything_that_takes_a_kernel_takes_it(kernel, tmp_path):
    x, y = rows(60, 5), in_near_pairs(60, 4)
    one = gramless.cka(x, y, kernel=kernel)
    batch = gramless.MinibatchCKA(kernel=kernel)
    batch.update([x], [y])
    assert batch.compute()[0, 0] == pytest.approx(one, abs=1e-14)
    again = gramless.MinibatchCKA(kernel=kernel)
    again.load_state_dict(batch.state_dict())
    assert again.compute()[0, 0] == batch.compute()[0, 0]
    for groups in (None, 10):
        interval = analysis.cka_interval(x, y, kernel=kernel, groups=groups)
        assert interval.value == pytest.approx(one, abs=1e-12)
        assert interval.low < one < interval.high
    result = gramless.layer_matrix({"a": x}, {"b": y}, kernel=kernel, level=0.95)
    assert result.matrix[0, 0] == pytest.approx(one, abs=1e-12)
    assert result.low[0, 0] < one < result.high[0, 0]
    result.save(tmp_path / "r.json")
    assert gramless.LayerMatrix.load(tmp_path / "r.json").settings["kernel"] == str(kernel)
    swept = gramless.cka_matrix([x, y], kernel=kernel, checkpoint=tmp_path / "sweep.npz")
    assert swept[0, 1] == pytest.approx(one, abs=1e-13)
    for method in ("chi2", "gamma", "permutation"):
        test = gramless.independence_test(x, x + 0.1 * rows(60, 5, 2), kernel=kernel, method=method, rng=0)
        assert test.pvalue < 0.01
    moved = gramless.two_sample_test(x, 1.5 * rows(50, 5, 3) + 1, kernel=kernel, rng=0)
    assert moved.pvalue < 0.01
    assert gramless.estimate(1000, 64, kernel=kernel, gflops=100, threads=1).flops > 0
    assert encode(kernel)[0] == kernel.formula


@pytest.mark.parametrize("formula", FORMULAS)
def test_its_name_is_the_kernel_with_its_defaults(formula, tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import read_csv, run

    x, y = rows(30, 3), rows(30, 4, 1) + rows(30, 3)[:, :1]
    expected = gramless.cka(x, y, kernel=FORMULAS[formula]())
    assert gramless.cka(x, y, kernel=formula) == expected
    np.savez(tmp_path / "a.npz", one=x, two=y)
    found = read_csv(run("compare", tmp_path / "a.npz", "--csv", "-", "--kernel", formula).stdout)[2]
    assert found[0, 1] == pytest.approx(expected, rel=1e-12)
    assert "FLOP" in run("estimate", "1000", "64", "--kernel", formula).stdout


torch = pytest.importorskip("torch")


@every_kernel
@every_estimator
def test_gradients_are_those_of_differences(kernel, estimator):
    if kernel.has_bandwidth and kernel.sigma is None:
        kernel = type(kernel)(sigma=1.5)  # a median is a constant for gradients, and moves with the rows
    for shape in ((8, 3), (5, 9)):
        x, y = (torch.from_numpy(rows(*shape, seed) + 0.5).requires_grad_() for seed in (0, 1))
        for function in (gramless.hsic, gramless.cka):
            assert torch.autograd.gradcheck(
                lambda a, b, f=function: f(a, b, kernel=kernel, estimator=estimator), (x, y)
            )
        assert torch.autograd.gradcheck(lambda a, b: gramless.mmd(a, b, kernel=kernel), (x, y))


@every_kernel
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_path_gives_the_same_bits(kernel, dtype):
    a, b = rows(40, 4, dtype=dtype) + 1, in_near_pairs(40, 3, 1).astype(dtype)
    value, (by_a, by_b) = gramless.value_and_grad(gramless.cka)(a, b, kernel=kernel)
    x, y = torch.from_numpy(a), torch.from_numpy(b)

    def f(x, y):
        return gramless.cka(x, y, kernel=kernel)

    assert gramless.cka(a, b, kernel=kernel) == pytest.approx(value, abs=1e-14)
    assert f(x, y).item() == dtype(value)
    found = torch.func.grad(f, argnums=(0, 1))(x, y)
    for ours, plain in zip(found, (by_a, by_b), strict=True):
        np.testing.assert_array_equal(ours.numpy(), plain)
    batched = torch.func.vmap(f)(torch.stack([x, x.flip(0)]), torch.stack([y, y]))
    assert batched.tolist() == [f(x, y).item(), f(x.flip(0), y).item()]


@pytest.mark.filterwarnings("ignore")  # torch deprecates what its compiler does
@pytest.mark.parametrize("cls", FORMULAS.values(), ids=lambda cls: cls.formula)
def test_compiled_in_one_graph(cls):
    x, y = torch.from_numpy(rows(30, 4)).requires_grad_(), torch.from_numpy(rows(30, 3, 1))

    def f(x, y):
        return gramless.cka(x, y, kernel=cls())

    torch._dynamo.reset()
    value = torch.compile(f, fullgraph=True, backend="aot_eager")(x, y)
    assert value.item() == f(x, y).item()
    (ours,), (eager,) = (torch.autograd.grad(v, x) for v in (value, f(x, y)))
    assert torch.equal(ours, eager)


@every_kernel
def test_losses_matrices_and_compare_models_take_it(kernel):
    from gramless.torch import CKALoss, HSICLoss, compare_models

    x, y = (torch.from_numpy(rows(20, 3, seed)).requires_grad_() for seed in (0, 1))
    one = gramless.cka(x, y, kernel=kernel)
    assert CKALoss(kernel)(x, y).item() == pytest.approx(1 - one.item(), abs=1e-13)
    assert HSICLoss(kernel)(x, y).item() == pytest.approx(gramless.hsic(x, y, kernel=kernel).item())
    matrix = gramless.cka_matrix([x, y], kernel=kernel)
    (of_matrix,), (of_pair,) = (torch.autograd.grad(value, x) for value in (matrix[0, 1], one))
    torch.testing.assert_close(of_matrix, of_pair, rtol=1e-10, atol=1e-13)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    found = compare_models(model, None, [x[:10], x[10:]], kernel=kernel, progress=False)
    with torch.no_grad():
        expected = gramless.cka(model[0](x), model(x), kernel=kernel).item()
    assert found.matrix[0, -1] == pytest.approx(expected, abs=1e-12)
