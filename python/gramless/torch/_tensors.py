"""torch as a library of arrays: conversions of tensors for the backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from .. import _arrays, _counts
from .._arrays import checks
from .._arrays.cuda_status import cuda_module
from .._arrays.libraries import read_by
from .._arrays.namespaces import NUMPY, Named, Numpy, Values, computed_in
from .._losses import EPSILON, OfRows, as_temperature, ignored_among, numbered
from ._followed import PLAIN, is_plain, is_wrapped, needs_autograd

NAMES: dict[torch.dtype, str] = {getattr(torch, name): name for name in sorted(_arrays.DTYPES)}
DTYPES = {name: dtype for dtype, name in NAMES.items()}
CPU = torch.device("cpu")  # stated explicitly, because torch.set_default_device may name another device


def on_device(x: Tensor) -> bool:
    """Whether the CUDA module computes with x."""
    return ("cpu" if x.is_cpu else x.device.type) in _arrays.TENSOR_DEVICES


def resolved(inputs: Sequence[Any]) -> Sequence[Any]:
    """Resolve lazy negations, which the core does not support."""
    for x in inputs:
        if isinstance(x, Tensor) and x.is_neg():
            return [x.resolve_neg() if isinstance(x, Tensor) else x for x in inputs]
    return inputs


def as_tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.from_numpy(x)


def like(grad: Any, x: Tensor) -> Tensor:
    """A gradient with the shape, dtype and device of its tensor."""
    if isinstance(grad, Tensor) and grad.dtype is x.dtype and grad.ndim == x.ndim:
        return grad
    array = isinstance(grad, (Tensor, np.ndarray))
    found = as_tensor(grad) if array else torch.as_tensor(grad, dtype=torch.float64, device=CPU)
    return found.to(x).reshape(x.shape)


def number(x: float) -> Tensor:
    """x as a 0-d tensor of float64. As the factor of a tensor, torch.compile lets a float vary between calls;
    as an argument of an operator, torch.tensor or torch.full, each value would compile a graph of its own.
    """
    return torch.ones((), dtype=torch.float64, device=CPU) * x


def compute_dtype(arrays: Sequence[Tensor]) -> torch.dtype:
    """The dtype of the computation."""
    return DTYPES[computed_in(TENSORS, arrays)]


def unit_rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    """z = u / max(|u|, 1e-12)."""
    return torch.nn.functional.normalize(x.to(dtype), dim=1, eps=EPSILON)


def as_number(function: str, name: str, value: Any) -> float | Tensor:
    """A scale or bias of logits, of any value: a number, or a tensor of one number as a 0-d tensor."""
    if not isinstance(value, Tensor):
        if torch.compiler.is_compiling() and isinstance(value, float):
            return value
        return _counts.as_number(function, name, value)
    tensor = _one(function, name, value)
    if tensor.is_complex():
        raise TypeError(f"{function}: {name} must be a real number but has dtype {value.dtype}")
    if value.device.type == "meta" and not isinstance(value, FakeTensor):
        raise TypeError(f"{function}: {name} is on the meta device and holds no value")
    return tensor


def _one(function: str, name: str, value: Tensor) -> Tensor:
    """A tensor of one number as a 0-d tensor."""
    _arrays.check_dense(function, name, value)
    if value.numel() != 1:
        found = f"{tuple(value.shape)}{_counts.made_first(function, value)}"
        raise ValueError(f"{function}: {name} must be one number but has shape {found}")
    return value.reshape(()) if value.ndim else value


class Tensors(Numpy):
    """The library of tensors on the CPU and on devices that the kernels can read."""

    rank = 2
    module = torch
    where = staticmethod(torch.where)

    @property
    def allow_tf32(self) -> bool:
        """Whether torch's settings allow TF32 for products of float32.

        The setting has two names; once the newer one is set, reading the older one raises RuntimeError.
        """
        matmul = torch.backends.cuda.matmul
        precision = getattr(matmul, "fp32_precision", None)  # since torch 2.9; includes inherited settings
        return bool(matmul.allow_tf32) if precision is None else precision == "tf32"

    def owns(self, x: object) -> bool:
        return isinstance(x, Tensor) and on_device(x)

    on_device = owns

    def read(self, function: str, name: str, x: Any) -> Tensor:
        """x itself if it is a tensor; else a copy as a tensor, because torch lacks some layouts of numpy."""
        if not isinstance(x, Tensor):
            x = self._converted(function, name, x)
        _arrays.check_dense(function, name, x)
        if not x.is_cpu and x.device.type not in ("cpu", "cuda"):
            raise TypeError(
                f"{function}: {name} is on {x.device} but gramless reads the CPU's and CUDA's memory"
            )
        if x.layout is not torch.strided:
            raise TypeError(_arrays.sparse_sentence(function, name, x))
        return x  # type: ignore[no-any-return]

    def _converted(self, function: str, name: str, x: Any) -> Tensor:
        if _arrays.is_on_device(x):
            return read_by(self, function, name, x)  # type: ignore[no-any-return]
        array = NUMPY.read(function, name, x)
        if torch.compiler.is_compiling():  # it cannot trace numpy's dtypes
            return torch.as_tensor(array)
        checks.real(function, name, NUMPY, array)
        NUMPY.check(function, [(name, x)], [array])
        if array.dtype.name == "bfloat16":  # torch cannot convert this dtype of numpy
            return torch.from_numpy(np.array(array).view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(np.array(array))

    def imported(self, x: Any) -> Tensor:
        """A GPU array of another library as a tensor, without a copy."""
        is_described = hasattr(x, "__cuda_array_interface__")
        return torch.as_tensor(x, device="cuda") if is_described else torch.utils.dlpack.from_dlpack(x)

    def check(self, function: str, named: Named, arrays: Sequence[Tensor]) -> None:
        for (name, _), x in zip(named, arrays, strict=True):
            if on_device(x) and not torch.compiler.is_compiling():
                cuda_module(function)
            self._stored(function, name, x)

    def _stored(self, function: str, name: str, x: Tensor) -> Tensor:
        """x; raises if it has no memory to read, unless a transform wraps it, so that operators read it."""
        plain = type(x) in PLAIN and not torch.compiler.is_compiling()
        if plain and not is_wrapped(x) and not _arrays.holds_elements(x):
            _arrays.check_storage(function, name, x)
        return x

    def device(self, x: Tensor) -> torch.device:
        return x.device

    def device_index(self, x: Tensor) -> int:
        return x.device.index or 0

    def dtype(self, x: Tensor) -> str:
        return NAMES.get(x.dtype, "")

    def view(self, x: Tensor) -> tuple[Any, ...]:
        size, (rows, columns) = x.element_size(), x.stride()
        held = x.untyped_storage()  # keeps the memory even if another thread changes the storage of x
        return (x.data_ptr(), *x.shape, rows * size, columns * size, NAMES[x.dtype], held)

    def stream(self, device: int) -> int:
        return int(torch.cuda.current_stream(device).cuda_stream)

    def address(self, x: Tensor) -> int:
        return x.data_ptr()

    def strides(self, x: Tensor) -> tuple[int, ...]:
        return tuple(stride * x.element_size() for stride in x.stride())

    def itemsize(self, x: Tensor) -> int:
        return x.element_size()

    def bits(self, x: Tensor) -> Values:
        return _arrays.to_host(x.view(torch.int16) if x.dtype is torch.bfloat16 else x)

    def _on(self, device: torch.device | int | None) -> torch.device:
        if isinstance(device, torch.device):
            return device
        return CPU if device is None else torch.device("cuda", device)

    def empty(self, shape: Sequence[int], dtype: str, device: Any = None) -> Tensor:
        # Separate numbers: with a torch.Size the call takes twice the time.
        return torch.empty(*shape, dtype=DTYPES[dtype], device=self._on(device))

    def arange(self, count: int, device: int | None = None) -> Tensor:
        return torch.arange(count, dtype=torch.int32, device=self._on(device))

    def upload(self, values: Values, device: Any) -> Tensor:
        return torch.from_numpy(values).to(self._on(device))

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        return x.to(DTYPES[dtype])

    def at(self, x: Tensor, *places: Values) -> Tensor:
        return super().at(x.detach(), *places)  # type: ignore[no-any-return]

    def token_means(self, x: Tensor, valid: Values | None) -> Tensor:
        return super().token_means(x.detach(), valid)  # type: ignore[no-any-return]

    def softplus(self, x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(x, threshold=50)

    def sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    def flatnonzero(self, x: Tensor) -> Tensor:
        return x.nonzero()[:, 0]

    def result(self, value: Any, dtype: str = "float64") -> Tensor:
        if not getattr(value, "ndim", 0) and not isinstance(value, Tensor):
            # scalar_tensor raises beyond the range of float32; torch.tensor returns inf, but is slower
            made = torch.tensor if abs(value) > 3e38 else torch.scalar_tensor
            return made(value, dtype=DTYPES[dtype], device=CPU)
        return self.cast(as_tensor(value), dtype)

    def gradient(self, value: Any, like: Any, dtype: str) -> Tensor:
        if getattr(value, "ndim", 0) == 2:
            return as_tensor(value)
        return self.result(value, dtype).reshape(())

    def cotangent(self, backend: Any, grad: Any, shape: tuple[int, ...]) -> Any:
        if backend.here:
            return super().cotangent(backend, grad, shape) if shape else float(grad)
        given = torch.as_tensor(grad).detach().resolve_neg()
        return given.to(self._on(backend.device), torch.float64)

    def temperature(self, function: str, value: Any) -> Any:
        """A temperature as a number or a 0-d tensor, checked."""
        name = "temperature"
        if not isinstance(value, Tensor):
            return self.constant(function, value, name)
        value = _one(function, name, value)
        if value.device.type not in ("cpu", "cuda") or not value.is_floating_point():
            raise TypeError(
                f"{function}: {name} must be a floating-point tensor on the CPU or a GPU "
                f"but is {value.dtype} on {value.device}"
            )
        return self._stored(function, name, value)

    def scale(self, function: str, value: Any, name: str) -> Tensor:
        """A scale or bias as a 0-d tensor."""
        found = as_number(function, name, value)
        if isinstance(found, Tensor):
            return self._stored(function, name, found)
        return number(found)

    def constant(self, function: str, value: Any, name: str) -> float:
        """A number, checked; torch.compile may let it vary, and then the problem checks it."""
        if isinstance(value, Tensor):
            raise TypeError(f"{function}: {name} must be a number, because it is a constant, but is a tensor")
        if torch.compiler.is_compiling():
            return _counts.as_number(function, name, value)
        return as_temperature(function, value, name)

    def labels(self, what: OfRows, labels: Any, ignored: Any = None) -> tuple[Any, int | None]:
        if not isinstance(labels, Tensor):
            found, ignored = NUMPY.labels(what, labels, ignored)
            return torch.from_numpy(numbered(found) if ignored is None else found), ignored
        _arrays.check_dense(what.function, what.name, labels)
        what.check(labels, not (labels.is_floating_point() or labels.is_complex()))
        self._stored(what.function, what.name, self.read(what.function, what.name, labels))
        return labels, ignored_among(self.dtype(labels), ignored)

    def beside(self, function: str, name: str, values: Any, x: Tensor) -> Tensor:
        return self._stored(function, name, self.read(function, name, values)).detach().to(x.device)

    def detached(self, function: str, names: Sequence[str | None], inputs: Sequence[Any]) -> Sequence[Any]:
        for name, x in zip(names, inputs, strict=True):
            if isinstance(x, Tensor):
                _arrays.check_storage(function, name or "an input", x)
        return resolved([x.detach() if isinstance(x, Tensor) else x for x in inputs])

    def why_not_in_parts(self, layers: Sequence[Tensor]) -> str | None:
        if any(map(on_device, layers)):
            return "are for layers in the CPU's memory; copy them there"
        if not is_plain(layers) or needs_autograd(layers):
            return "are for layers without gradients; detach() the tensors first"
        return None


TENSORS = Tensors()
