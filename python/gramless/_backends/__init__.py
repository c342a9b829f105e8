"""The backends that compute a problem, the CPU core and the CUDA module, behind one interface.

Inputs and gradients are arrays of the inputs' library. Other results are float64 arrays: numpy's on the CPU;
on a device the library's, which are enqueued and not waited for. Modules above use the arithmetic of
`arithmetic.py` and these methods, which both backends have:

    here                                        whether results are computed when a call returns
    hsic_pair(x, y, kernels, estimator)         the first seven of HsicValues, numbers; only where `here`
    hsic_forward(task, keep, report)
        HsicValues, with the rows where the backward needs them; no ys: xs with itself
    hsic_backward(task, saved, weights, wanted)
        for each wanted layer the gradient of weights (xy, xx, yy) times the values, for others None
    pair_sums(x, y, kernels, estimator)         PairSums, numbers; waits for a device
    resolved(x, y, kernels)                     the kernels with medians as numbers
    permuted_values(xs, ys, kernels, estimator, orders)
        for batches of orders (B, n), HsicValues of xs with all ys in each order: (Lx, B Ly)
    stacked(x, y)       the rows of x above those of y, copied on a device, and which are of x: (n + m, 1)
    permuted_hsic(x, y, kernels, orders, report)    unbiased HSIC of x with y in each order: (B, n) -> (B,)
    median_distance(x, include_diagonal, report)    0-d
    median_apart(x, lower)                      the median of distances above rounding; only where `here`
    temperature(function, value)                a checked number, or a value that a device reads later
    labelled_groups(labels), instance_groups(anchors, keys), no_groups      which rows are positives
    paired_cosines(x, y, dtype)     cosines (n,) of row i of x and row i of y, rounded as a guide's are
    kept_together(tasks)            for each task, whether its forward keeps tiles; only where `here`
    contrast_forward(task, keep)                ContrastLosses
    contrast_backward(task, saved, kept, weights, scale, wanted)
        gradients of sum_i weights_i loss_i with respect to arrays and temperature; on a device weights may be
        None, and `scale` multiplies the gradients of the mean loss
    shifts, partial_backward                    the same for a part of a larger problem
    sigmoid_pairs(task, weights, wanted)
        sums of each row (3, n): losses, slopes, slopes times dot products; gradients of weights times losses
    nearest_neighbors(xs, k, with_cosines, report)
        for each array the k nearest rows of every row by cosine, ascending, or None where it is not finite,
        and their cosines or None
    shared_neighbors(xs, ys)    for every x and y, how many of these nearest rows they share, over all rows
    distill_forward(task)                       losses (n,), their mean, saved
    distill_backward(task, saved, weights, scale)
        gradients of sum_i weights_i loss_i with respect to student and temperature
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
