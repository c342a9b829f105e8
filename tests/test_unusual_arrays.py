"""Rare kinds of arrays: every function reads their values, or raises one error with its name."""

from __future__ import annotations

import warnings

import gramless as gl
import numpy as np
import pytest
from gramless import compat, reference
from gramless.analysis import cka_difference, cka_interval, class_separation

torch = pytest.importorskip("torch")

X, Y = np.random.default_rng(0).integers(-9, 9, (2, 20, 3)).astype(float)
TENSOR = torch.from_numpy(Y)
LABELS = np.arange(20) // 4
CALLS = {
    "cka": lambda y: gl.cka(X, y),
    "cka beside a tensor": lambda y: gl.cka(torch.from_numpy(X), y),
    "nt_xent": lambda y: gl.nt_xent(X, y),
    "cka_matrix": lambda y: gl.cka_matrix([X, y])[0, 1],
    "cka_interval": lambda y: cka_interval(X, y).value,
    "cka_interval of groups": lambda y: cka_interval(X, y, groups=5).value,
    "cka_difference": lambda y: cka_difference((X, y), (X, X)).first,
    "class_separation": lambda y: class_separation(y, LABELS),
    "gram_linear": lambda y: compat.cka(X @ X.T, compat.gram_linear(y)),
    "update_state": lambda y: updated(y)[0, 1],
    "hsic": lambda y: reference.hsic(X, y),
}


def updated(y):
    metric = compat.MinibatchCKA(dtype=np.float64)
    metric.update_state([X, y])
    return metric.result()


def bfloat16():
    return Y.astype(pytest.importorskip("ml_dtypes").bfloat16)


def of_jax(**options):
    return pytest.importorskip("jax").numpy.asarray(Y, **options)


SAME = {
    "bfloat16 of torch": lambda: TENSOR.bfloat16(),
    "bfloat16 of numpy": bfloat16,
    "bfloat16 of jax": lambda: of_jax(dtype="bfloat16"),
    "jax": of_jax,
    "a negative view": lambda: torch.complex(TENSOR, -TENSOR).conj().imag,
    "needs gradients": lambda: TENSOR.clone().requires_grad_(),
    "of inference mode": lambda: inferred(),
    "rows of tensors": lambda: list(TENSOR),
}


def inferred():
    with torch.inference_mode():
        return TENSOR.clone()


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("function", CALLS)
def test_it_is_read_as_what_it_is(name, function):
    with torch.no_grad():
        found = float(CALLS[function](SAME[name]()))
    assert found == pytest.approx(float(CALLS[function](Y)), rel=1e-6)


def with_a_freed_row():
    last = TENSOR[19].clone()
    last.untyped_storage().resize_(0)
    return [*TENSOR[:19], last]


def masked():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls them a prototype
        return torch.masked.masked_tensor(TENSOR, TENSOR > 0)


def deleted():
    x = of_jax() + 0
    x.delete()
    return x


class Fails:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not\nnow")


REFUSED = {  # and a part of the sentence
    "freed rows": (with_a_freed_row, r"\[19\] is a Tensor without storage"),
    "masked": (masked, "is a masked tensor, whose mask would be ignored"),
    "a conjugate view": (lambda: torch.complex(TENSOR, TENSOR).conj(), "must hold real numbers"),
    "quantised": (
        lambda: torch.quantize_per_tensor(TENSOR.float(), 1.0, 0, torch.qint8),
        "must hold real numbers but has dtype torch.qint8",
    ),
    "eight bits": (lambda: TENSOR.to(torch.float8_e5m2), "must hold real numbers but has dtype torch.float8"),
    "deleted": (deleted, "Array has been deleted"),
    "a type": (lambda: np.ndarray, "is type|has dtype object"),
    "fails": (Fails, r"is Fails \(not now\)"),
}


@pytest.mark.filterwarnings("ignore")  # of torch, on quantised tensors
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("function", CALLS)
def test_it_is_one_sentence(name, function):
    make, part = REFUSED[name]
    bad = make()
    with pytest.raises((TypeError, ValueError), match=part) as found:
        CALLS[function](bad)
    owner = {"update_state": "MinibatchCKA"}.get(function, function.split()[0])
    assert str(found.value).startswith(f"{owner}")
    assert "\n" not in str(found.value)


def test_text_in_arrays_of_objects_is_labels():
    """As columns of pandas hold it."""
    text = np.array(list("abcde"), object)[LABELS]
    for function in (gl.sup_con, reference.sup_con, class_separation):
        assert function(Y, text) == function(Y, LABELS)
    with pytest.raises(TypeError, match=r"^sup_con: labels must be integers or text but has dtype object$"):
        gl.sup_con(Y, np.array(["a", 1] * 10, object))
    with pytest.raises(
        TypeError, match=r"^class_separation: labels must be integers or text but hold int, str$"
    ):
        class_separation(Y, ["a", 1] * 10)
