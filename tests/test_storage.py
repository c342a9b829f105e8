"""A call keeps the memory of its tensors until it returns; a tensor without memory raises an error."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence

import gramless
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gramless.analysis import cka_interval, class_separation  # noqa: E402
from gramless.compat import google, kornblith  # noqa: E402


class Lazy(Sequence):
    """Layers that are made at each access, such as those of a file."""

    def __init__(self, layers, requires_grad=False):
        self.layers, self.requires_grad = layers, requires_grad

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, index):
        gc.collect(0)  # a cycle around what was just made
        if index >= len(self.layers):
            raise IndexError
        return torch.from_numpy(self.layers[index].copy()).requires_grad_(self.requires_grad)


def layers(count=6):
    return list(np.random.default_rng(0).standard_normal((count, 512, 64)))


@pytest.mark.parametrize("function", ["cka_matrix", "hsic_matrix"])
def test_layers_of_a_lazy_sequence_are_held(function, tmp_path):
    call, arrays = getattr(gramless, function), layers()
    np.testing.assert_array_equal(call(Lazy(arrays)), call(arrays))
    np.testing.assert_array_equal(call(Lazy(arrays[:2]), Lazy(arrays[2:])), call(arrays[:2], arrays[2:]))
    np.testing.assert_array_equal(call(Lazy(arrays), checkpoint=tmp_path / "sweep"), call(arrays))


def test_batches_of_lazy_sequences_are_held():
    arrays, found, expected = layers(), gramless.MinibatchCKA(), gramless.MinibatchCKA()
    found.update(Lazy(arrays))
    expected.update(arrays)
    np.testing.assert_array_equal(found.compute(), expected.compute())


GIVEN_ANOTHER = """
import threading, gramless, torch

x, y = torch.randn(2, 9000, 60, generator=torch.Generator().manual_seed(0)).unbind()
for call in (lambda x: gramless.hsic(x, y, kernel="rbf"), lambda x: gramless.nt_xent(x, y)):
    expected = call(x)
    for give in (lambda z: setattr(z, "data", torch.zeros(1)), lambda z: z.set_(torch.zeros(1))):
        z = x.clone()
        other = threading.Timer(0.03, give, [z])
        other.start()
        assert torch.equal(call(z), expected)
        other.join()
        assert z.shape == (1,)
print("held")
"""


def test_a_call_holds_the_memory_of_a_tensor_that_is_given_another_one(run_with_torch):
    """Offloading in another thread does this to parameters; reading freed memory ended the process."""
    assert run_with_torch(GIVEN_ANOTHER) == "held\n"


@pytest.mark.parametrize("function", ["cka", "nt_xent"])
def test_a_call_holds_its_tensors(function):
    x = torch.zeros(8, 2)
    alive = weakref.ref(x)
    call = getattr(gramless, function).describe(x, torch.ones(8, 2))
    del x
    assert alive() is not None
    del call
    assert alive() is None


def test_layers_of_a_lazy_sequence_may_need_gradients():
    assert gramless.cka_matrix(Lazy(layers(2), requires_grad=True)).requires_grad


def freed():
    x = torch.randn(8, 4)
    x.untyped_storage().resize_(0)
    return x


def cut():
    x = torch.randn(8, 4)
    x.untyped_storage().resize_(16)
    return x


CALLS = {
    "cka": lambda x, y: gramless.cka(x, y),
    "cka with gradients": lambda x, y: gramless.cka(x, y.clone().requires_grad_()),
    "hsic": lambda x, y: gramless.hsic(y, x, kernel="rbf"),
    "cka_matrix": lambda x, y: gramless.cka_matrix([y, x]),
    "median_distance": lambda x, y: gramless.median_distance(x),
    "independence_test": lambda x, y: gramless.independence_test(x, y),
    "MinibatchCKA": lambda x, y: gramless.MinibatchCKA().update([y, x]),
    "cka_interval": lambda x, y: cka_interval(x, y, groups=5),
    "nt_xent": lambda x, y: gramless.nt_xent(x, y),
    "sup_con": lambda x, y: gramless.sup_con(x, [0, 0, 1, 1, 2, 2, 3, 3]),
    "info_nce": lambda x, y: gramless.info_nce(y, y, x),
    "row_log_sum_exp": lambda x, y: gramless.row_log_sum_exp(x, y),
    "distillation": lambda x, y: gramless.similarity_distillation(y, y, x),
    "gram_linear": lambda x, y: kornblith.gram_linear(x),
    "class_separation": lambda x, y: class_separation(x, [0, 0, 1, 1, 2, 2, 3, 3]),
    "reference": lambda x, y: gramless.reference.hsic(y, x),
    "kornblith.cka": lambda x, y: kornblith.cka(y @ y.T, x),
    "update_state": lambda x, y: google.MinibatchCKA().update_state([y, x]),
}
REFUSAL = "without storage|is on meta"


def known_to_be_zero():
    """Like tangents in forward mode: the storage has a size but no memory."""
    return torch._efficientzerotensor((8, 4))


@pytest.mark.parametrize("make", [freed, cut, known_to_be_zero, lambda: torch.randn(8, 4, device="meta")])
@pytest.mark.parametrize("name", CALLS)
def test_a_tensor_without_memory_is_refused_in_one_sentence(name, make):
    with pytest.raises(TypeError, match=REFUSAL) as caught:
        CALLS[name](make(), torch.randn(8, 4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["median_distance", "independence_test", "MinibatchCKA", "cka_interval"])
def test_what_torch_does_not_transform_refuses_fake_and_wrapped_tensors(name):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as mode:
        fake = torch.randn(8, 4)
    with mode, pytest.raises(TypeError, match=REFUSAL):
        CALLS[name](fake, fake)
    with pytest.raises(TypeError, match=REFUSAL):
        torch.func.vmap(lambda x: CALLS[name](x, x))(torch.randn(2, 8, 4))


@pytest.mark.filterwarnings("ignore")  # of torch, on nested tensors and lazy modules
@pytest.mark.parametrize("name", CALLS)
def test_nested_and_lazy_tensors_are_refused_in_one_sentence(name):
    nested = torch.nested.nested_tensor([torch.randn(4, 4), torch.randn(4, 4)])
    for x, sentence in ((nested, "nested"), (torch.nn.LazyLinear(3).weight, "without values")):
        with pytest.raises(TypeError, match=sentence) as caught:
            CALLS[name](x, torch.randn(8, 4))
        assert "\n" not in str(caught.value)
