"""Invalid sequences of layers, options and progress callables raise one error."""

from __future__ import annotations

import re

import gramless
import numpy as np
import pytest
from test_inputs import BAD_PAIRS, MATRIX_FUNCTIONS, square


@pytest.mark.parametrize("function", MATRIX_FUNCTIONS)
@pytest.mark.parametrize("bad", [name for name in BAD_PAIRS if name != "rows"])
def test_a_bad_layer_is_named(function, bad):
    layer, error, sentence = BAD_PAIRS[bad]
    named = re.escape(sentence[1:])
    with pytest.raises(error, match=rf"^{function}: xs\[1\]{named}[^\n]*$"):
        getattr(gramless, function)([square(), layer])
    with pytest.raises(error, match=rf"^{function}: ys\[0\]{named}[^\n]*$"):
        getattr(gramless, function)([square()], [layer])


@pytest.mark.parametrize("function", MATRIX_FUNCTIONS)
def test_layers_of_different_rows_are_refused(function):
    call = getattr(gramless, function)
    with pytest.raises(ValueError, match=rf"^{function}: xs\[0\] has 10 rows but xs\[2\] has 9$"):
        call([square(), square(), square(9)])
    with pytest.raises(ValueError, match=rf"^{function}: ys\[0\] has 9 rows but ys\[1\] has 8$"):
        call([square()], [square(9), square(8)])
    with pytest.raises(ValueError, match=rf"^{function}: xs\[0\] has 10 rows but ys\[0\] has 9$"):
        call([square()], [square(9)])


@pytest.mark.parametrize("function", MATRIX_FUNCTIONS)
def test_what_is_no_sequence_of_layers_is_refused(function):
    call = getattr(gramless, function)
    with pytest.raises(ValueError, match=rf"^{function}: xs has no layers$"):
        call([])
    with pytest.raises(ValueError, match=rf"^{function}: ys has no layers$"):
        call([square()], [])
    with pytest.raises(
        ValueError,
        match=rf"^{function}: xs must be a sequence .* array of shape \(10, 3\); two arrays are .*$",
    ):
        call(square())
    assert call(np.stack([square(), square()])).shape == (2, 2)


@pytest.mark.parametrize("function", MATRIX_FUNCTIONS)
@pytest.mark.parametrize(
    ("bad", "name"), [(None, "NoneType"), (3, "int"), (np.float64(3), "float64")], ids=str
)
def test_what_has_no_layers_at_all_is_refused(function, bad, name):
    with pytest.raises(TypeError, match=rf"^{function}: xs must be a sequence of arrays but is {name}$"):
        getattr(gramless, function)(bad)
    if bad is not None:
        with pytest.raises(TypeError, match=rf"^{function}: ys must be a sequence of arrays but is {name}$"):
            getattr(gramless, function)([square()], bad)


@pytest.mark.parametrize("function", MATRIX_FUNCTIONS)
def test_text_is_no_layers(function):
    with pytest.raises(TypeError, match=rf"^{function}: xs must be a sequence of arrays but is str$"):
        getattr(gramless, function)("xs")


@pytest.mark.parametrize("bad", [3, "yes", [print]], ids=str)
def test_a_progress_that_cannot_be_called_is_refused(bad):
    x, sentence = (
        square(),
        re.escape(f"progress must be True, False or a callable of (done, total) but is {bad!r}"),
    )
    for call in (
        lambda: gramless.hsic_matrix([x], progress=bad),
        lambda: gramless.cka_matrix([x], progress=bad),
        lambda: gramless.median_distance(x, progress=bad),
        lambda: gramless.independence_test(x, x, method="permutation", progress=bad),
    ):
        with pytest.raises(TypeError, match=rf"^\w+: {sentence}$"):
            call()
    assert gramless.cka_matrix([x], progress=np.False_).shape == (1, 1)
