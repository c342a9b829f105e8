"""Tensors of a GPU. The other tests of torch run there too with --tensors-on; here are the remaining ones."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gradients import with_grads
from test_cuda_arrays import rows

torch = pytest.importorskip("torch")

import torch_formulas as plain  # noqa: E402
from gramless._arrays import libraries  # noqa: E402
from gramless.torch import CKALoss, CLIPLoss, NTXentLoss, SupConLoss  # noqa: E402


def grads_of(loss, *inputs):
    return torch.autograd.grad(loss, inputs)


def test_losses_and_gradients_are_those_of_numpy(device):
    pairs = {
        "nt_xent": lambda call, a, b: call(a, b),
        "dcl": lambda call, a, b: call(a, b),
        "info_nce": lambda call, a, b: call(a, b, symmetric=True),
        "sup_con": lambda call, a, b: call(a, [0, 1, 0, 2, 0, 1, 5, 6]),
    }
    for name, call in pairs.items():
        x, y = rows(), rows(seed=1)
        value, grads = call(with_grads(gramless, name), x, y)
        a, b = device.tensor(x, requires_grad=True), device.tensor(y, requires_grad=True)
        loss = call(getattr(gramless, name), a, b)
        assert device.is_here(loss)
        found = grads_of(loss, a) if name == "sup_con" else grads_of(loss, a, b)
        np.testing.assert_allclose(loss.item(), value, rtol=1e-9)
        for ours, theirs in zip(found, grads, strict=False):
            np.testing.assert_allclose(device.numpy(ours), theirs, rtol=1e-9, atol=1e-12)
        loss, (grad, *_) = call(with_grads(gramless, name), a.detach(), b.detach())
        assert device.is_here(loss)
        np.testing.assert_allclose(device.numpy(grad), grads[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sigma", [None, 2.0])
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_cka_trains_as_plain_torch_does(device, sigma, estimator):
    x, y = rows(12), rows(12, 3, 1)
    kernel = "linear" if sigma is None else gramless.RBF(sigma=sigma)
    a, b = (torch.from_numpy(z).requires_grad_() for z in (x, y))
    expected = 1 - plain.cka(plain.gram(a, sigma), plain.gram(b, sigma), estimator)
    c, d = (device.tensor(z, requires_grad=True) for z in (x, y))
    loss = CKALoss(kernel, estimator=estimator)(c, d)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-9)
    for ours, theirs in zip(grads_of(loss, c, d), grads_of(expected, a, b), strict=True):
        np.testing.assert_allclose(device.numpy(ours), theirs.numpy(), rtol=1e-8, atol=1e-11)


def test_values_and_gradients_are_in_the_unit_of_the_data(device):
    """Powers of two, which are exact; the CPU core scales such rows."""
    unit = 2.0**-120
    power = unit**4
    calls = {
        "hsic": lambda x, y: gramless.hsic(x, y) / power,
        "cka": lambda x, y: gramless.cka(x, y),
        "hsic_matrix": lambda x, y: gramless.hsic_matrix([x, y])[0, 1] / power,
        "cka_matrix": lambda x, y: gramless.cka_matrix([x], [y, x])[0, 0],
    }
    for name, call in calls.items():
        x, y = (device.tensor(rows(12, 5, seed) * unit, requires_grad=True) for seed in (0, 1))
        a, b = (torch.from_numpy(rows(12, 5, seed)).requires_grad_() for seed in (0, 1))
        expected = call(a, b) if "hsic" not in name else call(a, b) * power
        found = call(x, y)
        np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-9)
        for ours, theirs in zip(grads_of(found, x, y), grads_of(expected, a, b), strict=True):
            np.testing.assert_allclose(device.numpy(ours) * unit, theirs.numpy(), rtol=1e-8, atol=1e-11)


def test_matrices_train(device):
    layers = [device.tensor(rows(6, width, width), requires_grad=True) for width in (1, 2, 3)]
    weights = device.tensor(rows(3, 3))
    for others in (None, layers[1:]):
        for call in (gramless.cka_matrix, gramless.hsic_matrix):

            def loss(*layers, call=call, others=others):
                found = call(list(layers), None if others is None else list(layers[1:]), kernel="linear")
                return (found * weights[:, : found.shape[1]]).sum()

            assert torch.autograd.gradcheck(loss, layers)


@pytest.mark.parametrize("where", ["cpu", "device"])
def test_a_temperature_may_be_learned_wherever_it_lies(device, where):
    x, y = rows(), rows(seed=1)
    _, (_, _, expected) = gramless.value_and_grad(gramless.nt_xent)(x, y, temperature=0.3)
    temperature = torch.tensor(0.3, dtype=torch.float64)
    temperature = (temperature if where == "cpu" else device.tensor(temperature)).requires_grad_()
    loss = gramless.nt_xent(device.tensor(x), device.tensor(y), temperature=temperature)
    (found,) = grads_of(loss, temperature)
    assert (found.device, found.dtype) == (temperature.device, temperature.dtype)
    np.testing.assert_allclose(found.item(), expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_temperature_of_the_device_is_not_read_by_the_host(device, monkeypatch, dtype):
    x, y = (device.tensor(rows(seed=seed)) for seed in (0, 1))
    temperature = device.tensor(np.array([0.25, 3.0])).to(dtype)[:1].requires_grad_()
    expected = gramless.info_nce(x, y, symmetric=True, temperature=0.25)
    with monkeypatch.context() as patched:
        for read in ("item", "tolist", "numpy", "__float__"):
            patched.setattr(torch.Tensor, read, None)
        loss = gramless.info_nce(x, y, symmetric=True, temperature=temperature)
        (found,) = grads_of(loss, temperature)
    assert torch.equal(loss.detach(), expected)
    assert (found.shape, found.dtype) == (temperature.shape, dtype)


@pytest.mark.parametrize("value", [0.0, np.inf, np.nan])
def test_a_temperature_of_the_device_that_makes_no_sense_gives_nan(device, value):
    x, y = (device.tensor(rows(seed=seed)) for seed in (0, 1))
    for normalize in (True, False):
        loss = gramless.nt_xent(
            x, y, temperature=device.tensor(np.array(value)), normalize=normalize, reduction="none"
        )
        assert loss.isnan().all()


def test_modules_take_tensors_of_the_device(device):
    a, b = (device.tensor(rows(8, 4, seed, np.float32), requires_grad=True) for seed in (0, 1))
    scale = device.tensor(np.array(10.0, np.float32), requires_grad=True)
    labels = device.tensor(np.array([0, 1, 0, 1, 2, 2, 3, 3]))
    bank = NTXentLoss(memory_bank_size=(16, 4)).to(a.device)
    with torch.autocast(a.device.type, torch.bfloat16):
        losses = [
            NTXentLoss()(a, b),
            bank(a.bfloat16(), b.bfloat16()),
            SupConLoss()(a, labels),
            SupConLoss()(torch.stack([a, b], 1)),
            CLIPLoss()(a, b, scale),
            CKALoss("rbf")(a, b),
        ]
    for loss in losses:
        assert device.is_here(loss)
        assert loss.dtype == torch.float32
    assert all(torch.isfinite(grad).all() for grad in grads_of(sum(losses), a, b, scale))


@pytest.mark.parametrize("width", [4, 70])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_get_gradients_of_their_own_dtype(device, dtype, width):
    a, b = (device.tensor(rows(8, width, seed)).to(dtype).requires_grad_() for seed in (0, 1))
    for loss in (gramless.nt_xent(a, b), gramless.cka(a, b, kernel="rbf")):
        assert loss.dtype == torch.float32
        assert {grad.dtype for grad in grads_of(loss, a, b)} == {dtype}


def test_median_distances_are_those_of_numpy(device):
    found = gramless.median_distance(device.tensor(rows()))
    assert device.is_here(found)
    np.testing.assert_allclose(found.item(), gramless.median_distance(rows()), rtol=1e-9)


def test_labels_of_the_cpu_and_of_the_device_mean_the_same(device):
    z, labels = device.tensor(rows()), np.array([-3, 2**40, -3, 1, 1, 7, 8, 2**40])
    expected, _ = gramless.value_and_grad(gramless.sup_con)(rows(), labels)
    for given in (labels, torch.from_numpy(labels), device.tensor(labels), labels.tolist()):
        np.testing.assert_allclose(gramless.sup_con(z, given).item(), expected, rtol=1e-9)


@pytest.mark.parametrize("method", ["exact", "minibatch"])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_layers_of_a_model_are_compared_where_it_is(device, method, kernel, monkeypatch):
    class Wide(torch.nn.Module):  # layers of two dtypes, as of a head that is kept in float64
        def forward(self, x):
            return x.double() ** 2

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), Wide())
    net.to("cuda" if device.kind == "cuda" else "cpu")
    batches = device.tensor(rows(48).astype(np.float32)).split(16)
    with torch.no_grad():
        host = [[device.numpy(layer).astype(np.float64) for layer in (net[0](x), net(x))] for x in batches]
    if method == "minibatch":
        minibatch = gramless.MinibatchCKA(kernel)
        for batch in host:
            minibatch.update(batch)
        expected = minibatch.compute()
    else:
        expected = gramless.cka_matrix(list(map(np.concatenate, zip(*host, strict=True))), kernel=kernel)

    def refuse(tensor):
        raise AssertionError("copied to the host")

    monkeypatch.setattr("gramless.torch.pooling.owned", refuse)
    asked = {"layers": ["0", "2"], "progress": False, "kernel": kernel, "method": method}
    found = gramless.torch.compare_models(net, None, list(batches), **asked)
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-9)


def test_degenerate_representations_are_nan_without_waiting_for_a_warning(device):
    x, constant = device.tensor(rows()), device.tensor(np.ones((8, 3)))
    assert torch.isnan(gramless.cka(x, constant))
    assert torch.isnan(gramless.cka_matrix([x, constant])).tolist() == [[False, True], [True, True]]


def test_arrays_of_other_libraries_are_read_through_torch_where_there_is_no_cupy(device, monkeypatch):
    class Foreign:
        """An array that only claims to be on a GPU."""

        def __init__(self, tensor):
            self.tensor = tensor

        def __dlpack_device__(self):
            return 2, 0

    if device.kind == "cuda":
        pytest.skip("cupy is there")
    monkeypatch.setattr(libraries, "_cupy", lambda: None)
    monkeypatch.setattr("gramless.torch._tensors.Tensors.imported", lambda self, x: x.tensor)
    x, y = rows(), rows(seed=1)
    a, b = (Foreign(device.tensor(z)) for z in (x, y))
    for call in (gramless.hsic, gramless.cka, gramless.nt_xent):
        found = call(a, b)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(found.item(), call(x, y), rtol=1e-9)
    assert torch.isnan(gramless.cka_matrix([a, Foreign(device.tensor(np.ones((8, 2))))])[0, 1])
    _, (grad, *_) = gramless.value_and_grad(gramless.nt_xent)(a, b)
    np.testing.assert_allclose(
        grad.numpy(), gramless.value_and_grad(gramless.nt_xent)(x, y)[1][0], rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_what_follows_a_loss_weighs_its_gradient(device, reduction):
    a, b = (device.tensor(rows(4, 3, seed), requires_grad=True) for seed in (0, 1))
    weights = device.tensor(np.arange(1.0, 9.0)) if reduction == "none" else 3.0
    assert torch.autograd.gradcheck(
        lambda a, b: (gramless.nt_xent(a, b, reduction=reduction) * weights).sum(), (a, b)
    )


def test_tensors_of_two_dtypes_are_refused(device):
    a = device.tensor(rows())
    for call in (gramless.nt_xent, gramless.cka):
        with pytest.raises(
            TypeError, match=r"on a GPU all arrays must have one dtype but .* has torch.float64"
        ):
            call(a, a.float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_laplace_has_values_and_no_gradients(device, dtype):
    """Half of the rows are near another one, 1e-4 apart, or equal to it."""
    x, y = (torch.from_numpy(rows(70, 20, seed)) for seed in (0, 1))
    x[35:] = x[:35]
    x[35:60] += 1e-4 * torch.from_numpy(rows(25, 20, 2))
    x, y = x.to(dtype), y.to(dtype)
    on_device = device.tensor(x), device.tensor(y)
    kernels = {"kernel": gramless.Laplace(sigma=4.0), "kernel_y": gramless.Laplace(sigma=6.0)}
    expected = gramless.cka(x.double().numpy(), y.double().numpy(), **kernels)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2e-2}[dtype]
    assert abs(gramless.cka(*on_device, **kernels).item() - expected) < tolerance
    matrix = gramless.cka_matrix([*on_device, on_device[0]], kernel="laplace")
    plain = gramless.cka_matrix([x.double().numpy(), y.double().numpy()], kernel="laplace")
    assert abs(matrix[0, 1].item() - plain[0, 1]) < tolerance
    assert abs(matrix[0, 2].item() - 1) < tolerance
    a, b = device.tensor(x, requires_grad=True), on_device[1]
    with pytest.raises(RuntimeError, match="such as Laplace, are not computed on a GPU"):
        gramless.cka(a, b, **kernels).backward()


def test_ranking_losses_of_the_device(device):
    """Of several directions, in which the CPU leaves out pairs by id; two arrays of negatives are refused."""
    loss = gramless.compat.MultipleNegativesRankingLoss
    x, y = rows(), rows(seed=1)
    for directions in (("query_to_doc",), ("query_to_doc", "doc_to_query", "query_to_query", "doc_to_doc")):
        of = loss(None, directions=directions).compute_loss_from_embeddings
        leaves = [torch.from_numpy(side).requires_grad_() for side in (x, y)]
        others = [device.tensor(side, requires_grad=True) for side in (x, y)]
        expected, found = of(leaves), of(others)
        assert device.is_here(found)
        np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-9)
        for ours, theirs in zip(grads_of(found, *others), grads_of(expected, *leaves), strict=True):
            np.testing.assert_allclose(device.numpy(ours), theirs.numpy(), rtol=1e-9, atol=1e-12)
        with pytest.raises(NotImplementedError) as caught:
            of([device.tensor(side) for side in (x, y, x, y)])
        assert str(caught.value).startswith("MultipleNegativesRankingLoss: more than 2 arrays of keys are")
