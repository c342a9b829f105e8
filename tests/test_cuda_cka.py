"""CudaCKA of the published file CKA.py: its results, without its matrices."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless.compat import CudaCKA

torch = pytest.importorskip("torch")


def centred(k):
    return k - k.mean(0) - k.mean(1)[:, None] + k.mean()


def by_definition(x, y, sigma, bandwidth2):
    """Sums over products of centred Gram matrices in float64; bandwidth2: sigma^2 of squared distances."""

    def gram(rows):
        if bandwidth2 is None:
            return rows @ rows.T
        distance2 = ((rows[:, None] - rows) ** 2).sum(-1)
        return (
            -distance2 / (2 * (bandwidth2(distance2[distance2 > 0]) if sigma is None else sigma**2))
        ).exp()

    k, l = (centred(gram(rows.double())) for rows in (x, y))
    return (k * l).sum(), (k * k).sum(), (l * l).sum()


def lower(distances):
    return distances.sort().values[(len(distances) - 1) // 2]


def mean_of_both(distances):
    return torch.tensor(np.median(distances.numpy()))


def representations(n, dtype, equal=0):
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    if equal:
        x[:equal] = x[0].clone()
    y = x[:, :4] ** 2 + torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("sigma", [None, 1.7])
@pytest.mark.parametrize(("n", "equal"), [(5, 0), (6, 0), (8, 3), (41, 0), (60, 20), (60, 50), (300, 0)])
def test_values_are_those_of_the_definition(n, equal, sigma, dtype):
    """Even and odd numbers of distances; rows that are equal, to more than half of all pairs."""
    x, y = representations(n, dtype, equal)
    cka, tolerance = CudaCKA("cpu"), TOLERANCE[dtype]
    for rule, arrays in ((lower, (x, y)), (mean_of_both, (x.numpy(), y.numpy()))):
        xy, xx, yy = by_definition(x, y, sigma, rule)
        assert float(cka.kernel_HSIC(*arrays, sigma)) == pytest.approx(xy.item(), rel=10 * tolerance)
        found = cka.kernel_CKA(*arrays, sigma=sigma)
        assert float(found) == pytest.approx((xy / (xx * yy).sqrt()).item(), abs=tolerance)
        assert isinstance(found, torch.Tensor if rule is lower else float)
        xy, xx, yy = by_definition(x, y, None, None)
        assert float(cka.linear_HSIC(*arrays)) == pytest.approx(xy.item(), rel=10 * tolerance)
        assert float(cka.linear_CKA(*arrays)) == pytest.approx((xy / (xx * yy).sqrt()).item(), abs=tolerance)


def test_gradients_are_those_of_the_definition():
    """The bandwidth is a constant."""
    x, y = (rows.requires_grad_() for rows in representations(40, torch.float64))
    cka = CudaCKA("cpu")
    for ours, rule in ((cka.kernel_CKA(x, y), lower), (cka.linear_CKA(x, y), None)):
        fixed = None if rule is None else (lambda distances: lower(distances.detach()))
        xy, xx, yy = by_definition(x, y, None, fixed)
        expected = torch.autograd.grad(xy / (xx * yy).sqrt(), (x, y))
        for found, by in zip(torch.autograd.grad(ours, (x, y)), expected, strict=True):
            torch.testing.assert_close(found, by, rtol=1e-9, atol=1e-12)


def test_the_median_is_the_same_for_any_number_of_threads_and_layout(backend):
    x, y = representations(300, torch.float32, 30)
    threads = gramless.get_num_threads()
    try:
        found = set()
        for count in (1, 2):
            gramless.set_num_threads(count)
            found.add(CudaCKA("cpu").kernel_CKA(x, y).item())
            found.add(CudaCKA("cpu").kernel_CKA(x.T.contiguous().T, y).item())
        assert len(found) == 1
    finally:
        gramless.set_num_threads(threads)


def test_what_makes_no_sense_is_one_sentence():
    x, y = representations(20, torch.float32)
    cka = CudaCKA("cpu")
    assert repr(cka) == "CudaCKA('cpu')"
    for method in ("kernel_CKA", "linear_CKA", "linear_HSIC"):
        with pytest.raises(ValueError, match=rf"^CudaCKA\.{method}: X has 20 rows but Y has 9$"):
            getattr(cka, method)(x, y[:9])
        with pytest.raises(ValueError, match=rf"^CudaCKA\.{method}: Y must .* one feature is a column"):
            getattr(cka, method)(x, y[:, 0])
        with pytest.raises(
            ValueError, match=rf"^CudaCKA\.{method}: the biased estimator needs at least 2 rows"
        ):
            getattr(cka, method)(x[:1], y[:1])
    with pytest.raises(ValueError, match=r"sigma must be positive and finite but is 0\.0$"):
        cka.kernel_CKA(x, y, 0)
    with pytest.raises(TypeError, match=r"^CudaCKA\.kernel_CKA: sigma must be a constant number"):
        cka.kernel_CKA(x, y, torch.tensor(2.0, requires_grad=True))
    with pytest.warns(RuntimeWarning, match="not defined"):
        assert cka.kernel_CKA(torch.ones(9, 2), y[:9]).isnan()
    assert cka.kernel_CKA(torch.full((9, 2), torch.nan), y[:9]).isnan()
