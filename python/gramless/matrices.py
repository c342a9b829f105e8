"""HSIC and CKA of all pairs of layers, in one pass over tiles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ._arrays import checks
from ._backends import backend_of
from ._backends.values import HsicValues
from ._evaluate import Call, differentiable
from ._problems.hsic import Hsic
from ._progress import ProgressLike, reporter
from ._sweep import processes_of, swept_values
from .kernels import Estimator, Kernel, KernelLike, as_estimator, as_kernel, encode

__all__ = ["cka_matrix", "hsic_matrix"]


@differentiable
def hsic_matrix(
    xs: Sequence[Any],
    ys: Sequence[Any] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: ProgressLike = False,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: Any = None,
) -> Call:
    """HSIC of every layer in xs with every layer in ys, in one pass: matrix (len(xs), len(ys)).

    xs, ys: sequences of (n, d) arrays, d as each layer has it; ys=None compares xs with itself. Every layer's
    Gram tile is computed once and the tiles' inner products give all pairs; narrow linear layers are compared
    in feature space instead, whichever costs less. Memory: O(n + tiles) per layer and a
    workspace (`set_workspace_limit`), never n x n.
    progress: True shows a progress bar, a callable receives (done, total). Ctrl-C ends a long sweep.
    checkpoint: a file that is kept up to date; after an interruption the same call continues from it. The
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
    arguments = "hsic_matrix", xs, ys, kernel, estimator, "hsic", progress
    return _described(arguments, kernel, checkpoint, process_group)


@differentiable
def cka_matrix(
    xs: Sequence[Any],
    ys: Sequence[Any] | None = None,
    *,
    kernel: KernelLike = "linear",
    estimator: Estimator = "unbiased",
    progress: ProgressLike = False,
    checkpoint: str | os.PathLike[str] | None = None,
    process_group: Any = None,
) -> Call:
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
    arguments = "cka_matrix", xs, ys, kernel, estimator, "cka", progress
    return _described(arguments, kernel, checkpoint, process_group)


def layers_of(
    function: str, xs: Any, ys: Any, kernel: Any, estimator: Any, form: str = "hsic", progress: Any = False
) -> Call:
    """The problem of all pairs of layers; `form` as in `Hsic`."""
    xs = checks.sequence(function, "xs", xs)
    ys = [] if ys is None else checks.sequence(function, "ys", ys)
    named = [*((f"xs[{i}]", x) for i, x in enumerate(xs)), *((f"ys[{i}]", y) for i, y in enumerate(ys))]
    library, layers = checks.read(function, named)
    arguments = [(name, layer) for (name, _), layer in zip(named, layers, strict=True)]
    of_x, of_y = arguments[: len(xs)], arguments[len(xs) :]
    for side in (of_x, of_y, of_x[:1] + of_y[:1]):
        for argument in side[1:]:
            checks.same_rows(function, *side[0], *argument)
    code, estimator = encode(as_kernel(kernel, function)), as_estimator(estimator, function)
    checks.enough_rows(function, named[0][0], layers[0], estimator)
    problem = Hsic(function, len(xs), len(layers), (code, code), estimator, form, True)
    names = ("xs",) * len(xs) + ("ys",) * len(ys)
    return Call(library, problem, tuple(layers), names, reporter(function, progress))


def layer_values(call: Call) -> HsicValues:
    """HSIC of all pairs of the layers of a call, and of each with itself, where the layers live."""
    library, problem, inputs, names, report, _ = call
    inputs = library.detached(problem.function, names, inputs)
    backend = backend_of(library, inputs[0], problem.function)
    found: HsicValues = backend.hsic_forward(problem.task(inputs), False, report)
    return found


def _described(arguments: tuple[Any, ...], kernel: Kernel | str, checkpoint: Any, process_group: Any) -> Call:
    """The call of `layers_of`, to be answered by a sweep in parts where it is kept in a file or shared."""
    if checkpoint is None and process_group is None:
        return layers_of(*arguments)
    function = arguments[0]
    processes = processes_of(function, process_group)
    with processes.together():
        call = layers_of(*arguments)
        library, problem, inputs, *_ = call
        refusal = library.why_not_in_parts(inputs)
        if refusal is not None:
            raise ValueError(f"{function}: checkpoint and process_group {refusal}")

    def value() -> Any:
        with processes.together():
            values = swept_values(call, as_kernel(kernel, function), checkpoint, processes)
        return library.result(problem.value(values), problem.dtype(library, inputs))

    return call._replace(in_parts=value)
