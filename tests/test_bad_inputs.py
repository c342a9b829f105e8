"""Invalid arrays raise one error, the same from numpy, tensors and torch's transforms."""

from __future__ import annotations

import re

import gramless as gl
import numpy as np
import pytest

torch = pytest.importorskip("torch")

N, D = 12, 4
X, Y = np.random.default_rng(0).standard_normal((2, N, D))
CALLS = {  # a call with a good and a bad array, and the name of the bad one
    "moco": (lambda f, x, bad: f(x, bad, x), "k"),
    "dcl": (lambda f, x, bad: f(x, bad), "z_b"),
    "sup_con": (lambda f, x, bad: f(bad, np.arange(N) // 2), "z"),
    "siglip": (lambda f, x, bad: f(x, bad, logit_scale=2.0, logit_bias=0.0), "b"),
    "guided_info_nce": (
        lambda f, x, bad: f(x, x, guide_anchors=x, guide_positives=bad),
        "guide_positives",
    ),
    "hsic": (lambda f, x, bad: f(x, bad), "y"),
    "rsa": (lambda f, x, bad: f(x, bad), "y"),
    "mmd": (lambda f, x, bad: f(x, bad), "y"),
    "alignment": (lambda f, x, bad: f(x, bad), "y"),
    "hsic_matrix": (lambda f, x, bad: f([x], [bad]), "ys[0]"),
    "cka_matrix": (lambda f, x, bad: f([x, bad]), "xs[1]"),
    "rsa_matrix": (lambda f, x, bad: f([x, bad]), "xs[1]"),
}
BAD = {  # numpy arrays, or tensors if torch can convert them, and a part of the message
    "masked": (np.ma.masked_array(Y, Y > 1), "is a masked array"),
    "object": (Y.astype(object), "must hold real numbers but has dtype object"),
    "ragged": ([*Y.tolist(), [1.0]], "must be a two-dimensional array but is list"),
    "text": ("words", "must be a two-dimensional array but is str"),
    "nothing": (None, "must be a two-dimensional array but is NoneType"),
    "no dimension": (np.array(1.0), "must have 2 dimensions (rows, features) but has shape ()"),
    "one dimension": (Y[0], "must have 2 dimensions (rows, features) but has shape (4,)"),
    "three dimensions": (Y[None], "must have 2 dimensions (rows, features) but has shape (1, 12, 4)"),
    "complex": (Y + 1j, "must hold real numbers but has dtype complex128"),
    "no rows": (Y[:0], "is empty, its shape is (0, 4)"),
    "no columns": (Y[:, :0], "is empty, its shape is (12, 0)"),
    "byte order": (Y.astype(">f8"), "must have native byte order but has dtype >f8"),
}


class DlpackAlone:
    """Like arrays of some libraries, which numpy.asarray converts to an object."""

    def __init__(self, array):
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


READ = {  # in place or as a copy, without a change of the value
    "negative strides": Y[::-1, ::-1].copy()[::-1, ::-1],
    "lists": Y.tolist(),
    "read-only": np.frombuffer(Y.tobytes()).reshape(Y.shape),
    "DLPack alone": DlpackAlone(Y),
    "every other column": np.repeat(Y, 2, axis=1)[:, ::2],
}


def as_torch(bad):
    """A tensor, or the array itself if torch has no tensor of its kind."""
    try:
        return torch.from_numpy(bad) if type(bad) is np.ndarray else bad
    except (TypeError, ValueError):
        return bad


def ways(name, bad):
    """The call from every path; sup_con has no other array that a transform could follow."""
    call, _ = CALLS[name]
    function, rows, tensor = getattr(gl, name), torch.from_numpy(X), as_torch(bad)
    yield lambda: call(function, X, bad)
    yield lambda: call(gl.value_and_grad(function), X, bad)
    yield lambda: call(function, rows, tensor)
    yield lambda: call(function, rows.clone().requires_grad_(), tensor)
    yield lambda: call(gl.value_and_grad(function), rows, tensor)
    if name != "sup_con":
        yield lambda: torch.func.vmap(lambda x: call(function, x, tensor))(rows[None])
        yield lambda: torch.func.grad(lambda x: call(function, x, tensor).sum())(rows)
    if name == "dcl" and bad is BAD["complex"][0]:  # compiling takes most of the time
        yield lambda: torch.compile(lambda x: call(function, x, tensor), backend="eager")(rows)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("what", BAD)
def test_a_bad_array_is_one_sentence_from_every_path(name, what):
    bad, part = BAD[what]
    begin = re.escape(f"{name}: {CALLS[name][1]} ")
    sentences = set()
    for way in ways(name, bad):
        with pytest.raises((TypeError, ValueError), match=rf"^{begin}") as error:
            way()
        sentences.add(str(error.value).replace("torch.", ""))
    (sentence,) = sentences
    assert part in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", [name for name in CALLS if name != "sup_con"])
def test_a_tensor_without_memory_is_named_in_transforms_too(name):
    call, argument = CALLS[name]
    rows, freed = torch.from_numpy(X), torch.from_numpy(Y).clone()
    freed.untyped_storage().resize_(0)
    for transform, given in (
        (lambda f: f, rows),
        (torch.func.vmap, rows[None]),
        (lambda f: torch.func.grad(lambda x: f(x).sum()), rows),
        (lambda f: torch.compile(f, fullgraph=True, backend="eager"), rows),
    ):
        torch._dynamo.reset()
        with pytest.raises(TypeError, match=rf"^{name}: {re.escape(argument)} is a Tensor without storage"):
            transform(lambda x: call(getattr(gl, name), x, freed))(given)


FREED = {  # arguments that are not arrays of rows
    "labels": (lambda x, freed: gl.sup_con(x, freed), torch.arange(N) // 2),
    "mask": (lambda x, freed: gl.sup_con(x, mask=freed), torch.eye(N)),
    "ids": (lambda x, freed: gl.info_nce(x, torch.from_numpy(Y), ids=freed), torch.arange(N)),
    "temperature": (lambda x, freed: gl.moco(x, x, x, temperature=freed), torch.tensor(0.5)),
    "queue_teacher": (lambda x, freed: gl.similarity_distillation(x, x, x, freed), torch.from_numpy(Y)),
}


@pytest.mark.parametrize("argument", FREED)
def test_labels_masks_and_temperatures_without_memory_are_named(argument):
    call, values = FREED[argument]
    freed = values.clone()
    freed.untyped_storage().resize_(0)
    compiled = torch.compile(lambda x: call(x, freed), fullgraph=True, backend="eager")
    for way in (lambda x: call(x, freed), torch.func.grad(lambda x: call(x, freed)), compiled):
        torch._dynamo.reset()
        with pytest.raises(TypeError, match=rf"^\w+: {argument} is a Tensor without storage"):
            way(torch.from_numpy(X))


@pytest.mark.parametrize("given", [Y, Y.tolist(), (9 * Y).astype("int8"), Y.astype("float32")[:, ::2]])
def test_arrays_of_numpy_and_lists_beside_tensors_compile(given):
    def call(x):
        return gl.cka(x, given)

    torch._dynamo.reset()
    rows = torch.from_numpy(X)
    assert torch.equal(torch.compile(call, fullgraph=True, backend="eager")(rows), call(rows))


def test_a_bad_array_of_numpy_beside_tensors_is_the_same_sentence_compiled():
    torch._dynamo.reset()
    with pytest.raises(
        Exception, match=r"nt_xent: z_b must have 2 dimensions \(rows, features\) but has shape"
    ):
        torch.compile(lambda x: gl.nt_xent(x, Y[0]), fullgraph=True, backend="eager")(torch.from_numpy(X))


@pytest.mark.parametrize("name", CALLS)
def test_unusual_arrays_are_read_as_what_they_are(name):
    call, _ = CALLS[name]
    expected = call(getattr(gl, name), X, Y)
    for array in READ.values():
        assert np.array_equal(call(getattr(gl, name), X, array), expected)


def test_what_dlpack_cannot_hand_over_is_one_sentence():
    class Refuses(DlpackAlone):
        def __init__(self):
            self.__dlpack_device__ = Y.__dlpack_device__

        def __dlpack__(self, **_):
            raise BufferError("not now")

    with pytest.raises(
        TypeError, match=r"^cka: y must be a two-dimensional array but is Refuses \(not now\)$"
    ):
        gl.cka(X, Refuses())
