"""The inputs that the contrastive losses read in place, and those they refuse, with the error message."""

from __future__ import annotations

import inspect
import re

import gramless
import numpy as np
import pytest
from gradients import with_grads
from layouts import NUMPY_LAYOUTS, nested_lists, torch_layouts
from test_inputs import BAD_PAIRS

PAIRS = ["nt_xent", "dcl", "info_nce"]
WITH_GRADIENTS = ["nt_xent", "dcl", "sup_con", "info_nce", "row_log_sum_exp", "similarity_distillation"]
every_form = pytest.mark.parametrize("form", ["value", "value and gradients"])


def called(module, name, form):
    """A loss in that form, and the name in its errors."""
    if form == "value":
        return getattr(module, name), name
    return with_grads(module, name), name if module is gramless else f"{name}_value_and_grad"


def square(n=10, d=3, seed=0):
    return np.random.default_rng([n, d, seed]).standard_normal((n, d))


def arguments(name, x, y):
    """Arrays for a call, with x and y in all places that they fit."""
    rows = len(x)
    return {
        "sup_con": (x, np.arange(rows) % 3),
        "info_nce": (x, y, x),
        "similarity_distillation": (x, y, y, x),
    }.get(name, (x, y))


def results(name, x, y, **options):
    """A loss and its gradients, as bits, float32 results as float64."""
    loss, gradients = with_grads(gramless, name)(*arguments(name, x, y), **options)
    found = [loss, *(gradient for gradient in gradients if gradient is not None)]
    return [np.asarray(value).astype(np.float64).tobytes() for value in found]


def numbers(x, y, **options):
    return [results(name, x, y, **options) for name in WITH_GRADIENTS]


every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


