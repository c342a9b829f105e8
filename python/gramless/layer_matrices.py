"""HSIC and CKA of all pairs of layers, in one pass over tiles."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

from . import _arrays
from ._alignment import aligned, why_no_hsic
from ._sums import Floats, Progress, core_progress
from ._sweep import matrix_values, processes_of
from .kernels import Estimator, Kernel, KernelLike, as_estimator, as_kernel

__all__ = ["cka_matrix", "hsic_matrix"]


def hsic_matrix(
    xs: Sequence[Any],
    ys: Sequence[Any] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: Progress = False,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: Any = None,
) -> Any:
    """HSIC of every layer in xs with every layer in ys, in one pass: matrix (len(xs), len(ys)).

    xs, ys: sequences of (n, d) arrays, d as each layer has it; ys=None compares xs with itself. Every layer's
    Gram tile is computed once and the tiles' inner products give all pairs; narrow linear layers are compared
    in feature space instead, whichever costs less. Memory: O(n + tiles) per layer, never n x n.
    progress: True shows a progress bar, a callable receives (done, total). Ctrl-C ends a long sweep.
    checkpoint: a file that is kept up to date; killed at any moment, the same call goes on from there. The
        file of other layers, another kernel or version is refused; a finished one gives the answer at once.
    process_group: of torch.distributed, such as torch.distributed.group.WORLD. All its processes call with
        the same arguments, share the work and get the answer; process 0 keeps the checkpoint. Arguments that
        differ, and an error in any process, end the call in all of them.

    With either, for any number of processes and threads, the answer has the same bits as without, given CPUs
    of one instruction set. Gradients need a sweep without.

    Formula, kernels, dtypes, returns and errors as in `hsic`.

    >>> import numpy as np
    >>> layers = [np.random.default_rng(seed).standard_normal((50, 8)) for seed in range(3)]
    >>> hsic_matrix(layers).shape
    (3, 3)
    """
    processes = processes_of("hsic_matrix", process_group)
    with processes.together():
        xs, ys = _layers("hsic_matrix", xs, ys)
        if _is_followed("hsic_matrix", xs, ys, checkpoint, process_group):
            from .torch import similarity

            return similarity.hsic_matrix(xs, ys, kernel, estimator)
        if _is_on_device("hsic_matrix", xs, ys, checkpoint, process_group):
            return _on_device("hsic_matrix", xs, ys, kernel, estimator, progress, as_cka=False)
        values = matrix_values("hsic_matrix", xs, ys, kernel, estimator, progress, checkpoint, processes)
    return _wrap_matrix(values.of_data()[0], xs, ys)


def cka_matrix(
    xs: Sequence[Any],
    ys: Sequence[Any] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: Progress = False,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: Any = None,
) -> Any:
    """CKA of every layer in xs with every layer in ys, in one pass: matrix (len(xs), len(ys)).

    Formula as in `cka` (Kornblith et al. 2019; sweeps over whole networks: Nguyen et al. 2021,
    arXiv:2010.15327), arguments as in `hsic_matrix`. Rows and columns of degenerate layers are NaN, with one
    RuntimeWarning for all of them.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> cka_matrix([x, x[:, ::-1]]).round(6)
    array([[1., 1.],
           [1., 1.]])
    """
    processes = processes_of("cka_matrix", process_group)
    with processes.together():
        xs, ys = _layers("cka_matrix", xs, ys)
        if _is_followed("cka_matrix", xs, ys, checkpoint, process_group):
            from .torch import similarity

            return similarity.cka_matrix(xs, ys, kernel, estimator)
        if _is_on_device("cka_matrix", xs, ys, checkpoint, process_group):
            return _on_device("cka_matrix", xs, ys, kernel, estimator, progress, as_cka=True)
        values = matrix_values("cka_matrix", xs, ys, kernel, estimator, progress, checkpoint, processes)
    of_layers = _named("xs", as_kernel(kernel, "cka_matrix"), values.xx, values.mean_x)
    if ys is not None:
        of_layers += _named("ys", as_kernel(kernel, "cka_matrix"), values.yy, values.mean_y)
    reasons = why_no_hsic(of_layers)
    if reasons:
        warnings.warn(
            f"cka_matrix: not defined where a representation's HSIC with itself is not positive ({reasons})",
            RuntimeWarning,
            stacklevel=2,
        )
    return _wrap_matrix(aligned(values.xy, values.xx, values.yy), xs, ys)


def _layers(function: str, xs: Any, ys: Any) -> tuple[list[Any], list[Any] | None]:
    """Both sequences with their entries held."""
    layers = _arrays.as_layers(function, "xs", xs)
    return layers, None if ys is None else _arrays.as_layers(function, "ys", ys)


def _named(name: str, kernel: Kernel, own: Floats, means: Floats) -> list[tuple[str, float, Kernel, float]]:
    return [(f"{name}[{i}]", own[i], kernel, means[i]) for i in range(len(own))]


def _is_followed(function: str, xs: Any, ys: Any, checkpoint: object, process_group: object) -> bool:
    """Whether torch is to compute; raises ValueError where it also could not."""
    followed = _arrays.is_followed(*xs, *(ys or ()))
    if followed and not (checkpoint is None and process_group is None):
        raise ValueError(
            f"{function}: checkpoint and process_group are for layers without gradients; "
            "detach() the tensors first"
        )
    return followed


def _is_on_device(function: str, xs: Any, ys: Any, checkpoint: object, process_group: object) -> bool:
    """Whether a GPU is to compute; raises ValueError where it also could not."""
    on_device = _arrays.any_on_device(*xs, *(ys or ()))
    if on_device and not (checkpoint is None and process_group is None):
        raise ValueError(
            f"{function}: checkpoint and process_group are for layers in the CPU's memory; copy them there"
        )
    return on_device


def _wrap_matrix(matrix: Floats, xs: Sequence[Any], ys: Sequence[Any] | None) -> Any:
    if not _arrays.is_tensor(xs[0]):
        return matrix
    described = [_arrays.describe("", "", layer) for layer in [*xs, *(ys or ())]]
    return _arrays.wrap(matrix, xs[0], described)


def _on_device(
    function: str,
    xs: Any,
    ys: Any,
    kernel: KernelLike,
    estimator: Estimator,
    progress: Progress,
    *,
    as_cka: bool,
) -> Any:
    from ._device import hsic as device

    options = as_kernel(kernel, function), as_estimator(estimator, function)
    return device.matrix(function, xs, ys, *options, core_progress(function, progress), as_cka=as_cka)
