"""Torch's function transforms: compile, func, vmap, autocast, checkpointing, second derivatives, opcheck."""

from __future__ import annotations

import gramless
import pytest

torch = pytest.importorskip("torch")

from gramless.torch import CKALoss, NTXentLoss, SupConLoss  # noqa: E402

LABELS = torch.tensor([3, 1, 3, 3, 9, 1])
LOSSES = {
    "nt_xent": lambda a, b, t: gramless.nt_xent(a, b, temperature=t),
    "info_nce": lambda a, b, t: gramless.info_nce(a, b, b * 2, temperature=t, exclude_hardest=0.2),
    "easiest": lambda a, b, t: gramless.nt_xent(a, b, temperature=t, exclude_easiest=0.3),
    "sup_con": lambda a, b, t: gramless.sup_con(a * b, LABELS, temperature=t, reduction="none"),
    "log_sum_exp": lambda a, b, t: gramless.row_log_sum_exp(a, temperature=t, exclude_self=True) + b.sum(),
    "distillation": lambda a, b, t: (
        gramless.similarity_distillation(a, b, b * 2, b, temperature=t, teacher_temperature=0.1) + b.sum()
    ),
    "cka": lambda a, b, t: gramless.cka(a, b / t, kernel="rbf"),
    "cka_matrix": lambda a, b, t: gramless.cka_matrix([a, b], [b, a * t], estimator="biased"),
}
every_loss = pytest.mark.parametrize("loss", LOSSES)


def total(loss):
    return lambda *inputs: LOSSES[loss](*inputs).sum()


def inputs_of(*batch, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, *batch, 6, 5, dtype=dtype, generator=generator)
    return a, b, torch.tensor(0.3, dtype=dtype)


def grads_of(function, inputs):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(function(*inputs), inputs)


def assert_all_close(found, expected, **tolerance):
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, **tolerance)


@every_loss
def test_func_grad_is_backward(loss):
    inputs = inputs_of()
    expected = grads_of(total(loss), inputs)
    assert_all_close(torch.func.grad(total(loss), argnums=(0, 1, 2))(*inputs), expected)


@every_loss
def test_vmap_is_one_call_for_each(loss):
    a, b, t = inputs_of(3)
    b_last = b.permute(1, 2, 0)
    found = torch.func.vmap(LOSSES[loss], (0, 2, None))(a, b_last, t)
    assert_all_close(found, [LOSSES[loss](a[i], b[i], t) for i in range(3)])
    gradient = torch.func.grad(total(loss), argnums=(0, 1, 2))
    found = torch.func.vmap(gradient, (0, 2, None))(a, b_last, t)
    expected = [gradient(a[i], b[i], t) for i in range(3)]
    assert_all_close(found, [torch.stack(each) for each in zip(*expected, strict=True)])
    with torch.no_grad():
        assert torch.func.vmap(LOSSES[loss], (0, 0, None))(a, b, t).shape[0] == 3


def test_jacobians_and_gradients_of_a_vmap():
    a, b, t = inputs_of()
    jacobian = torch.func.jacrev(lambda a: gramless.nt_xent(a, b, temperature=t, reduction="none"))(a)
    summed = torch.func.grad(lambda a: gramless.nt_xent(a, b, temperature=t, reduction="sum"))(a)
    torch.testing.assert_close(jacobian.sum(0), summed)
    temperatures = torch.tensor([0.2, 0.5], dtype=a.dtype, requires_grad=True)
    losses = torch.func.vmap(lambda t: gramless.nt_xent(a, b, temperature=t))(temperatures)
    expected = [grads_of(LOSSES["nt_xent"], (a, b, t))[2] for t in temperatures]
    assert_all_close(torch.autograd.grad(losses.sum(), temperatures)[0], expected)


