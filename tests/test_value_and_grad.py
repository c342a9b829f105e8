"""`value_and_grad`: gradients without autograd, bitwise-identical for numpy and for tensors."""

from __future__ import annotations

import gramless
import numpy as np
import pytest
from gramless import RBF, value_and_grad

KERNELS = {"linear": "linear", "rbf": "rbf", "sigma": RBF(sigma=2.0), "laplace": "laplace"}
every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_estimator = pytest.mark.parametrize("estimator", ["biased", "unbiased"])


def pair(dtype=np.float64):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((12, 4))
    return x.astype(dtype), (x[:, :3] + generator.standard_normal((12, 3))).astype(dtype)


def by_autograd(function, arrays, cotangent=None):
    torch = pytest.importorskip("torch")
    leaves = [torch.from_numpy(x).requires_grad_() for x in arrays]
    value = function(*leaves)
    weights = None if cotangent is None else torch.from_numpy(cotangent)
    return value.detach().numpy(), [g.numpy() for g in torch.autograd.grad(value, leaves, weights)]


@every_kernel
@every_estimator
@pytest.mark.parametrize("name", ["cka", "hsic"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_and_tensors_get_the_same_bits(name, kernel, estimator, dtype):
    function, options = getattr(gramless, name), {"kernel": KERNELS[kernel], "estimator": estimator}
    x, y = pair(dtype)
    value, grads = value_and_grad(function)(x, y, **options)
    expected, of_torch = by_autograd(lambda x, y: function(x, y, **options), (x, y))
    assert dtype(value) == expected
    for ours, theirs in zip(grads, of_torch, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)


def test_a_median_is_taken_in_the_dtype_of_the_computation():
    """float32 rows together with float64 rows are computed in float64, with a backward or without."""
    torch = pytest.importorskip("torch")
    (x, _), (_, y) = pair(np.float32), pair()
    value = gramless.cka(x, y, kernel="rbf")
    assert value_and_grad(gramless.cka)(x, y, kernel="rbf")[0] == value
    leaves = torch.from_numpy(x).requires_grad_(), torch.from_numpy(y)
    assert gramless.cka(*leaves, kernel="rbf").item() == value


@pytest.mark.parametrize("form", ["numpy", "tensors", "leaves"])
@pytest.mark.parametrize("kernel", ["linear", RBF(sigma=0.01)], ids=["linear", "narrow"])
def test_every_path_says_the_same_of_what_has_no_cka(form, kernel):
    x, y = pair()
    y = np.ones_like(y) if kernel == "linear" else y
    texts = []
    for as_given in (lambda z: z, as_form(form)):
        for call in (gramless.cka, lambda x, y, **options: gramless.cka_matrix([x, y], **options)):
            with pytest.warns(RuntimeWarning) as caught:
                call(as_given(x), as_given(y), kernel=kernel)
            assert [warning.filename for warning in caught] == [__file__]
            texts.append(str(caught[0].message))
    assert texts[:2] == texts[2:]


def as_form(form):
    if form == "numpy":
        return lambda z: z
    torch = pytest.importorskip("torch")
    return lambda z: torch.from_numpy(z).requires_grad_(form == "leaves")


@pytest.mark.parametrize("name", ["cka_matrix", "hsic_matrix"])
def test_matrices_take_a_cotangent_and_give_a_gradient_for_each_layer(name):
    function = getattr(gramless, name)
    x, y = pair()
    weights = np.random.default_rng(1).standard_normal((2, 1))
    value, (of_xs, of_ys) = value_and_grad(function)([x, 2 * x], [y], cotangent=weights)
    expected, of_torch = by_autograd(lambda a, b, c: function([a, b], [c]), (x, 2 * x, y), weights)
    np.testing.assert_array_equal(value, expected)
    for ours, theirs in zip([*of_xs, *of_ys], of_torch, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"a value of shape \(2, 1\) needs a cotangent of that shape"):
        value_and_grad(function)([x, x], [y])
    with pytest.raises(ValueError, match=r"has shape \(2, 1\) but the cotangent has shape \(1, 2\)"):
        value_and_grad(function)([x, x], [y], cotangent=weights.T)


def test_one_name_is_one_gradient_and_several_are_a_tuple_in_their_order():
    x, y = pair()
    value, (by_x, by_y) = value_and_grad(gramless.cka)(x, y)
    assert value == gramless.cka(x, y)
    np.testing.assert_array_equal(value_and_grad(gramless.cka, "y")(x, y)[1], by_y)
    swapped = value_and_grad(gramless.cka, ["y", "x"])(x, y)[1]
    np.testing.assert_array_equal(swapped[0], by_y)
    np.testing.assert_array_equal(swapped[1], by_x)


def test_a_cotangent_scales_the_gradient():
    x, y = pair()
    once = value_and_grad(gramless.hsic, "x")(x, y)[1]
    np.testing.assert_array_equal(value_and_grad(gramless.hsic, "x")(x, y, cotangent=2.0)[1], 2 * once)


def test_tensors_are_detached():
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(z).requires_grad_() for z in pair())
    value, grads = value_and_grad(gramless.cka)(x, y)
    assert not value.requires_grad
    assert all(isinstance(grad, torch.Tensor) and not grad.requires_grad for grad in grads)


def test_what_has_no_gradient_is_refused():
    x, y = pair()
    with pytest.raises(TypeError, match="value_and_grad: median_distance is not one of gramless's"):
        value_and_grad(gramless.median_distance)
    with pytest.raises(ValueError, match=f"cka has {ONLY.format('kernel', 'x, y')}"):
        value_and_grad(gramless.cka, "kernel")(x, y)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("one_queue", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distillation_is_the_same_for_numpy_and_for_tensors(dtype, one_queue, reduction):
    torch = pytest.importorskip("torch")
    x, y = pair(dtype)
    arrays = (x, x[::-1], x[:7]) if one_queue else (x, y, x[:7], y[3:10])
    options = {"reduction": reduction, "teacher_temperature": 0.1}
    weights = np.random.default_rng(1).standard_normal(12) if reduction == "none" else None
    function = value_and_grad(gramless.similarity_distillation)
    value, (by_student, by_temperature) = function(*arrays, temperature=0.3, cotangent=weights, **options)
    tensors = [torch.from_numpy(z.copy()) for z in arrays]
    leaves = tensors[0].requires_grad_(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    expected = gramless.similarity_distillation(*tensors, temperature=leaves[1], **options)
    grads = torch.autograd.grad(
        expected, leaves, None if weights is None else torch.from_numpy(weights).to(expected.dtype)
    )
    np.testing.assert_array_equal(np.asarray(value, dtype), expected.detach().numpy())
    if dtype is np.float64 or weights is None:  # otherwise the cotangent is rounded first
        np.testing.assert_array_equal(by_student, grads[0].numpy())
        assert by_temperature == grads[1].item()


ONLY = "no gradient with respect to '{}', only with respect to {}"
LABELS = np.arange(12) % 5
MASK = np.tril(np.ones((12, 12)), 1)
LOSSES = {  # arrays -> value; queues, for which torch has no gradient, are not among the arrays
    "nt_xent": lambda f, a, b, q, **o: f(gramless.nt_xent)(a, b, **o),
    "dcl": lambda f, a, b, q, **o: f(gramless.dcl)(a, b, **o),
    "info_nce": lambda f, a, b, q, **o: f(gramless.info_nce)(a, b, q, symmetric=True, **o),
    "moco": lambda f, a, b, q, **o: f(gramless.moco)(a, b, q, **o),
    "sup_con": lambda f, a, b, q, **o: f(gramless.sup_con)(a, LABELS, **o),
    "ignoring": lambda f, a, b, q, **o: f(gramless.sup_con)(a, LABELS, ignore_index=2, **o),
    "mask": lambda f, a, b, q, **o: f(gramless.sup_con)(a, mask=MASK, **o),
}
every_loss = pytest.mark.parametrize("loss", LOSSES)


def views(dtype=np.float64):
    generator = np.random.default_rng(0)
    a, noise = generator.standard_normal((2, 12, 4))
    return a.astype(dtype), (a + noise).astype(dtype), generator.standard_normal((7, 4)).astype(dtype)


@every_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_have_the_same_bits_for_numpy_and_for_tensors(dtype, normalize, reduction, loss):
    torch = pytest.importorskip("torch")
    a, b, q = views(dtype)
    options = {"normalize": normalize, "reduction": reduction}
    count = 1 if loss in ("sup_con", "ignoring", "mask") else 2
    weights = None
    if reduction == "none":
        weights = np.random.default_rng(1).standard_normal(24 if loss in ("nt_xent", "dcl") else 12)
        weights = weights.astype(dtype)
    wrt = (
        ["z_a", "z_b"]
        if loss in ("nt_xent", "dcl")
        else ["anchors", "keys"]
        if loss == "info_nce"
        else ["q", "k"]
    )
    wrt = ["z", "temperature"] if count == 1 else [*wrt, "temperature"]
    value, grads = LOSSES[loss](
        lambda f: value_and_grad(f, wrt), a, b, q, temperature=0.3, cotangent=weights, **options
    )
    x, y = (torch.from_numpy(z).requires_grad_() for z in (a, b))
    t = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    expected = LOSSES[loss](lambda f: f, x, y, torch.from_numpy(q), temperature=t, **options)
    of_torch = torch.autograd.grad(
        expected, [*(x, y)[:count], t], None if weights is None else torch.from_numpy(weights)
    )
    np.testing.assert_array_equal(np.asarray(value, dtype), expected.detach().numpy())
    for ours, theirs in zip(grads, of_torch, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())
    alone = LOSSES[loss](lambda f: f, a, b, q, temperature=0.3, **options)
    np.testing.assert_array_equal(value, alone)


@pytest.mark.parametrize("function", [gramless.info_nce, gramless.moco], ids=["info_nce", "moco"])
def test_a_queue_has_a_gradient_where_no_autograd_holds_it_constant(function):
    a, b, q = views()
    _, (by_a, by_b, by_q, by_t) = value_and_grad(function)(a, b, q, temperature=0.5)
    assert (by_a.shape, by_b.shape, by_q.shape) == (a.shape, b.shape, q.shape)
    step = 1e-6 * np.random.default_rng(1).standard_normal(q.shape)
    change = function(a, b, q + step, temperature=0.5) - function(a, b, q - step, temperature=0.5)
    assert change / 2 == pytest.approx((by_q * step).sum(), rel=1e-6)
    slope = (function(a, b, q, temperature=0.5 + 1e-6) - function(a, b, q, temperature=0.5 - 1e-6)) / 2e-6
    assert by_t == pytest.approx(slope, rel=1e-6)
    torch = pytest.importorskip("torch")
    leaves = [torch.from_numpy(x).requires_grad_() for x in (a, b, q)]
    function(*leaves, temperature=0.5).backward()
    assert leaves[2].grad is None
    _, of_tensors = value_and_grad(function)(*leaves, temperature=0.5)
    np.testing.assert_array_equal(of_tensors[2].numpy(), by_q)


def test_gradients_come_in_the_order_of_the_signature_and_by_name():
    a, b, _ = views()
    _, grads = value_and_grad(gramless.info_nce)(a, b)
    assert len(grads) == 3  # anchors, keys, and the temperature that was left at its default
    _, by_keys = value_and_grad(gramless.info_nce, "keys")(a, b)
    np.testing.assert_array_equal(by_keys, grads[1])
    _, (by_t, by_a) = value_and_grad(gramless.info_nce, ["temperature", "anchors"])(a, b)
    np.testing.assert_array_equal(by_a, grads[0])
    assert by_t == grads[2]
    with pytest.raises(ValueError, match=ONLY.format("queue", "anchors, keys, temperature")):
        value_and_grad(gramless.info_nce, "queue")(a, b)
    with pytest.raises(ValueError, match=ONLY.format("labels", "z, temperature")):
        value_and_grad(gramless.sup_con, "labels")(a, LABELS)
    weights = np.arange(12.0)
    values, (by_x, _) = value_and_grad(gramless.row_log_sum_exp)(a, cotangent=weights)
    _, (once, again, _) = value_and_grad(gramless.row_log_sum_exp)(a, a, cotangent=weights)
    np.testing.assert_array_equal(values, gramless.row_log_sum_exp(a))
    np.testing.assert_array_equal(by_x, once + again)


def test_a_cotangent_is_of_any_library_and_is_checked():
    torch = pytest.importorskip("torch")
    x, y = pair()
    function, weights = value_and_grad(gramless.cka_matrix, "xs"), np.array([[0.5, -1.0], [2.0, 0.25]])
    expected = function([x, y], cotangent=weights)[1]
    followed = torch.from_numpy(weights).requires_grad_()
    for given in (weights.tolist(), weights.astype(np.float16), followed, followed.detach().bfloat16()):
        for ours, theirs in zip(function([x, y], cotangent=given)[1], expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    masked = np.ma.masked_array(weights, [[True, False], [False, False]])
    with pytest.raises(TypeError, match="cka_matrix: the cotangent is a masked array"):
        function([x, y], cotangent=masked)
    with pytest.raises(TypeError, match="value_and_grad: wrt must be a name, several names or None but is 3"):
        value_and_grad(gramless.cka, 3)


@pytest.mark.parametrize("of_torch", [False, True])
def test_a_cotangent_of_any_library_is_read_as_arrays_are(of_torch):
    torch = pytest.importorskip("torch")
    x, cotangent = pair()[0], np.linspace(-1.0, 2.0, 12)
    found = value_and_grad(gramless.row_log_sum_exp, "x")
    expected = found(x, cotangent=cotangent)[1]
    given = torch.from_numpy(x) if of_torch else x
    tensor = torch.from_numpy(cotangent)
    negated = torch.complex(tensor, -tensor).conj().imag  # the same numbers with a lazy flag of torch
    for same in (
        tensor,
        tensor.clone().requires_grad_(),
        negated,
        cotangent.tolist(),
        cotangent.astype(">f8"),
    ):
        assert np.array_equal(np.asarray(found(given, cotangent=same)[1]), expected)
    narrow = tensor.bfloat16()
    rounded = found(given, cotangent=narrow)[1]
    assert np.array_equal(np.asarray(rounded), found(x, cotangent=narrow.double().numpy())[1])


@pytest.mark.parametrize("of_torch", [False, True])
def test_a_cotangent_that_cannot_be_read_is_refused_in_one_sentence(of_torch):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(pair()[0]) if of_torch else pair()[0]
    found = value_and_grad(gramless.row_log_sum_exp)
    refused = {
        "the cotangent is a masked array": np.ma.masked_array(np.ones(12), [True] + [False] * 11),
        "the cotangent is on meta": torch.ones(12, device="meta"),
        "the cotangent must be a dense tensor": torch.ones(12).to_sparse(),
        "the cotangent must be a number or an array but is list": [[1.0], [1.0, 2.0]],
        "the cotangent must hold real numbers but has dtype <U1": "a",
    }
    for sentence, cotangent in refused.items():
        with pytest.raises(TypeError, match=f"^row_log_sum_exp: {sentence}"):
            found(x, cotangent=cotangent)
    for cotangent in (np.ma.masked, torch.tensor(1.0, device="meta")):
        with pytest.raises(TypeError, match=r"^nt_xent: the cotangent is"):
            value_and_grad(gramless.nt_xent)(x, x, cotangent=cotangent)
