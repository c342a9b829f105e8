"""Guesses which function a rejected call was meant for, as the end of its error. Imports no array library."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

_OF_LAYERS = {  # the same of all pairs
    "hsic": "hsic_matrix",
    "cka": "cka_matrix",
    "rsa": "rsa_matrix",
    "mutual_knn": "mutual_knn_matrix",
}
_WITHOUT_NAMES = frozenset(["rsa", "rsa_matrix"])  # whose matrix takes no mapping
_OF_PAIRS = {matrix: function for function, matrix in _OF_LAYERS.items()}
# The second arguments of losses. Losses of other packages take labels in this position.
_SECOND = frozenset(["z_b", "out1", "keys", "k", "b", "text_features"])


def is_model(x: object) -> bool:
    """Whether x is a module of torch, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.nn.Module)


def instead_of_type(function: str, x: Any) -> str:
    """The hint for an object that is no array.

    >>> instead_of_type("cka", {"conv1": None})
    '; layers with names are compared by cka_matrix'
    """
    if is_model(x):
        return "; models are compared by gramless.torch.compare_models"
    if function not in _OF_LAYERS:
        return ""
    if isinstance(x, Mapping):
        if function in _WITHOUT_NAMES:
            return f"; several layers are compared by {_OF_LAYERS[function]}, without their names"
        return f"; layers with names are compared by {_OF_LAYERS[function]}"
    if isinstance(x, (list, tuple)) and any(len(getattr(entry, "shape", ())) == 2 for entry in x):
        return f"; several layers are compared by {_OF_LAYERS[function]}"
    return ""


def instead_of_shape(function: str, name: str, x: Any, shape: tuple[int, ...]) -> str:
    """The hint for an array that does not have two dimensions.

    >>> instead_of_shape("cka", "y", None, (9,))
    '; one feature is a column, of shape (9, 1)'
    """
    if len(shape) == 1 and name in _SECOND:
        return "; labels of rows are for sup_con, or for gramless.compat.NTXentLoss"
    if len(shape) == 1 and name.lower()[:1] in ("x", "y"):
        return f"; one feature is a column, of shape ({shape[0]}, 1)"
    if len(shape) < 3:
        return ""
    if name == "negatives":
        return f"; all of them are negatives of every anchor: pass {name}.reshape(-1, {shape[-1]})"
    return instead_of_type(function, x) or (
        f"; where examples come first, average over positions or flatten, {name}.reshape({shape[0]}, -1)"
    )


def instead_of_layers(function: str, name: str, x: Any) -> str:
    """The hint for an object that is no sequence of layers.

    >>> instead_of_layers("cka_matrix", "xs", memoryview(bytes(4)).cast("B", (2, 2)))
    '; two arrays are compared by cka'
    >>> instead_of_layers("rsa_matrix", "xs", {"conv1": None})
    '; pass the layers without their names, [*xs.values()]'
    """
    if is_model(x):
        return instead_of_type(function, x)
    if isinstance(x, Mapping):
        return f"; pass the layers without their names, [*{name}.values()]"
    if isinstance(x, Iterable) and not isinstance(x, (str, bytes)) and not hasattr(x, "shape"):
        return f"; pass a list of them, [*{name}]"
    if function in _OF_PAIRS and len(getattr(x, "shape", ())) == 2:
        return f"; two arrays are compared by {_OF_PAIRS[function]}"
    return instead_of_type(function, x)