@every_dtype
@pytest.mark.parametrize("layout", NUMPY_LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts_do_not_change_a_bit(layout, dtype):
    x, y = (square(55, 19, seed).astype(dtype) for seed in (0, 1))
    assert numbers(layout(x), layout(y)) == numbers(x, y)
    assert numbers(layout(x), y, temperature=0.004) == numbers(x, y, temperature=0.004)
    for name in [*PAIRS, "sup_con"]:
        excluded = results(name, layout(x), layout(y), exclude_hardest=0.2)
        assert excluded == results(name, x, y, exclude_hardest=0.2) != results(name, x, y)


def test_lists_are_their_values():
    x, y = square(55, 19), square(55, 19, 1)
    assert numbers(nested_lists(x), nested_lists(y)) == numbers(x, y)


@every_dtype
def test_layouts_of_tensors_do_not_change_a_bit(dtype):
    torch = pytest.importorskip("torch")
    x, y = (square(55, 19, seed).astype(dtype) for seed in (0, 1))
    for layout in torch_layouts(torch):
        for name in WITH_GRADIENTS:
            loss, gradients = with_grads(gramless, name)(*arguments(name, layout(x), layout(y)))
            expected, arrays = with_grads(gramless, name)(*arguments(name, x, y))
            pairs = zip([loss, *gradients], [expected, *arrays], strict=True)
            for value, truth in [(value, truth) for value, truth in pairs if value is not None]:
                assert value.dtype == (torch.float32 if dtype == np.float32 else torch.float64)
                assert not value.requires_grad
                assert np.array_equal(value.numpy(), np.asarray(truth, dtype))


def test_inputs_are_never_changed():
    x, y = square(50, 4), square(50, 4, 1)
    before = x.tobytes(), y.tobytes()
    for options in ({}, {"temperature": 0.005}):
        numbers(x, y, **options)
    gramless.nt_xent(x, y, exclude_hardest=0.2)
    gramless.info_nce(x, y, x, exclude_hardest=0.2, symmetric=True)
    assert (x.tobytes(), y.tobytes()) == before


def test_results_live_where_inputs_live():
    torch = pytest.importorskip("torch")
    x = torch.randn(12, 3)
    for name in WITH_GRADIENTS:
        of_tensors = getattr(gramless, name)(*arguments(name, x, x))
        of_arrays = getattr(gramless, name)(*arguments(name, x.numpy(), x.numpy()))
        assert isinstance(of_tensors, torch.Tensor)
        assert of_tensors.dtype == torch.float32
        assert type(of_arrays) is (np.ndarray if name == "row_log_sum_exp" else float)
    for name in ("nt_xent", "info_nce", "dcl"):
        losses = getattr(gramless, name)(x, x, reduction="none")
        assert tuple(losses.shape) == ((12,) if name == "info_nce" else (24,))


@every_form
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_a_bad_array_is_refused_in_one_sentence(name, bad, form):
    y, error, sentence = BAD_PAIRS[bad]
    first, second = ("anchors", "keys") if name == "info_nce" else ("z_a", "z_b")
    named = f"{first} has 10 rows but {second} has 9" if bad == "rows" else second + sentence[1:]
    loss, _ = called(gramless, name, form)
    with pytest.raises(error, match=rf"^{name}: {re.escape(named)}[^\n]*$"):
        loss(square(), y)
    named = f"{first} has 9 rows but {second} has 10" if bad == "rows" else first + sentence[1:]
    with pytest.raises(error, match=rf"^{name}: {re.escape(named)}[^\n]*$"):
        loss(y, square())


SENTENCES = [  # the function, its arguments, its options, the error, its message
    ("nt_xent", (square(), square(10, 4)), {}, ValueError, "z_a has 3 columns but z_b has 4"),
    ("dcl", (square(), square(10, 4)), {}, ValueError, "z_a has 3 columns but z_b has 4"),
    ("info_nce", (square(), square(10, 4)), {}, ValueError, "anchors has 3 columns but keys has 4"),
    ("info_nce", (square(), square(), square(7, 4)), {}, ValueError, "anchors has 3 columns but queue has 4"),
    ("sup_con", (square(), np.arange(9)), {}, ValueError, "z has 10 rows but labels has 9"),
    (
        "sup_con",
        (square(), np.zeros((10, 1), int)),
        {},
        ValueError,
        "labels must have 1 dimension, one label per row, but has shape (10, 1)",
    ),
    (
        "sup_con",
        (square(), np.zeros(10)),
        {},
        TypeError,
        "labels must be integers or text but has dtype float64",
    ),
    ("row_log_sum_exp", (square(), square(10, 4)), {}, ValueError, "x has 3 columns but y has 4"),
    (
        "row_log_sum_exp",
        (square(), square()),
        {"exclude_self": True},
        ValueError,
        "exclude_self=True excludes row i of x from x, so that y must be None",
    ),
    (
        "similarity_distillation",
        (square(), square(), square(7, 4), square(7)),
        {},
        ValueError,
        "student has 3 columns but queue_student has 4",
    ),
    (
        "similarity_distillation",
        (square(), square(10, 4), square(7)),
        {},
        ValueError,
        "teacher has 4 columns but queue_student has 3",
    ),
    (
        "similarity_distillation",
        (square(), square(9), square(7)),
        {},
        ValueError,
        "student has 10 rows but teacher has 9",
    ),
    (
        "similarity_distillation",
        (square(), square(), square(7), square(8)),
        {},
        ValueError,
        "queue_student has 7 rows but queue_teacher has 8",
    ),
    (
        "similarity_distillation",
        (square(), square(), square(7)),
        {"teacher_temperature": 0},
        ValueError,
        "teacher_temperature must be finite and not 0 but is 0.0",
    ),
]


@every_form
@pytest.mark.parametrize("case", SENTENCES, ids=lambda case: f"{case[0]}: {case[4]}"[:60])
def test_what_does_not_fit_is_refused_in_one_sentence(case, form):
    name, arrays, options, error, sentence = case
    for module in (gramless, gramless.reference):
        loss, whom = called(module, name, form)
        with pytest.raises(error, match=rf"^{whom}: {re.escape(sentence)}$"):
            loss(*arrays, **options)


OPTIONS = [
    ("temperature", 0, ValueError, "must be finite and not 0 but is 0.0"),
    ("temperature", float("nan"), ValueError, "must be finite and not 0 but is nan"),
    ("temperature", float("inf"), ValueError, "must be finite and not 0 but is inf"),
    ("temperature", "cold", TypeError, "must be a number but is 'cold'"),
    ("temperature", None, TypeError, "must be a number but is None"),
    ("temperature", True, TypeError, "must be a number but is True"),
    ("exclude_hardest", np.True_, TypeError, "must be a number or None but is np.True_"),
    ("reduction", "max", ValueError, 'must be "mean"'),
    ("reduction", None, ValueError, 'must be "mean"'),
    ("exclude_above", float("nan"), ValueError, "must be a number or None but is nan"),
    ("exclude_above", "all", TypeError, "must be a number or None but is 'all'"),
    ("exclude_hardest", 1.5, ValueError, "must be from 0 to 1 but is 1.5"),
    ("exclude_hardest", float("nan"), ValueError, "must be from 0 to 1 but is nan"),
]


@every_form
@pytest.mark.parametrize(
    ("name", "option", "value", "error", "sentence"),
    [
        (name, *row)
        for name in WITH_GRADIENTS
        for row in OPTIONS
        if row[0] in inspect.signature(getattr(gramless, name)).parameters
    ],
)
def test_options_that_make_no_sense_are_refused(name, form, option, value, error, sentence):
    for module in (gramless, gramless.reference):
        loss, whom = called(module, name, form)
        with pytest.raises(error, match=rf"^{whom}: {option} {re.escape(sentence)}"):
            loss(*arguments(name, square(), square()), **{option: value})


def test_gradients_of_many_losses_take_a_cotangent():
    losses = gramless.value_and_grad(gramless.nt_xent)
    with pytest.raises(
        ValueError, match=r"^nt_xent: a value of shape \(20,\) needs a cotangent of that shape$"
    ):
        losses(square(), square(), reduction="none")
    value, grads = losses(square(), square(seed=1), reduction="none", cotangent=np.full(20, 0.05))
    mean, of_mean = losses(square(), square(seed=1))
    assert value.mean() == pytest.approx(mean, rel=1e-14)
    for ours, theirs in zip(grads, of_mean, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_two_kinds_of_exclusion_are_refused():
    with pytest.raises(
        ValueError,
        match=r"^nt_xent: pass exclude_above or exclude_hardest, not both; they are 0\.5 and 0\.1$",
    ):
        gramless.nt_xent(square(), square(), exclude_above=0.5, exclude_hardest=0.1)


@pytest.mark.parametrize(
    ("cotangent", "error", "sentence"),
    [
        (np.ones(9), ValueError, r"the value has shape \(10,\) but the cotangent has shape \(9,\)"),
        (np.ones((10, 1)), ValueError, r"the value has shape \(10,\) but the cotangent has shape \(10, 1\)"),
        (np.full(10, "a"), TypeError, "the cotangent must hold real numbers but has dtype <U1"),
    ],
)
def test_cotangents_that_do_not_fit_are_refused(cotangent, error, sentence):
    with pytest.raises(error, match=f"^row_log_sum_exp: {sentence}$"):
        gramless.value_and_grad(gramless.row_log_sum_exp)(square(), cotangent=cotangent)


def test_labels_may_be_tensors():
    torch = pytest.importorskip("torch")
    labels = np.arange(10) % 3
    assert gramless.sup_con(square(), torch.tensor(labels)) == gramless.sup_con(square(), labels)
