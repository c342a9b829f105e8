"""Calls that compare all pairs of layers: their problem, and its values in one pass or in parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._arrays import checks
from ._arrays.namespaces import Array, Library
from ._backends import backend_of
from ._backends.values import HsicValues
from ._evaluate import Call
from ._problems.hsic import Hsic
from ._progress import ends, reporter
from ._sweep import Alone, processes_of, swept_values
from .kernels import Encoded, as_estimator, as_kernel, encode, has_bandwidth, wants_median


def layers_of(
    function: str, xs: Any, ys: Any, kernel: Any, estimator: Any, form: str, progress: Any, labels: Any = None
) -> Call:
    """The call that compares all pairs of layers. form: see `Hsic`; labels: of xs, then ys, in errors."""
    count, library, layers, labels = checked_layers(function, xs, ys, labels)
    code, estimator = encode(as_kernel(kernel, function)), as_estimator(estimator, function)
    checks.enough_rows(function, labels[0], layers[0], estimator)
    problem = Hsic(function, count, len(layers), (code, code), estimator, form, True)
    return call_of_layers(library, problem, layers, progress, labels)


def checked_layers(
    function: str, xs: Any, ys: Any, labels: Sequence[str] | None = None
) -> tuple[int, Library, list[Array], Sequence[str]]:
    """The number of layers in xs, the library of all layers, the layers of xs then ys, and their labels."""
    xs = checks.sequence(function, "xs", xs)
    ys = [] if ys is None else checks.sequence(function, "ys", ys)
    if labels is None:
        labels = [*(f"xs[{i}]" for i in range(len(xs))), *(f"ys[{i}]" for i in range(len(ys)))]
    named = [*zip(labels, [*xs, *ys], strict=True)]
    library, layers = checks.read(function, named)
    arguments = [(name, layer) for (name, _), layer in zip(named, layers, strict=True)]
    of_x, of_y = arguments[: len(xs)], arguments[len(xs) :]
    for side in (of_x, of_y, of_x[:1] + of_y[:1]):
        for argument in side[1:]:
            checks.same_examples(function, *side[0], *argument)
    return len(xs), library, layers, labels


def call_of_layers(
    library: Library, problem: Hsic, layers: Sequence[Array], progress: Any, labels: Sequence[str]
) -> Call:
    names = ("xs",) * problem.xs + ("ys",) * (problem.arrays - problem.xs)
    report = reporter(problem.function, progress)
    return Call(library, problem, tuple(layers), names, report, labels=labels)


def layer_values(call: Call) -> HsicValues:
    """HSIC of all pairs of the layers of a call, and of each with itself, on the device of the layers."""
    library, problem, inputs, _, report, *_ = call
    inputs = library.detached(problem.function, call.called, inputs)
    backend = backend_of(library, inputs[0], problem.function)
    with ends(report):
        found: HsicValues = backend.hsic_forward(problem.task(inputs), False, report)
    return found


def bandwidths(backend: Any, layers: Sequence[Any], code: Encoded, values: HsicValues) -> list[float] | None:
    """The bandwidth for every layer, in the unit of the data; None if the kernel has no bandwidth."""
    if not has_bandwidth(code):
        return None
    if not wants_median(code):
        return [float(code[1] or 0.0)] * len(layers)
    if values.sigmas is not None:
        return [float(sigma) for sigma in values.sigmas]
    return [float(backend.resolved(layer, layer, (code, code))[0][1]) for layer in layers]


def described(
    function: str, xs: Any, ys: Any, kernel: Any, estimator: Any, form: str, progress: Any, *kept: Any
) -> Call:
    """The call of `layers_of`, computed in parts if there is a checkpoint or a process group.

    kept: checkpoint and process_group.
    """
    arguments, (checkpoint, process_group) = (function, xs, ys, kernel, estimator, form, progress), kept
    if checkpoint is None and process_group is None:
        return layers_of(*arguments)
    processes = processes_of(function, process_group)
    with processes.together():
        call = layers_of(*arguments)
        library, problem, inputs, *_ = call
        check_in_parts(call)

    def value() -> Any:
        with processes.together():
            values = swept_values(call, as_kernel(kernel, function), checkpoint, processes)
        return library.result(problem.value(values), problem.dtype(library, inputs))

    return call._replace(in_parts=value)


def described_pair(call: Call, kernel: Any, kernel_y: Any, progress: Any, checkpoint: Any) -> Call:
    """The call of one pair with a report of progress, computed in parts if it has a checkpoint."""
    library, problem, inputs, *_ = call
    call = call._replace(report=reporter(problem.function, progress))
    if checkpoint is None:
        return call
    if kernel_y is not None:
        raise ValueError(
            f"{problem.function}: a checkpoint is for one kernel of both arrays; pass kernel, not kernel_y"
        )
    check_in_parts(call)

    def value() -> Any:
        values = swept_values(call, as_kernel(kernel, problem.function), checkpoint, Alone())
        return library.result(problem.value(values)[0, 0], problem.dtype(library, inputs))

    return call._replace(in_parts=value)


def check_in_parts(call: Call) -> None:
    """Raise ValueError if the layers of a call cannot be computed in parts."""
    refusal = call.library.why_not_in_parts(call.inputs)
    if refusal is not None:
        raise ValueError(f"{call.problem.function}: checkpoint and process_group {refusal}")
