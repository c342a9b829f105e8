"""Evaluation of problems, with and without their gradients, for arrays of any library."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, ParamSpec, cast

from ._arrays import checks
from ._arrays.libraries import library_of
from ._arrays.namespaces import Library
from ._backends import backend_of
from ._counts import shown
from ._losses import as_array
from ._progress import Report, ends

P = ParamSpec("P")

_SEQUENCES = ("xs", "ys")  # arguments that hold several arrays


class Call(NamedTuple):
    """The arguments of a public function."""

    library: Library
    problem: Any
    inputs: tuple[Any, ...]
    names: tuple[str | None, ...]  # the argument that each input belongs to; None where it is a constant
    report: Report = None
    in_parts: Callable[[], Any] | None = None  # computes the value in parts, or a result with names
    labels: Sequence[str] = ()

    @property
    def called(self) -> Sequence[str | None]:
        """The names of the inputs in errors."""
        return self.labels or self.names


def differentiable(describe: Callable[P, Call]) -> Callable[P, Any]:
    """Turn a function that describes its call as a problem into the public function that evaluates it."""

    @functools.wraps(describe)
    def public(*arguments: P.args, **options: P.kwargs) -> Any:
        return evaluate(describe(*arguments, **options))

    public.describe = describe  # type: ignore[attr-defined]
    public.__kwdefaults__ = describe.__kwdefaults__  # type: ignore[attr-defined]
    public.__signature__ = inspect.signature(describe).replace(return_annotation="Any")  # type: ignore[attr-defined]
    return public


def evaluate(call: Call) -> Any:
    """Compute the value of a call, in the type that users receive."""
    if call.in_parts is not None:
        return call.in_parts()  # the last part reports the end
    if call.report is None:
        return _value(call)
    with ends(call.report):
        return _value(call)


def _value(call: Call) -> Any:
    library, problem, inputs, _, report, *_ = call
    if library.rank == 2:
        return library.evaluate(call)
    backend = backend_of(library, inputs[0], problem.function)
    value = problem.forward(backend, inputs, "", report)[0]
    return library.result(value, problem.dtype(library, inputs)) if library.rank else library.result(value)


def value_and_grad(
    function: Callable[..., Any], wrt: str | Sequence[str] | None = None
) -> Callable[..., tuple[Any, Any]]:
    """Return a function with the arguments of `function` that computes both its value and its gradients.

    It accepts numpy and cupy arrays, and tensors, whose gradients it computes without autograd.

    Parameters
    ----------
    function : callable
        One of gramless's differentiable functions: `hsic`, `cka` and their matrices, every loss, and the
        statistics whose docstrings say so, such as `mmd`.
    wrt : str or sequence of str, optional
        The name of an argument of `function` for one gradient, or several names for a tuple of gradients.
        None (default) gives a tuple of the gradients with respect to every differentiable argument in the
        order of the signature, including arguments left at their defaults.

    Returns
    -------
    callable
        It takes the arguments of `function` and returns (value, gradients). Its further argument `cotangent`
        is the derivative of the final result with respect to the value: an array of the value's shape, by
        default 1 for a single number and required otherwise. A gradient has the shape of its argument and the
        dtype of the computation, on a GPU the dtype of the argument; the gradient of a sequence of layers is
        a list. Quantities derived from the arguments, such as a median bandwidth or the choice of excluded
        negatives, count as constants. Labels, ids, masks, guides, teachers and their queues have no gradient.

    Raises
    ------
    TypeError
        If `function` is not differentiable, `wrt` holds no names, or `cotangent` is not an array of real
        numbers.
    ValueError
        If `wrt` names an argument without a gradient, or `cotangent` is missing or has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> import gramless
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> value, (grad_x, grad_y) = gramless.value_and_grad(gramless.cka)(x, x[:, :3])
    >>> grad_x.shape, grad_y.shape
    ((50, 8), (50, 3))
    >>> value, grad_x = gramless.value_and_grad(gramless.cka, "x")(x, x)
    >>> bool(abs(grad_x).max() < 1e-12)  # CKA has its maximum, 1, at y = x
    True
    """
    describe = getattr(function, "describe", None)
    if describe is None:
        name = getattr(function, "__name__", repr(function))
        hint = "use torch for functions composed of them"
        if not callable(function):
            name = shown(function)
            hint = "pass the function first and its arguments to the result, value_and_grad(f)(...)"
        raise TypeError(f"value_and_grad: {name} is not one of gramless's differentiable functions; {hint}")
    if not isinstance(wrt, (str, Iterable, type(None))):
        raise TypeError(f"value_and_grad: wrt must be a name, several names or None but is {wrt!r}")
    chosen = None if wrt is None else (wrt,) if isinstance(wrt, str) else tuple(wrt)
    order = tuple(inspect.signature(describe).parameters)

    @functools.wraps(describe)
    def both(*arguments: Any, cotangent: Any = None, **options: Any) -> tuple[Any, Any]:
        call = cast(Call, describe(*arguments, **options))
        possible = [name for name in order if name in call.names]
        names = possible if chosen is None else chosen
        for name in names:
            if name not in possible:
                raise ValueError(
                    f"value_and_grad: {function.__name__} has no gradient with respect to {name!r}, "
                    f"only with respect to {', '.join(possible)}"
                )
        with ends(call.report):
            value, grads = _value_and_grads(call, tuple([name in names for name in call.names]), cotangent)
        found = [_of_argument(call, name, grads) for name in names]
        return value, found[0] if isinstance(wrt, str) else tuple(found)

    return both


def _of_argument(call: Call, argument: str, grads: Sequence[Any]) -> Any:
    """The gradient with respect to one argument, which may stand for several inputs or occur twice."""
    own = [grad for name, grad in zip(call.names, grads, strict=True) if name == argument]
    return own if argument in _SEQUENCES else sum(own[1:], own[0])


def _value_and_grads(call: Call, wanted: tuple[bool, ...], cotangent: Any) -> tuple[Any, list[Any]]:
    library, problem, inputs, _, report, in_parts, _ = call
    if in_parts is not None:
        raise ValueError(
            f"value_and_grad: {problem.function} has no gradients with a mapping of layers, a checkpoint "
            "or a process group; pass sequences of layers alone"
        )
    inputs = library.detached(problem.function, call.called, inputs)
    backend, dtype = backend_of(library, inputs[0], problem.function), problem.dtype(library, inputs)
    value, saved = problem.forward(backend, inputs, "tiles", report)
    grad = _cotangent(library, backend, problem.function, cotangent, tuple(getattr(value, "shape", ())))
    grads = problem.backward(backend, inputs, saved, grad, wanted)
    return library.result(value, dtype), [
        library.gradient(grad, x, dtype) if want else None
        for grad, x, want in zip(grads, inputs, wanted, strict=True)
    ]


def _cotangent(library: Library, backend: Any, function: str, cotangent: Any, shape: tuple[int, ...]) -> Any:
    """The derivative with respect to a value of this shape, checked, in the form that the backend reads."""
    if cotangent is None:
        if shape:
            raise ValueError(f"{function}: a value of shape {shape} needs a cotangent of that shape")
        return 1.0
    if not hasattr(cotangent, "shape"):
        cotangent = as_array(function, "the cotangent", cotangent, "a number or an array")
    own = library_of(function, [("the cotangent", cotangent)])
    cotangent = own.read(function, "the cotangent", cotangent)
    checks.real(function, "the cotangent", own, cotangent)
    if tuple(cotangent.shape) != shape:
        raise ValueError(
            f"{function}: the value has shape {shape} but the cotangent has shape {tuple(cotangent.shape)}"
        )
    if backend.here and own.on_device(cotangent):
        raise TypeError(f"{function}: the cotangent is on a GPU but the value is not; copy one of them")
    (cotangent,) = own.detached(function, ["the cotangent"], [cotangent])
    return (own if backend.here else library).cotangent(backend, cotangent, shape)
