"""Functions of jax's arrays: under jit, grad and vmap, with the values and gradients of numpy's."""

from __future__ import annotations

import inspect

import gramless
import numpy as np
import pytest

jax = pytest.importorskip("jax")

from gramless import jax as ours  # noqa: E402

N, D = 24, 6
RNG = np.random.default_rng(0)
A, B, C = (RNG.standard_normal((N, D)) for _ in range(3))
LABELS = np.arange(N) % 5
CASES = {  # positional arguments, and others
    "nt_xent": ((A, B), {"temperature": 0.2}),
    "dcl": ((A, B), {"exclude_above": 0.9}),
    "info_nce": ((A, B, C), {"symmetric": True}),
    "moco": ((A, B, C), {}),
    "guided_info_nce": ((A, B), {"temperature": 0.2, "guide_anchors": A[:, :4], "guide_positives": B[:, :4]}),
    "sup_con": ((A, LABELS), {"temperature": 0.1}),
    "siglip": ((A, B), {"logit_scale": np.array(10.0), "logit_bias": np.array(-10.0)}),
    "similarity_distillation": ((A, B, C), {}),
    "row_log_sum_exp": ((A, B), {"normalize": True}),
    "cka": ((A, B[:, :4]), {"kernel": gramless.RBF(scale=0.7)}),
    "hsic": ((A, B[:, :4]), {"kernel": "distance", "estimator": "biased"}),
    "mmd": ((A, B[:9]), {}),
    "rsa": ((A, B[:, :4]), {"metric": "correlation"}),
}


@pytest.fixture(params=[False, True], ids=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param):
        yield np.float64 if request.param else np.float32


def close(dtype):
    return {"rtol": 1e-6, "atol": 1e-7} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-14}


def test_every_function_is_in_a_case():
    assert set(CASES) == set(ours.__all__) == set(dir(ours))


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_numpys(name, dtype):
    arguments, options = CASES[name]
    given = [x.astype(dtype) if x.dtype.kind == "f" else x for x in arguments]
    arrays = {key: x for key, x in options.items() if isinstance(x, np.ndarray)}
    places = [i for i, x in enumerate(given) if x.dtype.kind == "f"]
    function, of_numpy = getattr(ours, name), getattr(gramless, name)

    def total(*args, **kwargs):
        return 3 * function(*args, **(options | kwargs)).sum()

    value = of_numpy(*given, **options)
    cotangent = {"cotangent": np.ones(N)} if np.ndim(value) else {}
    constants = [key for key in arrays if key.startswith("guide")]
    wrt = [[*inspect.signature(of_numpy).parameters][i] for i in places]
    wrt += [key for key in arrays if key not in constants]
    if name == "similarity_distillation":  # the others are constants
        wrt = ["student"]
    _, expected = gramless.value_and_grad(of_numpy, wrt)(*given, **options, **cotangent)
    for run in (lambda f: f, jax.jit):
        np.testing.assert_allclose(
            run(lambda *args: function(*args, **options))(*given), value, **close(dtype)
        )
        by_array = run(jax.grad(total, argnums=tuple(places)))(*given)
        for found, by in zip(by_array, expected, strict=False):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, 3 * by, **close(dtype))
    if name == "siglip":
        by_bias = jax.grad(lambda b: function(*given, logit_scale=10.0, logit_bias=b))(dtype(-10.0))
        np.testing.assert_allclose(by_bias, expected[-1], **close(dtype))
    if name == "similarity_distillation":
        assert not np.any(by_array[1])


@pytest.mark.parametrize("temperature", [0.5, 0.07])
def test_nt_xent_is_optaxs(temperature, dtype):
    optax = pytest.importorskip("optax")
    a, b, labels = A.astype(dtype), B.astype(dtype), np.tile(np.arange(N), 2)

    def theirs(a, b, t):
        return optax.losses.ntxent(jax.numpy.concatenate([a, b]), labels, t)

    def loss(a, b, t):
        return ours.nt_xent(a, b, temperature=t)

    t = jax.numpy.asarray(temperature, dtype)
    found, expected = (jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2)))(a, b, t) for f in (loss, theirs))
    limits = {"rtol": 2e-6, "atol": 2e-6} if dtype is np.float32 else {"rtol": 1e-10, "atol": 1e-10}
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, **limits)


def test_a_compiled_function_is_traced_once_for_any_temperature():
    traced = []

    @jax.jit
    def step(a, b, t):
        traced.append(1)
        return jax.value_and_grad(lambda a: ours.nt_xent(a, b, temperature=t))(a)

    for t in (0.1, 0.2, 0.3):
        value, _ = step(A, B, t)
        assert float(value) == pytest.approx(gramless.nt_xent(A, B, temperature=t), rel=1e-5)
    assert len(traced) == 1


def test_losses_of_anchors_have_the_gradients_of_what_is_made_of_them():
    weights = RNG.standard_normal(2 * N)

    def loss(a):
        return (ours.nt_xent(a, B, reduction="none") * weights).sum()

    with jax.enable_x64(True):
        found = jax.jit(jax.grad(loss))(A)
    both = gramless.value_and_grad(gramless.nt_xent, "z_a")
    _, expected = both(A, B, reduction="none", cotangent=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_vmap_goes_through_a_batch_of_problems():
    several = np.stack([A, B, C]).astype(np.float32)
    values, grads = jax.vmap(jax.value_and_grad(lambda a: ours.cka(a, several[1])))(several)
    for a, value, grad in zip(several, values, grads, strict=True):
        expected, by = gramless.value_and_grad(gramless.cka, "x")(a, several[1])
        assert float(value) == pytest.approx(expected, rel=1e-6)
        np.testing.assert_allclose(grad, by, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_narrow_arrays_have_narrow_gradients(name):
    a, b = (jax.numpy.asarray(x, name) for x in (A, B))
    value, by_a = jax.value_and_grad(ours.nt_xent)(a, b)
    assert (value.dtype, by_a.dtype) == (np.float32, a.dtype)
    assert float(value) == pytest.approx(
        gramless.nt_xent(*(np.asarray(x, np.float32) for x in (a, b))), rel=1e-6
    )


def test_what_does_not_fit_is_one_sentence_where_it_is_traced():
    compiled = jax.jit(ours.nt_xent)
    with pytest.raises(ValueError, match=r"^nt_xent: z_a has 24 rows but z_b has 9(\n|$)"):
        compiled(A, B[:9])
    with pytest.raises(ValueError, match=r"labels of rows are for sup_con"):
        compiled(A, LABELS)
    with pytest.raises(ValueError, match=r"^nt_xent: temperature must be finite and not 0"):
        ours.nt_xent(A, B, temperature=0.0)
    with pytest.raises(TypeError, match="missing a required argument: 'z_b'"):
        ours.nt_xent(A)


def test_other_derivatives_are_refused():
    def loss(a):
        return ours.nt_xent(a, B)

    with pytest.raises(NotImplementedError, match=r"^nt_xent: a second derivative was requested"):
        jax.grad(lambda a: jax.grad(loss)(a).sum())(A)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(loss, (A,), (A,))


def test_arrays_of_jax_are_read_by_numpys_functions():
    assert gramless.nt_xent(jax.numpy.asarray(A), B) == pytest.approx(gramless.nt_xent(A, B), rel=1e-6)
