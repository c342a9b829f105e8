"""torch as a library of arrays: tensors as the backends see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .. import _arrays
from .._arrays import checks
from .._arrays.cuda_status import cuda_module
from .._arrays.frameworks import framework_of
from .._arrays.namespaces import NUMPY, computed_in
from .._losses import EPSILON, as_temperature, check_labels, numbered, whole_number
from ._derivatives import in_forward_mode
from ._framework import TorchFramework, on_device

_DTYPES = "float32 float64 float16 bfloat16 bool int8 int16 int32 int64 uint8 uint16 uint32 uint64"
NAMES = {getattr(torch, name): name for name in _DTYPES.split()}
DTYPES = {name: dtype for dtype, name in NAMES.items()}


def resolved(inputs: Sequence[Any]) -> Sequence[Any]:
    """Negations carried out, which the core does not know of."""
    for x in inputs:
        if isinstance(x, Tensor) and x.is_neg():
            return [x.resolve_neg() if isinstance(x, Tensor) else x for x in inputs]
    return inputs


def as_tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else torch.from_numpy(x)


def like(grad: Any, x: Tensor) -> Tensor:
    """A gradient as what it is the gradient of: shape, dtype and device."""
    if isinstance(grad, Tensor) and grad.dtype is x.dtype and grad.ndim == x.ndim:
        return grad
    found = torch.as_tensor(grad, dtype=None if isinstance(grad, Tensor) else torch.float64)
    return found.to(x).reshape(x.shape)


def compute_dtype(arrays: Sequence[Tensor]) -> torch.dtype:
    """What these are computed in."""
    dtype: torch.dtype = DTYPES[computed_in(TENSORS, arrays)]
    return dtype


def unit_rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    """z = u / max(|u|, 1e-12)."""
    return torch.nn.functional.normalize(x.to(dtype), dim=1, eps=EPSILON)


def _is_stored(x: Tensor) -> bool:
    """Whether the memory of all elements of x (n, d) is there; where it is not, `check_storage` says why."""
    (rows, columns), (row, column) = x.shape, x.stride()
    last = x.storage_offset() + (rows - 1) * row + (columns - 1) * column
    try:
        return x.untyped_storage().nbytes() > last * x.element_size()
    except (RuntimeError, NotImplementedError):
        return False


class Tensors:
    """What `gramless._arrays.namespaces.Numpy` is for numpy."""

    rank = 2
    framework = TorchFramework()

    @property
    def allow_tf32(self) -> bool:
        """Whether torch's settings let products of float32 be made with TF32.

        They have two names; once the newer one is set, reading the older one raises RuntimeError.
        """
        matmul = torch.backends.cuda.matmul
        precision = getattr(matmul, "fp32_precision", None)  # torch 2.9, with what it takes from others
        return bool(matmul.allow_tf32) if precision is None else precision == "tf32"

    def read(self, function: str, name: str, x: Any) -> Tensor:
        """x itself, or a copy of what stands beside a tensor, for numpy has layouts that torch has not."""
        if not isinstance(x, Tensor):
            x = self._converted(function, name, x)
        if not x.is_cpu and x.device.type not in ("cpu", "cuda"):
            raise TypeError(
                f"{function}: {name} is on {x.device} but gramless reads the CPU's and CUDA's memory"
            )
        if x.layout is not torch.strided:
            raise TypeError(f"{function}: {name} must be a dense tensor but has layout {x.layout}")
        return cast(Tensor, x)

    def _converted(self, function: str, name: str, x: Any) -> Tensor:
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(
                f"{function}: {name} is a masked array, whose mask would be ignored; fill or drop first"
            )
        if _arrays.is_on_device(x):
            _, array = framework_of(function, name, x)
            if not isinstance(array, Tensor):
                raise TypeError(
                    f"{function}: {name} and another array are of two libraries; convert one of them"
                )
            return array
        reason: object = "numbers that are not real"
        try:
            found = torch.from_numpy(np.array(x))
            if found.dtype in NAMES:
                return found
        except (TypeError, ValueError, RuntimeError) as error:
            reason = error
        checks.matrix(function, name, NUMPY, x)  # says what it says of arrays that stand beside no tensor
        raise TypeError(
            f"{function}: {name} must be a tensor or an array of real numbers "
            f"but is {type(x).__name__} ({reason})"
        )

    def check_memory(self, function: str, x: Tensor) -> None:
        """For an operator, which real tensors reach, and which has no names for them."""
        if x.data_ptr() == 0:
            _arrays.check_storage(function, "an input", x)

    def check(self, function: str, name: str, x: Tensor) -> None:
        """Raises where x has no memory to read, unless it is traced or transformed, and operators read it."""
        if on_device(x) and not torch.compiler.is_compiling():
            cuda_module(function)
        if is_plain((x,)) and not _is_stored(x):
            _arrays.check_storage(function, name, x)

    def _checked(self, function: str, name: str, x: Tensor) -> Tensor:
        """x of any shape, which is no array of a problem, once its memory is known to be there."""
        if is_plain((x,)):
            _arrays.check_storage(function, name, x)
        return x

    def on_device(self, x: Any) -> bool:
        return isinstance(x, Tensor) and on_device(x)

    def device(self, x: Tensor) -> torch.device:
        return x.device

    def device_index(self, x: Tensor) -> int:
        return x.device.index or 0

    def dtype(self, x: Tensor) -> str | None:
        return NAMES.get(x.dtype)

    def view(self, x: Tensor) -> tuple[Any, ...]:
        size, (rows, columns) = x.element_size(), x.stride()
        return (x.data_ptr(), *x.shape, rows * size, columns * size, NAMES[x.dtype])

    def host(self, x: Any) -> np.ndarray[Any, Any]:
        return np.asarray(x.detach().cpu().numpy() if isinstance(x, Tensor) else x)

    def bits(self, x: Tensor) -> np.ndarray[Any, Any]:
        return self.host(x.view(torch.int16) if x.dtype is torch.bfloat16 else x)

    def wide(self, x: Any) -> np.ndarray[Any, Any]:
        return np.asarray(x.detach().double().cpu().numpy() if isinstance(x, Tensor) else x, np.float64)

    def empty(self, shape: Sequence[int], dtype: str) -> Tensor:
        return torch.empty(shape, dtype=DTYPES[dtype])

    def result(self, value: Any, dtype: str) -> Tensor:
        if isinstance(value, Tensor):
            return value.to(DTYPES[dtype])
        if getattr(value, "ndim", 0):
            return torch.from_numpy(value).to(DTYPES[dtype])
        return torch.tensor(value, dtype=DTYPES[dtype])

    def gradient(self, value: Any, of: Any, dtype: str) -> Tensor:
        if getattr(value, "ndim", 0) == 2:
            return as_tensor(value)
        return self.result(value, dtype).reshape(())

    def cotangent(self, backend: Any, grad: Any, shape: tuple[int, ...]) -> Any:
        if not backend.here:
            given = torch.as_tensor(grad).detach().resolve_neg()
            return given.to(self.framework._on(backend.device), torch.float64)
        if not shape:
            return float(grad)
        return np.ascontiguousarray(self.wide(grad))

    def temperature(self, function: str, value: Any) -> Any:
        """A number, or the tensor of one."""
        name = "temperature"
        if not isinstance(value, Tensor):
            return self.constant(function, value, name)
        if value.numel() != 1:
            raise ValueError(f"{function}: {name} must be one number but has shape {tuple(value.shape)}")
        if value.device.type not in ("cpu", "cuda") or not value.is_floating_point():
            raise TypeError(
                f"{function}: {name} must be a floating-point tensor on the CPU or a GPU "
                f"but is {value.dtype} on {value.device}"
            )
        self._checked(function, name, value)
        return value.reshape(()) if value.ndim else value

    def constant(self, function: str, value: Any, name: str) -> float:
        """A number, which torch.compile may let vary; the problem checks it then."""
        if isinstance(value, Tensor):
            raise TypeError(f"{function}: {name} must be a number, being constant, but is a tensor")
        if torch.compiler.is_compiling() and isinstance(value, float):
            return value
        return as_temperature(function, value, name)

    def labels(self, function: str, labels: Any, rows: int, ignore_index: Any) -> tuple[Any, int | None]:
        if not isinstance(labels, Tensor):
            found, ignored = NUMPY.labels(function, labels, rows, ignore_index)
            return torch.from_numpy(numbered(found) if ignored is None else found), ignored
        check_labels(function, tuple(labels.shape), rows)
        if labels.is_floating_point() or labels.is_complex():
            raise TypeError(f"{function}: labels must be integers or text but has dtype {labels.dtype}")
        self._checked(function, "labels", self.read(function, "labels", labels))
        return labels, whole_number(ignore_index)

    def beside(self, function: str, name: str, values: Any, x: Tensor) -> Tensor:
        return self._checked(function, name, self.read(function, name, values)).detach().to(x.device)

    def detached(self, function: str, names: Sequence[str | None], inputs: Sequence[Any]) -> Sequence[Any]:
        for name, x in zip(names, inputs, strict=True):
            if isinstance(x, Tensor):
                _arrays.check_storage(function, name or "an input", x)
        return resolved([x.detach() if isinstance(x, Tensor) else x for x in inputs])

    def why_not_in_parts(self, layers: Sequence[Tensor]) -> str | None:
        if any(self.on_device(x) for x in layers):
            return "are for layers in the CPU's memory; copy them there"
        if not is_plain(layers) or needs_autograd(layers):
            return "are for layers without gradients; detach() the tensors first"
        return None


TENSORS = Tensors()

# Private to torch: where they are missing, nothing is plain.
_transforms = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_PLAIN = (Tensor, torch.nn.Parameter)


def is_plain(inputs: Sequence[Any]) -> bool:
    """Whether the tensors among these have data, and nothing records or transforms what happens to them."""
    if torch.compiler.is_compiling() or _transforms() or _modes() or in_forward_mode():
        return False
    return all(type(x) in _PLAIN or not isinstance(x, Tensor) for x in inputs)


def needs_autograd(inputs: Sequence[Any]) -> bool:
    """Whether autograd is to follow what is computed from these."""
    if not torch.is_grad_enabled():
        return False
    return any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
