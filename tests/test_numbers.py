"""Arguments that must be numbers raise one error for numpy, tensors, torch.compile, vmap and func.grad."""

from __future__ import annotations

import re

import gramless as gl
import numpy as np
import pytest
from gramless._counts import shown

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((8, 4))
NUMBERS = {  # a call with the number, and the start of its errors
    "temperature": (lambda a, v: gl.nt_xent(a, X, temperature=v), "nt_xent: temperature"),
    "of moco": (lambda a, v: gl.moco(a, X, X, temperature=v), "moco: temperature"),
    "exclude_above": (lambda a, v: gl.nt_xent(a, X, exclude_above=v), "nt_xent: exclude_above"),
    "exclude_easiest": (lambda a, v: gl.nt_xent(a, X, exclude_easiest=v), "nt_xent: exclude_easiest"),
    "logit_bias": (lambda a, v: gl.siglip(a, X, logit_scale=1.0, logit_bias=v), "siglip: logit_bias"),
    "t": (lambda a, v: gl.uniformity(a, v), "uniformity: t"),
    "margin": (
        lambda a, v: gl.guided_info_nce(a, X, guide_anchors=X, guide_positives=X, margin=v),
        "guided_info_nce: margin",
    ),
    "sigma": (lambda a, v: gl.cka(a, X, kernel=gl.RBF(sigma=v)), "RBF: sigma"),
}
NONE_OF_THEM = {  # a value, and how the sentence ends
    "an array of two": (np.array([1.0, 2.0]), r"must be one number.* but has shape \(2,\)"),
    "a tensor of two": (torch.ones(2), r"must be one number.* but has shape \(2,\)"),
    "an empty array": (np.ones(0), r"must be one number.* but has shape \(0,\)"),
    "True": (True, "must be a number.* but is True"),
    "a list": ([1.0, 2.0], r"must be a number.* but is \[1.0, 2.0\]"),
}


def ways(call, value):
    """The call from every path."""
    rows = torch.from_numpy(X)
    yield lambda: call(X, value)
    yield lambda: call(rows, value)
    yield lambda: call(rows.clone().requires_grad_(), value)
    yield lambda: torch.compile(lambda a: call(a, value), backend="eager")(rows)
    yield lambda: torch.func.vmap(lambda a: call(a, value))(rows[None])
    yield lambda: torch.func.grad(lambda a: call(a, value))(rows)


@pytest.mark.parametrize("value", NONE_OF_THEM)
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_one_sentence_from_every_path(name, value):
    (call, begin), (given, end) = NUMBERS[name], NONE_OF_THEM[value]
    sentences = set()
    for way in ways(call, given):
        torch._dynamo.reset()
        with pytest.raises((TypeError, ValueError), match=rf"^{re.escape(begin)} {end}$") as error:
            way()
        sentences.add(str(error.value))
    assert len(sentences) == 1


@pytest.mark.parametrize(
    "value", [np.True_, np.array(True), np.array([True]), np.array("1"), 10**400], ids=shown
)
def test_truth_text_and_what_no_float_holds_are_no_number(value):
    for call, begin in NUMBERS.values():
        with pytest.raises(TypeError, match=rf"^{re.escape(begin)} must be a number"):
            call(X, value)


@pytest.mark.parametrize("value", [np.float32(0.5), np.array(0.5), np.array([[0.5]])], ids=str)
def test_a_temperature_of_numpy_is_a_number_compiled_too(value):
    rows, other = torch.from_numpy(X), torch.from_numpy(X[::-1].copy())
    torch._dynamo.reset()
    for call in (
        lambda a: gl.nt_xent(a, other, temperature=value),
        lambda a: gl.similarity_distillation(a, other, other, teacher_temperature=value),
    ):
        assert torch.equal(torch.compile(call, fullgraph=True, backend="eager")(rows), call(rows))
