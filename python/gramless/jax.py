"""Losses and similarities for jax: `gramless.jax.nt_xent` is `gramless.nt_xent` for jax arrays.

The functions work under jax.jit, jax.grad, jax.value_and_grad and jax.vmap, with the arguments, values and
gradients of the functions of the same name in `gramless`. Arguments that are jax or numpy arrays, including a
temperature, may vary within a compiled function; all others, such as numbers and names, are constants of it.
Shapes and options are checked when a function is traced; numbers that vary, exclude_above, exclude_hardest,
exclude_easiest, a margin and a guide are checked when it runs.

A callback computes everything on the CPU, so that arrays on a device are copied. The gradients of a single
value are computed together with it; an array of values, such as that of reduction="none", is computed again
for its gradients. Only first derivatives in reverse mode are implemented; others raise. Labels, masks and
teachers get no gradient. Results have the dtype of the computation (float64 only if jax_enable_x64 is set),
and gradients the dtype of their arrays.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

try:
    import jax
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("gramless.jax: needs jax: pip install jax") from error

from ._evaluate import Call, value_and_grad
from .contrastive import dcl as _dcl
from .contrastive import nt_xent as _nt_xent
from .contrastive import sup_con as _sup_con
from .distillation import similarity_distillation as _similarity_distillation
from .guided import guided_info_nce as _guided_info_nce
from .hsic import cka as _cka
from .hsic import hsic as _hsic
from .info_nce import info_nce as _info_nce
from .info_nce import row_log_sum_exp as _row_log_sum_exp
from .moco import moco as _moco
from .rsa import rsa as _rsa
from .sigmoid import siglip as _siglip
from .two_samples import mmd as _mmd

__all__ = [
    "cka",
    "dcl",
    "guided_info_nce",
    "hsic",
    "info_nce",
    "mmd",
    "moco",
    "nt_xent",
    "row_log_sum_exp",
    "rsa",
    "siglip",
    "similarity_distillation",
    "sup_con",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def _of_jax(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function of numpy arrays into a function of jax arrays."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def public(*arguments: Any, **options: Any) -> Any:
        given = signature.bind(*arguments, **options).arguments
        arrays = {name: jax.numpy.asarray(x) for name, x in given.items() if _varies(x)}
        constants = {name: x for name, x in given.items() if name not in arrays}
        return _differentiable(_HostCall(function, tuple(arrays), constants), [*arrays.values()])

    return public


def _varies(x: Any) -> bool:
    """Whether x is an array of numbers, which may vary within a compiled function."""
    return isinstance(x, jax.Array) or (isinstance(x, np.ndarray) and x.dtype.kind in "biuf")


class _HostCall:
    """A call of a function of numpy arrays, with jax arrays for some arguments."""

    def __init__(self, function: Any, names: tuple[str, ...], constants: dict[str, Any]) -> None:
        self._function, self._names, self._constants = function, names, constants

    def described(self, arrays: Sequence[Any]) -> Call:
        """The call for arrays of these shapes and dtypes; raises if they do not match."""
        ones = [np.broadcast_to(np.ones((), x.dtype), x.shape) for x in arrays]
        # As numpy numbers, temperatures are checked here instead of during the computation.
        checked = {name: np.float64(x) for name, x in self._constants.items() if type(x) is float}
        call: Call = self._function.describe(**self._arguments(ones) | checked)
        return call

    def differentiated(self, arrays: Sequence[Any]) -> list[int]:
        """The indices of the arrays that get a gradient."""
        names = self.described(arrays).names
        floating = [jax.numpy.issubdtype(x.dtype, jax.numpy.floating) for x in arrays]
        return [i for i, name in enumerate(self._names) if name in names and floating[i]]

    def result(self, arrays: Sequence[Any]) -> Any:
        """The shape and dtype of the value."""
        library, problem, inputs, *_ = self.described(arrays)
        shape, _ = problem.shapes(False, [np.shape(x) for x in inputs])
        dtype = jax.dtypes.canonicalize_dtype(problem.dtype(library, inputs))
        return jax.ShapeDtypeStruct(tuple(shape), dtype)

    def value(self, *arrays: Any) -> Any:
        def on_host(*given: Any) -> Any:
            return np.asarray(self._function(**self._arguments(given)), result.dtype)

        result = self.result(arrays)
        return jax.pure_callback(on_host, result, *arrays, vmap_method="sequential")

    def value_and_grads(self, cotangent: Any, *arrays: Any) -> Any:
        """The value and the gradients of `differentiated`; cotangent: as in `value_and_grad`."""
        result, places = self.result(arrays), self.differentiated(arrays)
        grads = [jax.ShapeDtypeStruct(arrays[i].shape, arrays[i].dtype) for i in places]
        both = value_and_grad(self._function, [self._names[i] for i in places])

        def on_host(*given: Any) -> Any:
            options = {} if cotangent is None else {"cotangent": np.asarray(given[0])}
            value, found = both(**self._arguments(given[-len(arrays) :]), **options)
            pairs = zip(found, grads, strict=True)
            return np.asarray(value, result.dtype), [np.asarray(x, like.dtype) for x, like in pairs]

        given = arrays if cotangent is None else (cotangent, *arrays)
        return jax.pure_callback(on_host, (result, grads), *given, vmap_method="sequential")

    def refuse(self, *_: Any) -> Any:
        raise NotImplementedError(
            f"{self._function.__name__}: a second derivative was requested, but only first derivatives in "
            "reverse mode are implemented"
        )

    def _arguments(self, arrays: Sequence[Any]) -> dict[str, Any]:
        return self._constants | dict(zip(self._names, map(np.asarray, arrays), strict=True))


def _differentiable(call: _HostCall, arrays: Sequence[Any]) -> Any:
    """The value, with its gradients registered as a jax rule."""
    single = call.result(arrays).shape == ()
    derivative = jax.custom_jvp(call.value_and_grads)
    derivative.defjvp(call.refuse)

    def forward(*given: Any) -> Any:
        return derivative(None, *given) if single else (call.value(*given), given)

    def backward(kept: Any, cotangent: Any) -> Any:
        if single:
            grads = [(grad * cotangent).astype(grad.dtype) for grad in kept]
        else:
            grads = derivative(cotangent, *kept)[1]
        found = dict(zip(places, grads, strict=True))
        return tuple(found.get(i) for i in range(len(arrays)))

    places = call.differentiated(arrays)
    value = jax.custom_vjp(call.value)
    value.defvjp(forward, backward)
    return value(*arrays)


cka = _of_jax(_cka)
dcl = _of_jax(_dcl)
guided_info_nce = _of_jax(_guided_info_nce)
hsic = _of_jax(_hsic)
info_nce = _of_jax(_info_nce)
mmd = _of_jax(_mmd)
moco = _of_jax(_moco)
nt_xent = _of_jax(_nt_xent)
row_log_sum_exp = _of_jax(_row_log_sum_exp)
rsa = _of_jax(_rsa)
siglip = _of_jax(_siglip)
similarity_distillation = _of_jax(_similarity_distillation)
sup_con = _of_jax(_sup_con)
