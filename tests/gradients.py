"""Losses with their gradients, of gramless and of its reference, in one form."""

import gramless
import numpy as np

WRT = {"info_nce": ("anchors", "keys", "temperature"), "moco": ("q", "k", "temperature")}  # without the queue


def with_grads(module, name):
    """A function that returns a loss and its gradients: None for an array that is None, none for queues."""
    if module is not gramless:
        return getattr(module, f"{name}_value_and_grad")
    if name == "row_log_sum_exp":
        return _log_sums
    return lambda *arrays, **options: _value_and_grads(name, arrays, options)


def _value_and_grads(name, arrays, options):
    wrt = WRT.get(name)
    if options.get("negatives") is not None:
        wrt = (*wrt[:-1], "negatives", wrt[-1])
    return gramless.value_and_grad(getattr(gramless, name), wrt)(*arrays, **options)


def _log_sums(x, y=None, weights=None, **options):
    weights = np.ones(_rows(x)) if weights is None else weights
    value, grads = gramless.value_and_grad(gramless.row_log_sum_exp)(x, y, cotangent=weights, **options)
    return value, grads if y is not None else (grads[0], None, grads[1])


def _rows(x):
    try:
        return len(x)
    except TypeError:  # not an array: the loss raises its own error
        return 1