@every_loss
def test_a_second_derivative_is_refused(loss):
    a, b, t = inputs_of()
    a.requires_grad_()
    (first,) = torch.autograd.grad(total(loss)(a, b, t), a, create_graph=True)
    torch.testing.assert_close(first.detach(), grads_of(total(loss), (a, b, t))[0])
    with pytest.raises(NotImplementedError, match="a second derivative was requested"):
        torch.autograd.grad(first.square().sum(), a)
    with pytest.raises(NotImplementedError, match="a second derivative was requested"):
        torch.func.jacrev(torch.func.jacrev(total(loss)))(a.detach(), b, t)


FORWARD_MODE = {
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (x,)),
    "jvp of grad": lambda f, x: torch.func.jvp(torch.func.grad(f), (x,), (x,)),
    "jacfwd": lambda f, x: torch.func.jacfwd(f)(x),
    "hessian": lambda f, x: torch.func.hessian(f)(x),
}


def grad_of_grad(f, x):
    return torch.func.grad(lambda y: torch.func.grad(f)(y).sum())(x)


def dual(f, x):
    with torch.autograd.forward_ad.dual_level():
        f(torch.autograd.forward_ad.make_dual(x, x))


@every_loss
@pytest.mark.filterwarnings("ignore")  # torch's own, of its own compiler
def test_forward_mode_is_refused(loss):
    a, b, t = inputs_of()

    def one(a):
        return total(loss)(a, b, t)

    for mode in (*FORWARD_MODE.values(), dual, torch.no_grad()(dual), grad_of_grad):
        with pytest.raises(NotImplementedError, match="a second derivative was requested"):
            mode(one, a)
    constant, tangent = torch.func.jvp(lambda x: one(a) + x.sum(), (b,), (b,))
    torch.testing.assert_close(constant, one(a) + b.sum())
    torch.testing.assert_close(tangent, b.sum())


OF_BOTH_KINDS = [  # one loss and one CKA: the others of each kind are the same operator
    pytest.param(loss, marks=() if loss in ("nt_xent", "cka") else pytest.mark.slow) for loss in LOSSES
]


@pytest.mark.parametrize("loss", OF_BOTH_KINDS)
@pytest.mark.filterwarnings("ignore")
def test_forward_mode_is_refused_where_it_is_compiled(loss):
    """An earlier version returned a tangent of 0."""
    a, b, t = inputs_of()
    torch._dynamo.reset()
    compiled = torch.compile(FORWARD_MODE["jvp"], backend="eager")
    with pytest.raises(NotImplementedError, match="a second derivative was requested"):
        compiled(lambda x: total(loss)(x, b, t), a)


@every_loss
@pytest.mark.filterwarnings("ignore")
def test_a_gradient_of_a_gradient_is_refused_where_it_is_traced(loss):
    """An earlier version returned 0."""
    a, b, t = inputs_of()
    torch._dynamo.reset()
    compiled = torch.compile(grad_of_grad, fullgraph=True, backend="eager")
    with pytest.raises(Exception, match="a second derivative was requested"):
        compiled(lambda x: total(loss)(x, b, t), a)


@pytest.mark.parametrize("loss", ["nt_xent", "cka"])
@pytest.mark.filterwarnings("ignore")  # torch's own, of its own compiler
def test_compile_in_one_graph(loss):
    def step(a, b, t):
        return (LOSSES[loss](a.sin(), b, t) * 2).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    inputs = inputs_of()
    assert_all_close(grads_of(compiled, inputs), grads_of(step, inputs))
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), step(*inputs))
    torch.testing.assert_close(compiled(*inputs), step(*inputs))  # nothing requires a gradient


@pytest.mark.filterwarnings("ignore")
def test_compile_for_any_batch_and_temperature():
    def step(a, b, temperature):
        return gramless.nt_xent(a.sin(), b, temperature=temperature) + gramless.cka(a, b)

    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend="aot_eager")
    a, b, _ = inputs_of()
    for rows, temperature in ((6, 0.5), (5, 0.1), (4, 0.2)):
        inputs = a[:rows], b[:rows]
        expected = grads_of(lambda a, b, t=temperature: step(a, b, t), inputs)
        assert_all_close(grads_of(lambda a, b, t=temperature: compiled(a, b, t), inputs), expected)
    with pytest.raises(ValueError, match="nt_xent: temperature must be finite and not 0"):
        compiled(a, b, 0.0)


