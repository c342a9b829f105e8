"""The rational quadratic kernel: values as in scikit-learn, its limits, and its valid parameters."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import RBF, RationalQuadratic, reference
from gramless.kernels import encode
from test_laplace import CASES, ESTIMATORS, rows, slopes_of_hsic
from tolerance import NAIVE, TRUE, assert_as_accurate, cka_of

ALPHAS = [0.2, 0.5, 1.0, 2.0, 5.0]  # the mixture of Binkowski et al. 2018
ALL_ALPHAS = [0.01, 0.125, *ALPHAS, 8.0, 100.0]


def gram_of(x, sigma, alpha, dtype):
    """The formula in `dtype` throughout, of distances from differences."""
    x = np.asarray(x, dtype)
    distance2 = np.stack([np.sum((x - row) ** 2, axis=1) for row in x])
    return (1 + distance2 / dtype(2 * alpha * sigma**2)) ** dtype(-alpha)


@pytest.mark.parametrize("alpha", ALL_ALPHAS)
def test_scikit_learn_agrees(alpha):
    kernels = pytest.importorskip("sklearn.gaussian_process.kernels")
    x, y = rows(90, 6), rows(90, 4, 1) + rows(90, 6)[:, :4]
    theirs = kernels.RationalQuadratic(length_scale=1.7, alpha=alpha)
    kernel = RationalQuadratic(sigma=1.7, alpha=alpha)
    np.testing.assert_allclose(reference.gram(x, kernel), theirs(x), rtol=1e-12)
    for estimator in ESTIMATORS:
        expected = float(TRUE[estimator](*(theirs(side).astype(np.longdouble) for side in (x, y))))
        found = gramless.hsic(x, y, kernel=kernel, estimator=estimator)
        assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alpha", ALL_ALPHAS)
def test_every_alpha_is_as_accurate_as_code_from_differences(alpha, dtype):
    ours, naive, truth = [], [], []
    for case in CASES.values():
        layers = [side.astype(dtype) for side in case()]
        for sigma in (0.5, 3.0):
            for estimator in ESTIMATORS:
                kernel = RationalQuadratic(sigma=sigma, alpha=alpha)
                ours.append(gramless.cka(*layers, kernel=kernel, estimator=estimator))
                for found, formula, digits in ((naive, NAIVE, dtype), (truth, TRUE, np.longdouble)):
                    grams = (gram_of(layer, sigma, alpha, digits) for layer in layers)
                    found.append(cka_of(*grams, estimator, formula))
    assert_as_accurate(ours, naive, truth, dtype)


def gradient_of_hsic(x, y, sigma, alpha, dtype):
    """Of unbiased HSIC with respect to x, n x n matrices in `dtype` throughout."""
    k, l = (np.where(np.eye(len(x), dtype=bool), 0, gram_of(side, sigma, alpha, dtype)) for side in (x, y))
    x, slopes = np.asarray(x, dtype), slopes_of_hsic(l.astype(dtype))
    weights = -2 / dtype(sigma) ** 2 * slopes * k ** dtype(1 + 1 / alpha)
    return weights.sum(1)[:, None] * x - weights @ x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("alpha", ALL_ALPHAS)
def test_gradients_are_as_accurate_as_obvious_code(alpha, dtype):
    """Each relative to the largest."""
    ours, naive, truth = [], [], []
    for name in ("normal", "duplicates", "near pairs", "one feature"):
        x, y = (side.astype(dtype) for side in CASES[name]())
        kernel = RationalQuadratic(sigma=2.0, alpha=alpha)
        found = gramless.value_and_grad(gramless.hsic, "x")(x, y, kernel=kernel)[1]
        true = gradient_of_hsic(x, y, 2.0, alpha, np.longdouble)
        scale = np.abs(true).max()
        for values, one in (
            (ours, found),
            (naive, gradient_of_hsic(x, y, 2.0, alpha, dtype)),
            (truth, true),
        ):
            values.append(np.asarray(one / scale, np.float64).ravel())
    assert_as_accurate(*map(np.concatenate, (ours, naive, truth)), dtype)


def test_a_large_alpha_is_a_gaussian_and_a_mixture_is_a_sum():
    x, y = rows(80, 5), rows(80, 3, 1) + rows(80, 5)[:, :3]
    gaussian = gramless.cka(x, y, kernel=RBF(sigma=4.0))
    apart = [
        abs(gramless.cka(x, y, kernel=RationalQuadratic(sigma=4.0, alpha=a)) - gaussian) for a in (1, 10, 100)
    ]
    assert apart[0] > 5 * apart[1] > 25 * apart[2] > 0
    far = rows(60, 5, 2) + 4
    k = sum(gram_of(np.concatenate([x, far]), 1.0, alpha, np.float64) for alpha in ALPHAS)
    n = len(x)
    within = [
        (part.sum() - np.trace(part)) / (len(part) * (len(part) - 1)) for part in (k[:n, :n], k[n:, n:])
    ]
    mixture = sum(gramless.mmd(x, far, kernel=RationalQuadratic(sigma=1.0, alpha=alpha)) for alpha in ALPHAS)
    assert mixture == pytest.approx(sum(within) - 2 * k[:n, n:].mean(), rel=1e-11)


def test_a_narrow_one_still_sees_samples_far_apart():
    x, y = rows(100, 20), rows(100, 20, 1)
    slopes = []
    for kernel in (RBF(sigma=0.1), RationalQuadratic(sigma=0.1)):
        by_shift = gramless.value_and_grad(gramless.mmd, "y")(x, y + 3, kernel=kernel)[1].sum(0)
        slopes.append(np.abs(by_shift).max())
    assert slopes[0] < 1e-200
    assert slopes[1] > 1e-8


@pytest.mark.filterwarnings("ignore")  # torch deprecates what its compiler does
def test_alpha_may_vary_in_one_graph():
    torch = pytest.importorskip("torch")
    x, y = torch.from_numpy(rows(30, 4)).requires_grad_(), torch.from_numpy(rows(30, 3, 1))

    def f(x, y, alpha):
        return gramless.cka(x, y, kernel=RationalQuadratic(alpha=alpha))

    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    for alpha in (0.3, 0.7, 2.0):
        value = compiled(x, y, alpha)
        assert value.item() == f(x, y, alpha).item()
        (ours,), (eager,) = (torch.autograd.grad(v, x) for v in (value, f(x, y, alpha)))
        assert torch.equal(ours, eager)


def test_the_command_line_takes_its_numbers(tmp_path):
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from commands import read_csv, run

    np.savez(tmp_path / "a.npz", one=rows(30, 3), two=rows(30, 4, 1))
    call = ["compare", tmp_path / "a.npz", "--csv", "-", "--kernel", "rational_quadratic"]
    call += ["--kernel-alpha", "0.3"]
    for option, kernel in (
        (["--sigma", "2"], RationalQuadratic(2.0, alpha=0.3)),
        (["--scale", "0.5"], RationalQuadratic(scale=0.5, alpha=0.3)),
    ):
        found = read_csv(run(*call, *option).stdout)[2][0, 1]
        expected = gramless.cka(rows(30, 3), rows(30, 4, 1), kernel=kernel)
        assert found == pytest.approx(expected, rel=1e-12)
    assert "pass --scale or --sigma, not both." in run(*call, "--scale", "2", "--sigma", "2").stderr
    assert encode(kernel) == ("rational_quadratic", None, 0.5, False, None, (0.3,))


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"alpha": 0}, ValueError, "alpha must be positive and finite but is 0.0"),
        ({"alpha": -1}, ValueError, "alpha must be positive and finite but is -1.0"),
        ({"alpha": float("nan")}, ValueError, "alpha must be positive and finite but is nan"),
        ({"alpha": 0.001}, ValueError, "alpha must be from 0.01 to 100 but is 0.001"),
        ({"alpha": 101}, ValueError, "alpha must be from 0.01 to 100 but is 101.0"),
        ({"alpha": "1"}, TypeError, "alpha must be a number but is '1'"),
        ({"alpha": True}, TypeError, "alpha must be a number but is True"),
        ({"alpha": np.ones(2)}, ValueError, "alpha must be one number but has shape (2,)"),
        ({"sigma": 0}, ValueError, "sigma must be positive and finite but is 0.0"),
    ],
)
def test_errors_name_it(options, error, sentence):
    with pytest.raises(error) as caught:
        RationalQuadratic(**options)
    assert str(caught.value) == f"RationalQuadratic: {sentence}"
