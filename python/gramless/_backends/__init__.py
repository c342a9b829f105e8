"""The backends that compute a problem, the CPU core and the CUDA module, behind one interface.

`sums` are float64 arrays of where the backend computes: numpy's on the CPU, the arrays' own library's on a
device, which are enqueued and not waited for. Arrays are the library's. Both backends offer, beside a little
arithmetic, and nothing else is called from above:

    here                                        whether results are there when a call returns
    hsic_pair(x, y, kernels, estimator)         the first seven of HsicValues, numbers; only where `here`
    hsic_forward(task, keep, report)
        HsicValues, with the rows where the backward needs them; no ys: xs with itself
    hsic_backward(task, saved, weights, wanted)
        for each layer that is wanted the gradient of weights (xy, xx, yy) times the values, else None
    pair_sums(x, y, kernels, estimator)         numbers, for which a device is waited for
    resolved(x, y, kernels)                     the kernels with medians as numbers
    permuted_values(xs, ys, kernels, estimator, orders)
        for batches of orders (B, n), HsicValues of xs with all ys in each of them: (Lx, B Ly)
    stacked(x, y)       the rows of x above those of y, and which are of x: (n + m, 1); a device copies
    permuted_hsic(x, y, kernels, orders, report)    unbiased HSIC of x with y in each order: (B, n) -> (B,)
    median_distance(x, include_diagonal, report)    0-d
    median_apart(x, lower)                      of the distances that are not 0, a number; only where `here`
    temperature(function, value)                a number that is checked, or what a device will read
    labelled_groups(labels), instance_groups(anchors, keys), no_groups      who is positive to whom
    paired_cosines(x, y, dtype)     of rows i of both (n,), in the dtype that a guide is compared in
    kept_together(tasks)            for which of these a forward is to keep tiles; only where `here`
    contrast_forward(task, keep)                ContrastLosses
    contrast_backward(task, saved, kept, weights, scale, wanted)
        gradients of the losses times weights (n,), by arrays and temperature; on a device weights may be None
        beside what their mean is multiplied by
    shifts, partial_backward                    the same for a part of a larger problem
    sigmoid_pairs(task, weights, wanted)
        sums of each row (3, n): losses, slopes, slopes times dot products; gradients of weights times losses
    nearest_neighbors(xs, k, with_cosines, report)
        for each array the k nearest rows of every row by cosine, ascending, or None where it is not finite,
        and their cosines or None
    shared_neighbors(xs, ys)    how many of these all rows of every x share with those of every y
    distill_forward(task)                       losses (n,), their mean, saved
    distill_backward(task, saved, weights, scale)
        the same by student and temperature
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .cpu import Cpu
from .cuda import Cuda

__all__ = ["Cpu", "Cuda", "backend_of", "cpu_backend"]


def backend_of(library: Any, x: Any, function: str) -> Any:
    """The backend for x, an array of that library; errors of a launch name `function`."""
    if library.on_device(x):
        return Cuda(library, library.device_index(x), function)
    return cpu_backend(library)


@cache
def cpu_backend(library: Any) -> Cpu:
    """The backend for arrays of that library in the CPU's memory."""
    return Cpu(library)