@pytest.mark.parametrize("loss", ["nt_xent", "cka"])
@pytest.mark.filterwarnings("ignore")
def test_compile_of_func_grad(loss):
    gradient = torch.func.grad(total(loss), argnums=(0, 1, 2))
    compiled = torch.compile(gradient, fullgraph=True, backend="aot_eager")
    assert_all_close(compiled(*inputs_of()), gradient(*inputs_of()))


@pytest.mark.filterwarnings("ignore")
def test_modules_compile_with_the_default_compiler():
    class Losses(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.losses = torch.nn.ModuleList([NTXentLoss(), SupConLoss(), CKALoss("rbf")])

        def forward(self, a, b):
            return self.losses[0](a, b) + self.losses[1](a, LABELS) + self.losses[2](a.cos(), b)

    module, inputs = Losses(), inputs_of(dtype=torch.float32)[:2]
    plain = {"cpp.vec_isa_ok": False, "compile_threads": 1}  # no programs that ask the CPU for its vectors
    compiled = torch.compile(module, fullgraph=True, options=plain)
    assert_all_close(grads_of(compiled, inputs), grads_of(module, inputs), rtol=1e-5, atol=1e-6)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_nothing_here(loss, dtype):
    a, b, t = inputs_of(dtype=torch.float32)
    expected = grads_of(total(loss), (a, b, t))
    with torch.autocast("cpu", dtype=dtype):
        value = total(loss)(a, b, t)
        found = grads_of(total(loss), (a, b, t))
    assert value.dtype == torch.float32
    assert_all_close(found, expected, rtol=0, atol=0)
    layer = torch.nn.Linear(5, 4)
    with torch.autocast("cpu", dtype=dtype):
        embedded = layer(a)
        assert embedded.dtype == dtype
        NTXentLoss()(embedded, layer(b)).backward()
    assert layer.weight.grad.dtype == torch.float32
    assert layer.weight.grad.isfinite().all()


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("loss", ["nt_xent", "cka"])
def test_checkpointing_changes_nothing(loss, use_reentrant):
    inputs = [x.requires_grad_() for x in inputs_of()]
    torch.utils.checkpoint.checkpoint(total(loss), *inputs, use_reentrant=use_reentrant).backward()
    assert_all_close([x.grad for x in inputs], grads_of(total(loss), inputs), rtol=0, atol=0)


def test_a_tensor_changed_before_backward_is_noticed():
    a, b, t = (x.requires_grad_() for x in inputs_of())
    for loss in ("nt_xent", "cka"):
        middle = a * 1
        value = total(loss)(middle, b, t)
        middle.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            value.backward()


def test_backward_twice_over_a_retained_graph():
    a, b, t = (x.requires_grad_() for x in inputs_of())
    value = total("nt_xent")(a, b, t)
    first = torch.autograd.grad(value, (a, b, t), retain_graph=True)
    assert_all_close(torch.autograd.grad(value, (a, b, t)), first, rtol=0, atol=0)


@pytest.mark.parametrize("loss", ["nt_xent", "cka"])
@pytest.mark.filterwarnings("ignore")
def test_what_compile_cannot_trace_is_no_zero(loss):
    """torch.compile treats a Function inside a vmap as a constant when differentiated from outside."""
    a, b, t = inputs_of(3)

    def gradient(a):
        return torch.func.grad(lambda a: torch.func.vmap(lambda a, b: LOSSES[loss](a, b, t))(a, b).sum())(a)

    compiled = torch.compile(gradient, fullgraph=True, backend="aot_eager")
    with pytest.raises(Exception, match=r"fake tensor call|functorch|vmap"):
        compiled(a)
    assert gradient(a).count_nonzero() == a.numel()
