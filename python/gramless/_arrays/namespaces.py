"""Array libraries: access to arrays, and a little arithmetic. numpy's is here; see `libraries` for others.

Only a library touches its own arrays: it reads, allocates, casts and returns them. If a call has arrays of
several libraries, that of the highest rank computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, TypeAlias

import numpy as np

from .. import _arrays
from .._counts import as_number
from .._losses import OfRows, as_array, as_labels, as_temperature, ignored_rows, numbered
from .meant import instead_of_type, is_model

Array: TypeAlias = Any
Arrays: TypeAlias = Sequence[Any]
Named: TypeAlias = Sequence[tuple[str, Any]]  # names of arguments and their values
Wanted: TypeAlias = Sequence[bool]  # for each array, whether its gradient is wanted
Library: TypeAlias = Any  # Numpy, libraries.Cupy, or gramless.torch._namespace.Torch
Values: TypeAlias = np.ndarray[Any, Any]

# Not arrays, like None and models; under torch.compile, converting sets and iterators raises torch's errors.
_NO_ARRAYS = (str, bytes, Mapping, Set, Iterator)
_EXAMPLES_AT_ONCE = 256  # examples whose tokens are averaged at a time
_SHORT = {char: np.dtype(char).name for char in "efd?bhilqBHILQ"}  # numpy takes 3 us for each


class Numpy:
    """numpy, and all objects that it converts to arrays."""

    rank = 0
    module: Any = np
    where: Any = staticmethod(np.where)

    def read(self, function: str, name: str, x: Any) -> Array:
        """x as an array of this library, in place where that is possible."""
        if type(x) is np.ndarray:
            return x
        wanted, hint = "a two-dimensional array", instead_of_type(function, x)
        array = None
        x = _arrays.without_tensors(function, name, x)
        if not (x is None or isinstance(x, _NO_ARRAYS) or is_model(x)):
            array = as_array(function, name, x, wanted, hint)
        if array is None or (array.ndim == 0 and array.dtype == object):
            raise TypeError(f"{function}: {name} must be {wanted} but is {type(x).__name__}{hint}")
        return array

    def check(self, function: str, named: Named, arrays: Arrays) -> None:
        """Raises TypeError or ValueError where the backend cannot read arrays of this library in place."""
        for (name, _), x in zip(named, arrays, strict=True):
            if not x.dtype.isnative:
                raise TypeError(f"{function}: {name} must have native byte order but has dtype {x.dtype.str}")

    def on_device(self, x: Array) -> bool:
        """Whether the CUDA backend computes with x."""
        return False

    def device(self, x: Array) -> Any:
        """The device that arrays share."""
        return None

    def dtype(self, x: Array) -> str:
        return _SHORT.get(x.dtype.char) or str(x.dtype.name)

    def view(self, x: Array) -> Any:
        """x as the core reads it, in place; the caller keeps x alive meanwhile."""
        return x

    def bits(self, x: Array) -> Values:
        """The values of an array in the CPU's memory, as integers where numpy lacks the dtype."""
        return _arrays.to_host(x)

    def empty(self, shape: Sequence[int], dtype: str, device: Any = None) -> Array:
        return np.empty(shape, dtype)

    def upload(self, values: Values, device: Any) -> Array:
        """numpy's values on a device."""
        return values

    def at(self, x: Array, *places: Values) -> Array:
        """A copy of some rows of x or, from two index arrays, of tokens of x (examples, tokens, features)."""
        return x[tuple([self.upload(place, self.device(x)) for place in places])]

    def token_means(self, x: Array, valid: Values | None) -> Array:
        """The mean of each example's tokens; valid: (examples, tokens), which tokens count; None: all."""
        device, wide = self.device(x), self.module.float64
        found = self.empty((x.shape[0], x.shape[2]), computed_in(self, [x]), device)
        for start in range(0, len(found), _EXAMPLES_AT_ONCE):
            some = slice(start, start + _EXAMPLES_AT_ONCE)
            if valid is None:
                found[some] = x[some].mean(axis=1, dtype=wide)
            else:
                which = self.upload(valid[some], device)
                kept = self.where(which[:, :, None], x[some], 0)  # not times 0: padding may hold NaN or inf
                found[some] = kept.sum(axis=1, dtype=wide) / which.sum(axis=1)[:, None]
        return found

    def zeros(self, shape: Sequence[int], dtype: str, device: Any = None) -> Array:
        found = self.empty(shape, dtype, device)
        found[...] = 0
        return found

    def arange(self, count: int, device: Any = None) -> Array:
        """0, 1, ... as int32."""
        return np.arange(count, dtype=np.int32)

    def cast(self, x: Array, dtype: str) -> Array:
        return x.astype(dtype, copy=False)

    def softplus(self, x: Array) -> Array:
        """log(1 + exp(x))"""
        return self.module.logaddexp(0.0, x)

    def sigmoid(self, x: Array) -> Array:
        """The derivative of `softplus`."""
        return self.module.exp(-self.module.logaddexp(0.0, -x))

    def flatnonzero(self, x: Array) -> Array:
        """The indices at which x (n,) is true."""
        return self.module.flatnonzero(x)

    def result(self, value: Any, dtype: str = "float64") -> Any:
        """A number or an array of the backend in the form returned to the user."""
        return value if getattr(value, "ndim", 0) else float(value)

    def gradient(self, value: Any, like: Any, dtype: str) -> Any:
        """A gradient of the backend in the form returned to the user; `like` is its array."""
        return self.result(value, dtype)

    def cotangent(self, backend: Any, grad: Any, shape: tuple[int, ...]) -> Any:
        """A user's derivative with respect to a value of this shape, in the form that the backend reads."""
        return np.ascontiguousarray(_arrays.wide_on_host(grad)) if shape else float(grad)

    def temperature(self, function: str, value: Any) -> Any:
        """A temperature as an input of a problem."""
        return as_temperature(function, value)

    def scale(self, function: str, value: Any, name: str) -> Any:
        """A logit scale or bias as an input of a problem."""
        return as_number(function, name, value)

    def constant(self, function: str, value: Any, name: str) -> float:
        """A temperature as a number, for a field of a problem."""
        return as_temperature(function, value, name)

    def labels(self, what: OfRows, labels: Any, ignored: Any = None) -> tuple[Any, int | None]:
        """The labels of rows as an input of a problem, integers if one is ignored, and the ignored label."""
        found = as_labels(what, labels)
        rows = ignored_rows(found, ignored)
        if rows is None:
            return found, None
        groups = numbered(found)
        return groups, int(groups[rows][0])

    def beside(self, function: str, name: str, values: Any, x: Array) -> Array:
        """Values that belong to the rows of x, as an array of this library on the device of x."""
        return self.read(function, name, values)

    def detached(self, function: str, names: Sequence[str | None], inputs: Sequence[Any]) -> Sequence[Any]:
        """The inputs without gradients, for a call of the backend outside autograd and its transforms."""
        return inputs

    def why_not_in_parts(self, layers: Sequence[Array]) -> str | None:
        """The reason why a sweep over these arrays cannot be cut into parts, or None."""
        return None


NUMPY = Numpy()


def computed_in(library: Library, arrays: Iterable[Array]) -> str:
    """The dtype of the computation: float64 if one is float64 or an integer too wide for float32."""
    for x in arrays:
        if library.dtype(x) in _arrays.FLOAT64:
            return "float64"
    return "float32"
